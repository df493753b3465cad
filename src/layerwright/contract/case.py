"""A case: how to build a layer and how to feed it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from layerwright.contract.traits import Traits
from layerwright.errors import OptionError
from layerwright.names import name_of


@dataclass(frozen=True, init=False)
class Case:
    """How to build a layer and feed it.

    Args:
        factory: a class without required arguments, a function, or an `nn.Module`, which is copied.
        inputs: forward's positional arguments.
        kwargs: forward's keyword arguments.
        traits: what the layer does on purpose, beside what its class declares; see `Traits`.
        loss: a loss that takes `(output, target)`.
        target: the loss's target.
        name: what reports and test ids call it; default the factory's name.

    Raises:
        OptionError: the factory cannot be called, or a trait is unknown.
    """

    factory: Callable[[], nn.Module] | nn.Module
    inputs: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    traits: Mapping[str, Any]
    loss: Callable[..., Any] | None
    target: Any
    name: str = field(compare=False)

    def __init__(
        self,
        factory: Callable[[], nn.Module] | nn.Module,
        inputs: Any = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        traits: Mapping[str, Any] | Traits | None = None,
        loss: Callable[..., Any] | None = None,
        target: Any = None,
        name: str | None = None,
    ) -> None:
        if not callable(factory):
            raise OptionError(
                f"Case expected a class, a function or a layer, received {factory!r}."
            )
        given = traits.given() if isinstance(traits, Traits) else dict(traits or {})
        Traits().with_(given)  # refuses what is no trait
        values = {
            "factory": factory,
            "inputs": tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,),
            "kwargs": dict(kwargs or {}),
            "traits": given,
            "loss": loss,
            "target": target,
            "name": name or name_of(factory),
        }
        for key, value in values.items():
            object.__setattr__(self, key, value)
