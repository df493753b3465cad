"""Traits: what a layer does on purpose, so that no rule takes it for a fault."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from torch import nn

from layerwright.errors import OptionError
from layerwright.names import nearest

C = TypeVar("C", bound=type[nn.Module])

_ATTRIBUTE = "__layerwright_traits__"


@dataclass(frozen=True)
class Traits:
    """What a layer does on purpose.

    Attributes:
        mixes_batch: an answer depends on the other samples of the batch.
        batch_dim: the dimension that samples lie along; "auto" finds it, None says there is none.
        stochastic_in_eval: eval mode draws random numbers.
        stateful: forward changes buffers or attributes in eval mode too (caches, streams).
        inplace: forward changes its input.
        surrogate_gradient: backward is not the derivative of forward.
        stops_gradient: some inputs or parameters get no gradient.
        frozen_parameters: patterns (fnmatch) of parameters that are not trained by gradients.
        unused_parameters: patterns of parameters that forward may leave unused.
        data_dependent_shape: output shapes or control flow depend on the values of inputs.
        causal: outputs depend on no later position; a promise, which is verified.
    """

    mixes_batch: bool = False
    batch_dim: int | str | None = "auto"
    stochastic_in_eval: bool = False
    stateful: bool = False
    inplace: bool = False
    surrogate_gradient: bool = False
    stops_gradient: bool = False
    frozen_parameters: tuple[str, ...] = ()
    unused_parameters: tuple[str, ...] = ()
    data_dependent_shape: bool = False
    causal: bool = False

    def given(self) -> dict[str, Any]:
        """Return the traits that differ from their default."""
        return {
            item.name: getattr(self, item.name)
            for item in fields(self)
            if getattr(self, item.name) != item.default
        }

    def may_be_frozen(self, name: str) -> bool:
        """Tell whether a parameter may stay as it is, by its name in the layer."""
        return any(fnmatchcase(name, pattern) for pattern in self.frozen_parameters)

    def may_be_unused(self, name: str) -> bool:
        """Tell whether forward may leave a parameter unused, by its name in the layer."""
        return any(fnmatchcase(name, pattern) for pattern in self.unused_parameters)

    def with_(self, more: Mapping[str, Any]) -> "Traits":
        """Return these traits, with `more` on top.

        Raises:
            OptionError: a name is no trait, or a value does not fit.
        """
        return replace(self, **_checked(more))


TRAITS = tuple(item.name for item in fields(Traits))


def traits(**given: Any) -> Callable[[C], C]:
    """Declare on a class what its layers do on purpose; subclasses inherit it.

    Example:
        >>> @traits(surrogate_gradient=True)
        ... class Round(nn.Module):
        ...     def forward(self, x):
        ...         return x + (x.round() - x).detach()

    Raises:
        OptionError: a name is no trait, or a value does not fit; see `Traits`.
    """
    checked = _checked(given)

    def declare(cls: C) -> C:
        setattr(cls, _ATTRIBUTE, {**getattr(cls, _ATTRIBUTE, {}), **checked})
        return cls

    return declare


def traits_of(cls: type) -> Traits:
    """Return what a layer's class declares."""
    return Traits().with_(getattr(cls, _ATTRIBUTE, {}))


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for name, value in given.items():
        if name not in TRAITS:
            near = nearest(name, dict.fromkeys(TRAITS))
            hint = f"Did you mean {near!r}?" if near else f"Known: {', '.join(TRAITS)}."
            raise OptionError(f"unknown trait {name!r}. {hint}")
        if name.endswith("_parameters"):
            names = [value] if isinstance(value, str) else value
            if not isinstance(names, list | tuple) or not all(
                isinstance(item, str) for item in names
            ):
                raise OptionError(f"trait {name} expected patterns, received {value!r}.")
            checked[name] = tuple(names)
        elif name == "batch_dim":
            if not (value is None or value == "auto" or type(value) is int):
                raise OptionError(
                    f"trait batch_dim expected a dimension or None, received {value!r}."
                )
            checked[name] = value
        elif isinstance(value, bool):
            checked[name] = value
        else:
            raise OptionError(f"trait {name} expected True or False, received {value!r}.")
    return checked
