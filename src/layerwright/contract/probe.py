"""The probe: what a rule gets to look at a layer with."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from layerwright.contract.batch import Batch, find_batch
from layerwright.contract.comparing import difference
from layerwright.contract.copying import fresh_copy
from layerwright.contract.gradients import Gradients, backward
from layerwright.contract.inference.rebuilding import CannotRebuild
from layerwright.contract.rule import LayerRaised, Skip
from layerwright.contract.source import Place, place_of_class
from layerwright.contract.subject import Subject
from layerwright.contract.torch_compat.dispatch import OpCall, OpRecorder
from layerwright.contract.torch_compat.graph import python_functions
from layerwright.contract.trees import Inputs, map_tensors
from layerwright.random_numbers import seed_all

if TYPE_CHECKING:
    from layerwright.contract.traits import Traits


@dataclass(frozen=True)
class Attempt:
    """What came of a call: an output, or an error. Shared by rules: read it, never write it."""

    output: Any = None
    raised: LayerRaised | None = None


class Probe:
    """Gives each rule fresh layers and inputs, and the observations that rules share.

    Everything random is seeded. Nothing that a rule does to a layer or to inputs that it got from
    here is seen by another rule.

    Attributes:
        subject: the layer as it was handed over.
        traits: what it does on purpose.
        seed: of the check.
        ranks: number of processes that the rules about several may start; 0 for none.
    """

    def __init__(self, subject: Subject, seed: int = 0, ranks: int = 0) -> None:
        self.subject = subject
        self.traits: Traits = subject.traits
        self.seed = seed
        self.ranks = ranks

    # --- layers and inputs -------------------------------------------------------------------

    def layer(self, *, training: bool = False) -> nn.Module:
        """Return a fresh copy of the layer, in eval or training mode.

        A layer that is handed over in training mode keeps the flags of its parts in that mode.
        """
        layer = fresh_copy(self._materialised)
        return layer if layer.training == training else _switched(layer, training=training)

    def rebuild(self, *, training: bool = False, seed: int | None = None) -> nn.Module:
        """Return an independent instance, built by its constructor under this seed.

        Raises:
            Skip: no second instance can be built.
        """
        if self.subject.build is None:
            raise Skip(self.subject.why_not_built)
        seed_all(self.seed if seed is None else seed)
        try:
            layer = self.subject.build()
        except CannotRebuild as refused:
            raise Skip(f"no second instance can be built: {refused}") from None
        except Exception as error:
            raise LayerRaised(error) from error
        if any(map(is_lazy, layer.parameters())) and self.subject.inputs is not None:
            self.call(layer)
        return _switched(layer, training=training)

    def inputs(self) -> Inputs:
        """Return fresh copies of the example inputs.

        Raises:
            Skip: no inputs were given.
        """
        if self.subject.inputs is None:
            raise Skip("no example inputs were given")
        return self.subject.inputs.clone()

    def other_inputs(self, seed: int = 1) -> Inputs:
        """Return other inputs in the same domain: the values of each tensor, in another order.

        Integer tensors are reordered along their first dimension only.
        """
        generator = torch.Generator().manual_seed(seed)

        def reorder(tensor: torch.Tensor) -> torch.Tensor:
            if tensor.layout is not torch.strided or tensor.dtype == torch.bool:
                return tensor.clone()
            if tensor.dim() == 0 or tensor.numel() < 2:
                return tensor.clone()
            if not tensor.dtype.is_floating_point and not tensor.is_complex():
                return tensor[torch.randperm(tensor.shape[0], generator=generator)]
            order = torch.randperm(tensor.numel(), generator=generator)
            return tensor.flatten()[order].view(tensor.shape)

        return self.inputs().map(reorder)

    # --- calls -------------------------------------------------------------------------------

    def call(self, layer: nn.Module, inputs: Inputs | None = None, seed: int | None = None) -> Any:
        """Call a layer under a seed and return its output.

        Args:
            layer: from `layer` or `rebuild`.
            inputs: default fresh copies of the example inputs.
            seed: default the seed of the check.

        Raises:
            LayerRaised: the layer raised; not caught, it skips the rule with that reason.
        """
        inputs = self.inputs() if inputs is None else inputs
        # In a network, an input that needs gradients is no leaf, and may be written in place.
        inputs = inputs.map(lambda x: x.clone() if x.requires_grad and x.is_leaf else x)
        seed_all(self.seed if seed is None else seed)
        try:
            return layer(*inputs.args, **inputs.kwargs)
        except Exception as error:
            raise LayerRaised(error) from error

    def attempt(self, call: Callable[[], Any]) -> Attempt:
        """Run a call and return its output or the error, whichever came."""
        try:
            return Attempt(call())
        except LayerRaised as raised:
            return Attempt(raised=raised)
        except Skip:
            raise
        except Exception as error:  # noqa: BLE001 - a backward pass runs the layer's code too
            return Attempt(raised=LayerRaised(error))

    def _fresh_attempt(self, *, training: bool) -> Attempt:
        """Call a fresh layer; a layer may ask for the grad mode, which is not the asking rule's."""

        def run() -> Any:
            inputs = self.inputs()
            return self.call(
                self.layer(training=training), inputs.requiring_grad() if training else inputs
            )

        with torch.set_grad_enabled(training):
            return self.attempt(run)

    def gradients_of(self, layer: nn.Module, inputs: Inputs, output: Any) -> Gradients:
        """Send a random projection of the output back; see `backward`.

        Raises:
            LayerRaised: the backward pass raised.
            Skip: no output requires gradients.
        """
        try:
            found = backward(layer, inputs, output, self.seed)
        except Exception as error:
            raise LayerRaised(error) from error
        if found is None:
            raise Skip("no output requires gradients")
        return found

    # --- observations that rules share; read them, never write them --------------------------

    @cached_property
    def eval_attempt(self) -> Attempt:
        """A forward pass in eval mode, without gradients."""
        return self._fresh_attempt(training=False)

    @cached_property
    def train_attempt(self) -> Attempt:
        """A forward pass in training mode; inputs and parameters require gradients."""
        return self._fresh_attempt(training=True)

    @property
    def eval_output(self) -> Any:
        """The output in eval mode.

        Raises:
            LayerRaised: the layer raised.
        """
        return _result(self.eval_attempt)

    @cached_property
    def _gradients(self) -> Attempt:
        def run() -> Gradients:
            layer, inputs = self.layer(training=True), self.inputs().requiring_grad()
            return self.gradients_of(layer, inputs, self.call(layer, inputs))

        with torch.enable_grad():  # whoever asks first
            return self.attempt(run)

    @property
    def gradients(self) -> Gradients:
        """The gradients of a random projection, in training mode.

        Raises:
            LayerRaised: forward or backward raised.
            Skip: no output requires gradients.
        """
        return _result(self._gradients)

    @cached_property
    def deterministic(self) -> str | None:
        """None if fresh copies give equal answers under one seed, else the difference in words."""
        for training in (False, True):
            first = self.eval_attempt if not training else self.train_attempt
            if first.raised:
                continue
            second = self._fresh_attempt(training=training)
            if second.raised:
                return f"the second of two equal calls raised {second.raised.words}"
            words = difference(first.output, second.output)
            if words:
                return words
        return None

    @cached_property
    def batch(self) -> Batch | None:
        """How samples lie in inputs and outputs; None if no dimension has independent samples."""
        with torch.no_grad():
            return find_batch(self)

    @cached_property
    def ops(self) -> list[OpCall]:
        """The operators of a forward pass in eval mode, with the lines that called them.

        Raises:
            LayerRaised: the layer raised.
        """
        recorder = OpRecorder()
        layer, inputs = self.layer(), self.inputs()
        with torch.no_grad(), recorder:
            self.call(layer, inputs)
        return recorder.calls

    @cached_property
    def functions(self) -> list[tuple[type, Any]]:
        """The `torch.autograd.Function` classes in the graph of a training pass, with nodes."""
        return python_functions(_result(self.train_attempt))

    # --- words -------------------------------------------------------------------------------

    def place(self, module: nn.Module | None = None) -> Place:
        """Return where the class of the layer, or of a part of it, begins."""
        return place_of_class(type(self.subject.layer if module is None else module))

    def skip(self, reason: str) -> NoReturn:
        """End the rule: it cannot judge, for this reason."""
        raise Skip(reason)

    @cached_property
    def _materialised(self) -> nn.Module:
        """The layer, after one call if it is lazy."""
        layer = self.subject.layer
        if any(map(is_lazy, [*layer.parameters(), *layer.buffers()])) and self.subject.inputs:
            layer = fresh_copy(layer)
            with torch.no_grad():
                self.call(_switched(layer, training=False))
            _switched(layer, training=self.subject.layer.training)
        return layer


def _switched(layer: nn.Module, *, training: bool) -> nn.Module:
    """Switch a layer's mode; its own `train` may do anything, and return nothing."""
    try:
        layer.train(training)
    except Exception as error:
        raise LayerRaised(error) from error
    return layer


def detached(output: Any) -> Any:
    """Return a tree of tensors without its graph, in memory of its own."""
    return map_tensors(output, lambda tensor: tensor.detach().clone())


def _result(attempt: Attempt) -> Any:
    if attempt.raised:
        raise attempt.raised
    return attempt.output
