"""A layer mapped over its samples with torch.func.vmap, and one sample after the other."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from layerwright.contract.batch import Batch
from layerwright.contract.comparing import difference
from layerwright.contract.gradients import weights_like
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised
from layerwright.contract.torch_compat.vmapping import silent_vmap
from layerwright.contract.trees import Inputs, Named, is_float, named_tensors
from layerwright.random_numbers import seed_all

# A wrong rule for vmap gives other numbers altogether; kernels round otherwise.
TOLERANCE = 1e-3
_MOST = 3

# Takes a layer; returns a function of the tensors of one sample. A layer is made outside of vmap.
OneSample = Callable[[nn.Module], Callable[..., Any]]


class RefusedError(Exception):
    """A sample alone works, and vmap raised this.

    Attributes:
        error: what it raised.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True)
class Samples:
    """Some samples of a layer's inputs, and the layer as a function of one of them.

    Attributes:
        probe: holds the layer.
        batch: how samples lie.
        double: compute in float64.
    """

    probe: Probe
    batch: Batch
    double: bool = False

    @cached_property
    def inputs(self) -> Inputs:
        """The inputs, with these samples only."""
        some = self.batch.take(self.batch.inputs, range(min(_MOST, self.batch.size)))
        return some.to(torch.float64) if self.double else some

    @cached_property
    def tensors(self) -> list[Tensor]:
        """Those inputs that have samples."""
        return [x.tensor for x in self.inputs.tensors() if x.name in self.batch.batched]

    def layer(self) -> nn.Module:
        """Return a fresh copy: what a call leaves behind must not reach the next sample."""
        layer = self.probe.layer()
        try:
            return layer.double() if self.double else layer
        except Exception as error:
            raise LayerRaised(error) from error

    def answer(
        self, layer: nn.Module, state: dict[str, Tensor], *sample: Tensor
    ) -> tuple[Tensor, ...]:
        """Return the outputs for one sample, without the dimension of the samples."""
        of = {id(old): new for old, new in zip(self.tensors, sample, strict=True)}
        given = self.inputs.map(
            lambda x: of[id(x)].unsqueeze(self.batch.dim) if id(x) in of else x.clone()
        )
        seed_all(self.probe.seed)
        output = functional_call(layer, state, given.args, dict(given.kwargs))
        return tuple(
            item.tensor.squeeze(dim)
            for item, dim in zip(named_tensors(output), self.batch.output_dims, strict=True)
        )

    def alone(self, function: OneSample) -> list[Tensor]:
        """Apply a function to one sample after the other; samples along dimension 0."""
        count = self.tensors[0].shape[self.batch.dim]
        try:
            found = [
                list(map(_plain, named_tensors(function(self.layer())(*self._sample(place)))))
                for place in range(count)
            ]
        except Exception as error:
            raise LayerRaised(error) from error
        if len({tuple(x.shape for x in one) for one in found}) > 1:
            self.probe.skip("samples alone give outputs of different shapes")
        return [torch.stack(parts) for parts in zip(*found, strict=True)]

    def mapped(self, function: OneSample) -> list[Tensor]:
        """Map a function over the samples with vmap; samples along dimension 0."""
        one = function(self.layer())
        try:
            with silent_vmap():
                output = vmap(one, in_dims=self.batch.dim)(*self.tensors)
        except Exception as error:
            raise RefusedError(error) from error
        return list(map(_plain, named_tensors(output)))

    def _sample(self, place: int) -> list[Tensor]:
        return [x.select(self.batch.dim, place) for x in self.tensors]


def answers_differ(samples: Samples) -> str | None:
    """Tell how the answers under vmap differ from those of each sample alone, or None.

    Raises:
        LayerRaised: a sample alone raised.
        RefusedError: vmap raised.
    """
    with torch.no_grad():
        alone, mapped = samples.alone(_answer_of(samples)), samples.mapped(_answer_of(samples))
    if len(alone) == len(mapped) == 1:
        return difference(alone[0], mapped[0], tolerance=TOLERANCE)
    return difference(alone, mapped, tolerance=TOLERANCE)


def gradients_differ(samples: Samples) -> str | None:
    """Tell how the gradients of each sample differ, or None; see `answers_differ`.

    Those of trained parameters and of inputs are taken as one: small ones count little.
    """
    state = {
        name: item.detach()
        for name, item in samples.layer().named_parameters()
        if item.requires_grad and is_float(item)
    }
    wanted = [place + 1 for place, x in enumerate(samples.tensors) if is_float(x)]
    wanted += [0] if state else []
    with torch.no_grad():
        answers = samples.alone(_answer_of(samples))
    generator = torch.Generator().manual_seed(samples.probe.seed)
    weights = [weights_like(_real(x[0]), generator) if is_float(x) else None for x in answers]
    if not wanted or not any(weight is not None for weight in weights):
        return None

    def run(layer: nn.Module) -> Callable[..., Any]:
        def loss(state: dict[str, Tensor], *sample: Tensor) -> Tensor:
            terms = [
                (_real(x) * weight).sum()
                for x, weight in zip(samples.answer(layer, state, *sample), weights, strict=True)
                if weight is not None
            ]
            return torch.stack(terms).sum()

        gradient = grad(loss, argnums=tuple(wanted))
        return lambda *sample: gradient(state, *sample)

    with torch.enable_grad():
        return difference(
            _joined(samples.alone(run)), _joined(samples.mapped(run)), tolerance=TOLERANCE
        )


def _answer_of(samples: Samples) -> OneSample:
    return lambda layer: lambda *sample: samples.answer(layer, {}, *sample)


def _plain(named: Named) -> Tensor:
    """Return a tensor that all operators accept: gradients of embeddings may be sparse."""
    return named.tensor.to_dense() if named.tensor.is_sparse else named.tensor


def _real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def _joined(gradients: list[Tensor]) -> Tensor:
    """Return all as one, so that a gradient that is nothing but rounding is seen as small."""
    whole = [_real(x.detach()) for x in gradients]
    return torch.cat([x.reshape(x.shape[0], x[0].numel()).double() for x in whole], dim=1)
