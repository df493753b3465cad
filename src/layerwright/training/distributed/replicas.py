"""A network that every process holds whole, with gradients averaged over the processes."""

import copy
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from layerwright.data.interface import Batch
from layerwright.errors import OptionError
from layerwright.training.distributed.batch_norm import FindBatchNorm, SynchronisedBatchNorm
from layerwright.training.fitting import no_trace
from layerwright.training.recipe import Recipe


class Replicas:
    """DistributedDataParallel around a network, tried on two samples before the first step.

    The trial finds parameters that forward leaves unused, which would stop DistributedDataParallel
    in its second step, and batch norm, which is then synchronised. It also lets
    DistributedDataParallel put its buckets of gradients into their final order: three or more
    processes add them up in an order that depends on it, and a resumed run must not differ.

    Args:
        network: on its device, in training mode.
        recipe: `sync_batch_norm` and `compile`.
        criterion: `(output, target) -> scalar`.
        batch: the samples to try.
        autocast: makes the context of a forward pass, or None.

    Raises:
        OptionError: no parameter is trained, or the network cannot be compiled so.
    """

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        criterion: Callable[[Any, Tensor], Tensor],
        batch: Batch,
        autocast: Callable[[], Any] | None = None,
    ) -> None:
        if not any(parameter.requires_grad for parameter in network.parameters()):
            raise OptionError("training expected a parameter that is trained, received none.")
        context = autocast or nullcontext
        has_batch_norm, has_unused = _tried(network, criterion, batch, context)
        self._batch_norm = None
        if has_batch_norm and recipe.sync_batch_norm:
            if recipe.compile:
                raise OptionError(
                    "compile expected no batch norm that is synchronised over processes, which "
                    f"{type(network).__name__} has. Fix: leave --compile out, or give "
                    "--no-sync-batch-norm."
                )
            self._batch_norm = SynchronisedBatchNorm()
        device = next(network.parameters()).device
        self._replica = DistributedDataParallel(
            network,
            device_ids=[device] if device.type == "cuda" else None,
            find_unused_parameters=has_unused,
            gradient_as_bucket_view=True,  # spares a copy
        )
        self._called: Callable[..., Any] = self._replica
        if recipe.compile:
            self._called = torch.compile(self._replica)
        with no_trace(network), context():
            criterion(self(*batch[0]), batch[1]).backward()
        network.zero_grad(set_to_none=True)

    def __call__(self, *inputs: Tensor) -> Any:
        """Compute the network's output."""
        if self._batch_norm is None:
            return self._called(*inputs)
        with self._batch_norm:
            return self._called(*inputs)

    def begin_pass(self, *, counts: bool, last: bool) -> None:
        """Say what the next forward pass is.

        Args:
            counts: whether its samples belong to the batch, or are a stand-in.
            last: whether it is the last one of its optimizer step, which exchanges gradients.
        """
        self._replica.require_backward_grad_sync = last  # what its `no_sync` sets
        if self._batch_norm is not None:
            self._batch_norm.counts = counts


def _tried(
    network: nn.Module,
    criterion: Callable[[Any, Tensor], Tensor],
    batch: Batch,
    context: Callable[[], Any],
) -> tuple[bool, bool]:
    """Say whether the network uses batch norm, and whether it leaves parameters unused."""
    trial = copy.deepcopy(network)
    find = FindBatchNorm()
    with no_trace(network):
        with find, context():
            output = trial(*batch[0])
        criterion(output, batch[1]).backward()
    network.zero_grad(set_to_none=True)  # a penalty in the criterion reaches the network itself
    unused = [p for p in trial.parameters() if p.requires_grad and p.grad is None]
    return find.found, bool(unused)
