"""The subject of a check: a private copy of the layer and everything known about it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from layerwright.contract.traits import Traits
from layerwright.contract.trees import Inputs


@dataclass(frozen=True)
class Subject:
    """A layer as it was handed over, and everything known about it.

    Attributes:
        layer: a private copy; rules get copies of it.
        cls: its class; for a layer that could not be built, what should have built it.
        inputs: the example inputs, private copies; None when none were given.
        build: makes an independent instance; None when that is not possible.
        why_not_built: the reason, if `build` is None.
        construction_error: what the constructor raised; `layer` is an empty module then.
        traits: what the layer does on purpose.
        loss: a loss that takes `(output, target)`, if one was given.
        target: the loss's target.
        source: what the caller handed over: an instance, which is never called, or what builds one.
    """

    layer: nn.Module
    cls: type
    inputs: Inputs | None
    build: Callable[[], nn.Module] | None
    why_not_built: str
    traits: Traits
    construction_error: Exception | None = None
    loss: Callable[..., Any] | None = None
    target: Any = None
    source: Any = None

    @property
    def original(self) -> nn.Module | None:
        """The layer as the caller handed it over, if it was an instance; look, never call."""
        return self.source if isinstance(self.source, nn.Module) else None
