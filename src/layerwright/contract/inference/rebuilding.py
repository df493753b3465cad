"""Builds a second instance of a layer that was handed over as an instance."""

import copy
import inspect
import warnings
from collections import OrderedDict
from collections.abc import Callable
from inspect import Parameter
from typing import Any

import torch
from torch import nn

from layerwright.contract.inference.likeness import differences
from layerwright.contract.inference.search import (
    CannotRebuild,
    ConstructorCall,
    Unlike,
    cast_of,
    find_constructor,
)

__all__ = ["CannotRebuild", "Rebuilder", "rebuilder_for"]

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def rebuilder_for(source: nn.Module | Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """Return a function that builds an independent instance at each call.

    The constructor runs, more than once if its arguments have to be found; the caller restores
    what it does to global state. A rebuild draws new random values.

    Args:
        source: an instance, a class, or a function without arguments that builds one.

    Raises:
        CannotRebuild: the arguments of the constructor cannot be found, or what it builds is not
            like the instance.
    """
    if isinstance(source, nn.Module):
        return Rebuilder(source)
    missing = _required(source)
    if missing:
        name = getattr(source, "__qualname__", type(source).__name__)
        raise CannotRebuild(f"{name} needs the arguments {', '.join(missing)}")
    return source if isinstance(source, type) else _Factory(source)


class Rebuilder:
    """Builds modules like a given one: the same class, with the arguments that it shows.

    Args:
        layer: an instance, which is looked at and neither called nor changed.

    Raises:
        CannotRebuild: see `rebuilder_for`.
    """

    def __init__(self, layer: nn.Module) -> None:
        if isinstance(layer, torch.jit.ScriptModule | torch.fx.GraphModule):
            raise CannotRebuild(f"{type(layer).__name__} was generated, it has no constructor")
        self._dtype: torch.dtype | None = None
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if type(layer) in _CONTAINERS:
                self._make = _container(layer)
                self._verify(layer, self._make)
            else:
                self._make = find_constructor(layer, _renewal(), self._verify)

    def __call__(self) -> nn.Module:
        """Build one."""
        return self._make().to(self._dtype)

    def arguments(self) -> tuple[list[Any], dict[str, Any]] | None:
        """Return positional and keyword arguments of the constructor; None for a container."""
        return self._make.arguments() if isinstance(self._make, ConstructorCall) else None

    def _verify(self, layer: nn.Module, make: Callable[[], nn.Module]) -> None:
        """Build, and raise if the result is not like the layer."""
        built = make()
        if built is layer or set(built.parameters()) & set(layer.parameters()):
            raise CannotRebuild(f"{type(layer).__name__} hands out the same parameters each time")
        self._dtype = cast_of(layer, built)
        built = built.to(self._dtype)
        found = differences(layer, built)
        if found:
            # what two builds do not agree about is drawn at random, or counted
            drawn = differences(built, make().to(self._dtype))
            found = {place: text for place, text in found.items() if place not in drawn}
        if found:
            raise Unlike(len(found), next(iter(found.values())))


class _Factory:
    """A caller's function, which shall return a new module each time."""

    def __init__(self, function: Callable[[], nn.Module]) -> None:
        self.function = function
        self.last: nn.Module | None = None

    def __call__(self) -> nn.Module:
        name = getattr(self.function, "__qualname__", type(self.function).__name__)
        module = self.function()
        if not isinstance(module, nn.Module):
            raise CannotRebuild(f"{name} returned {type(module).__name__}, no nn.Module")
        if module is self.last:
            raise CannotRebuild(f"{name} returns the same module each time")
        self.last = module
        return module


def _renewal() -> Callable[[nn.Module], nn.Module]:
    """Return what makes fresh modules of parts; one that cannot be rebuilt is copied."""
    known: dict[int, Callable[[], nn.Module]] = {}

    def renew(part: nn.Module) -> nn.Module:
        if id(part) not in known:
            try:
                known[id(part)] = Rebuilder(part)
            except CannotRebuild:
                known[id(part)] = lambda: copy.deepcopy(part)
        return known[id(part)]()

    return renew


def _container(layer: nn.Module) -> Callable[[], nn.Module]:
    """Rebuild a container of torch.nn from its rebuilt children."""
    children = dict(layer._modules)  # noqa: SLF001 - with those that stand there twice
    makers: dict[int, Callable[[], nn.Module]] = {}
    for name, child in children.items():
        if child is not None and id(child) not in makers:
            try:
                makers[id(child)] = Rebuilder(child)
            except CannotRebuild as error:
                raise CannotRebuild(f"its part {name!r}: {error}") from error

    def make() -> nn.Module:
        made = {place: maker() for place, maker in makers.items()}
        parts = OrderedDict(
            (name, made[id(child)]) for name, child in children.items() if child is not None
        )
        if isinstance(layer, nn.ModuleList):
            return nn.ModuleList(parts.values())
        return type(layer)(parts)

    return make


def _required(function: Callable[..., Any]) -> list[str]:
    """Return the arguments that a call cannot do without."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # written in C
        return []
    return [
        item.name
        for item in parameters
        if item.default is item.empty
        and item.kind not in {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}
    ]
