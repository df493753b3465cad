"""Finds the module whose output or gradient is the first that is not finite.

A healthy run pays nothing for this: the step is computed once more, under hooks, only after the
loop has met a non-finite value.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class Cause:
    """The first non-finite value of a step.

    Attributes:
        module: path of the module in the network; "" is the network itself.
        what: "output of", "gradient of" and so on, as a phrase that names the module.
        counts: how many of how many values are NaN or infinite.
    """

    module: str
    what: str
    counts: str


@dataclass
class _Use:
    """Which modules made a tensor, and which took it in."""

    makers: list[str] = field(default_factory=list)
    takers: list[str] = field(default_factory=list)


def find_cause(
    network: nn.Module,
    inputs: tuple[Any, ...],
    target: Tensor,
    criterion: Callable[[Any, Tensor], Tensor],
) -> Cause | None:
    """Compute forward, loss and backward once, and return the first non-finite value's origin."""
    for position, tensor in enumerate(_tensors(inputs)):
        if not _finite(tensor):
            return Cause("", f"input {position} of the batch itself", _counts(tensor))
    watch = _Watch(network)
    with watch.hooks():
        loss = criterion(network(*inputs), target)
        if watch.cause is None and not _finite(loss):
            return Cause("", "loss; every module's output is finite", _counts(loss))
        if watch.cause is None:
            loss.backward()
    network.zero_grad(set_to_none=True)
    return watch.cause


class _Watch:
    """Hooks on every module and on every tensor that passes between modules."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.cause: Cause | None = None
        self._uses: dict[int, _Use] = {}
        self._alive: list[Tensor] = []  # keeps ids from being used again

    @contextmanager
    def hooks(self) -> Iterator[None]:
        handles = []
        for name, module in self.network.named_modules():
            handles.append(module.register_forward_pre_hook(self._before(name), with_kwargs=True))
            handles.append(module.register_forward_hook(self._after(name)))
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                handles.append(parameter.register_hook(self._parameter_gradient(name)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _blame(self, module: str, what: str, tensor: Tensor) -> None:
        if self.cause is None:
            self.cause = Cause(module, what, _counts(tensor))

    def _before(self, name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, args: Any, kwargs: Any) -> None:
            for tensor in _tensors((args, kwargs)):
                if not _finite(tensor):  # no module made it: the parent's own forward did
                    parent = name.rpartition(".")[0]
                    text = f"value computed in the forward of {_spoken(parent)}, on its way to"
                    self._blame(parent, f"{text} {_spoken(name)}", tensor)
                self._use(tensor).takers.append(name)

        return hook

    def _after(self, name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            for tensor in _tensors(output):
                if not _finite(tensor):
                    self._blame(name, f"output of {_spoken(name)}", tensor)
                self._use(tensor).makers.append(name)

        return hook

    def _use(self, tensor: Tensor) -> _Use:
        known = self._uses.get(id(tensor))
        if known is None:
            known = self._uses[id(tensor)] = _Use()
            self._alive.append(tensor)
            if tensor.requires_grad:
                tensor.register_hook(self._tensor_gradient(known))
        return known

    def _parameter_gradient(self, name: str) -> Callable[[Tensor], None]:
        def hook(grad: Tensor) -> None:
            if not _finite(grad):
                module = name.rpartition(".")[0]
                self._blame(module, f"gradient of parameter {name} in {_spoken(module)}", grad)

        return hook

    def _tensor_gradient(self, use: _Use) -> Callable[[Tensor], None]:
        def hook(grad: Tensor) -> None:
            if self.cause is not None or _finite(grad):
                return
            if use.takers:  # the last and innermost module that took the tensor
                taker = use.takers[-1]
                self._blame(taker, f"gradient with respect to the input of {_spoken(taker)}", grad)
                return
            maker = min(use.makers, key=lambda name: name.count(".") if name else -1)
            if maker == "":
                self._blame("", "gradient that the loss sends into the network", grad)
                return
            parent = maker.rpartition(".")[0]
            text = f"gradient of what the forward of {_spoken(parent)} makes of the output of"
            self._blame(parent, f"{text} {_spoken(maker)}", grad)

        return hook


def _spoken(name: str) -> str:
    return f"`{name}`" if name else "the network"


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def _finite(tensor: Tensor) -> bool:
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return True
    dense = tensor.coalesce().values() if tensor.is_sparse else tensor
    return bool(torch.isfinite(dense).all())


def _counts(tensor: Tensor) -> str:
    dense = (tensor.coalesce().values() if tensor.is_sparse else tensor).detach()
    num_nan, num_inf = int(dense.isnan().sum()), int(dense.isinf().sum())
    return f"{num_nan} NaN and {num_inf} infinite of {dense.numel()} values"
