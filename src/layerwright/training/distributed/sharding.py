"""A network of which every process holds a part, by torch's FSDP2 (`fully_shard`)."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from layerwright.data.interface import Batch
from layerwright.errors import OptionError
from layerwright.training.distributed.batch_norm import FindBatchNorm, SynchronisedBatchNorm
from layerwright.training.evaluation import evaluation_mode
from layerwright.training.fitting import no_trace
from layerwright.training.recipe import Recipe

UNIT_SHARE = 8  # a part of the network with at most 1/8 of its parameters is gathered at once


def shard(network: nn.Module, recipe: Recipe, example: Callable[[], Batch]) -> bool:
    """Shard the parameters of a network in place.

    A layer's parameters are gathered when its forward runs, and dropped again. What is gathered at
    once is found by a trial: modules that are called, as large as 1/8 of the network at most, and
    whatever is left in one.

    Returns:
        Whether the network uses batch norm in training.

    Raises:
        OptionError: the recipe asks for something that needs whole weights.
    """
    barred = (("l1", recipe.l1), ("compile", recipe.compile), ("watch", recipe.watch))
    for name, given in barred:
        if given:
            raise OptionError(
                f"shard expected no {name}, received {name}={given!r}. Fix: leave one of them out."
            )
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload] # FSDP2 wants it
    called, has_batch_norm = _called(network, example)
    mesh = init_device_mesh(next(network.parameters()).device.type, (dist.get_world_size(),))
    if not _has_tied_parameters(network):
        for module in _units(network, called):
            fully_shard(module, mesh=mesh)
    fully_shard(network, mesh=mesh)
    return has_batch_norm


class Shards:
    """Calls a sharded network, with batch norm over the whole batch where that is wanted.

    Args:
        network: what `shard` has sharded.
        sync_batch_norm: whether batch norm is synchronised.
    """

    def __init__(self, network: nn.Module, *, sync_batch_norm: bool) -> None:
        self._network = network
        self._batch_norm = SynchronisedBatchNorm() if sync_batch_norm else None

    def __call__(self, *inputs: Tensor) -> Any:
        """Compute the network's output."""
        if self._batch_norm is None:
            return self._network(*inputs)
        with self._batch_norm:
            return self._network(*inputs)

    def begin_pass(self, *, counts: bool, last: bool) -> None:
        """Say what the next forward pass is; see `Replicas.begin_pass`."""
        if isinstance(self._network, FSDPModule):
            self._network.set_requires_gradient_sync(last)
        if self._batch_norm is not None:
            self._batch_norm.counts = counts


def _called(network: nn.Module, example: Callable[[], Batch]) -> tuple[set[nn.Module], bool]:
    """Return which modules a forward pass calls, and whether it uses batch norm in training."""
    called: set[nn.Module] = set()
    find = FindBatchNorm()
    with ExitStack() as stack:
        stack.enter_context(evaluation_mode(network))
        stack.enter_context(no_trace(network))
        for module in network.modules():
            hook = module.register_forward_pre_hook(lambda module, _args: called.add(module))
            stack.callback(hook.remove)
        network.train()
        with find:
            network(*example()[0])
    return called, find.found


def _units(module: nn.Module, called: set[nn.Module]) -> list[nn.Module]:
    """Return what is gathered at once, inner ones first."""
    total = sum(parameter.numel() for parameter in module.parameters())
    units = []

    def descend(parent: nn.Module) -> None:
        for child in parent.children():
            size = sum(parameter.numel() for parameter in child.parameters())
            inner = any(True for grandchild in child.children() for _ in grandchild.parameters())
            if size and child in called and (size * UNIT_SHARE <= total or not inner):
                units.append(child)
            else:
                descend(child)

    descend(module)
    return list(dict.fromkeys(units))


def _has_tied_parameters(network: nn.Module) -> bool:
    return len(list(network.named_parameters())) != len(
        list(network.named_parameters(remove_duplicate=False))
    )
