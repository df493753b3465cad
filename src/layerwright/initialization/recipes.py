"""Initialise a network: in place, by a named recipe, repeatable under a generator."""

import warnings
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

import torch
from torch import Generator, Tensor, nn

from layerwright.errors import OptionError
from layerwright.initialization.filling import Filling, global_numbers_from
from layerwright.initialization.formulas import (
    Formula,
    kaiming_normal_fan_in,
    kaiming_normal_fan_out,
    normal,
    orthogonal,
    standard_normal,
    xavier_uniform,
)
from layerwright.initialization.structure import Place, places
from layerwright.names import look_up, name_of, nearest

M = TypeVar("M", bound=nn.Module)

_WEIGHT_KINDS = ("convolution", "linear", "recurrent", "weight")

_FORMULAS: dict[str, dict[str, Formula]] = {
    "default": {},  # nothing is drawn by a formula: each module resets itself
    "normal": dict.fromkeys((*_WEIGHT_KINDS, "embedding"), normal),
    "xavier": {**dict.fromkeys(_WEIGHT_KINDS, xavier_uniform), "embedding": standard_normal},
    "kaiming": {
        **dict.fromkeys(_WEIGHT_KINDS, kaiming_normal_fan_in),
        "embedding": standard_normal,
    },
    "by-type": {
        "convolution": kaiming_normal_fan_out,
        "linear": xavier_uniform,
        "recurrent": orthogonal,
        "weight": xavier_uniform,
        "embedding": standard_normal,
    },
}

RECIPES = tuple(_FORMULAS)


def initialize(
    module: M,
    recipe: str | Callable[[nn.Module], object] = "by-type",
    *,
    generator: Generator | None = None,
    keep: Sequence[str] = (),
) -> M:
    """Give every parameter of `module` a new value, in place.

    | recipe    | convolutions    | other weights                                | embeddings    |
    | --------- | --------------- | -------------------------------------------- | ------------- |
    | `default` | own reset       | own reset                                    | own reset     |
    | `normal`  | `N(0, 0.02²)`   | `N(0, 0.02²)`                                | `N(0, 0.02²)` |
    | `xavier`  | Xavier uniform  | Xavier uniform                               | `N(0, 1)`     |
    | `kaiming` | Kaiming fan-in  | Kaiming fan-in                               | `N(0, 1)`     |
    | `by-type` | Kaiming fan-out | Xavier uniform; state-to-state: orthogonal   | `N(0, 1)`     |

    `default` calls each module's `reset_parameters`, children first. In the others, biases and an
    embedding's padding row become 0 and running statistics start again. Gains become what their
    module's own reset says (and biases too, if it has nothing else), or 1 in a normalisation
    without one. What nothing is known about is left, and one warning names it: in `default` the
    parameters of modules without a reset, else gains such as a slope or layer scale without one,
    and always parameters that are not real floating point. Kaiming draws from a normal
    distribution. Which parameter is what is read from the structure (`structure.kind_of`), the
    fans from the owner (`formulas.fans_of`); a recurrent weight is drawn gate by gate.

    Tied parameters are initialised once. Frozen ones are too, unless `keep` names them. Of a
    parametrised tensor (`weight_norm`, `orthogonal`) the value that the layer uses is drawn, and
    given back through the parametrisation. `weight_norm` of `torch.nn.utils` itself is refused.

    Args:
        module: a module whose parameters have values (neither lazy nor on the meta device).
        recipe: a name from `RECIPES`, or a function that initialises the module it is given. It
            is called once; a function for single layers is passed as
            `lambda network: network.apply(function)`.
        generator: where random numbers come from; the same state gives the same values, on any
            device, and the global random numbers stay as they were. (`reset_parameters` and a
            function draw from global numbers, seeded from the generator meanwhile: these depend
            on the device.) None draws from the global random numbers, as torch does.
        keep: patterns such as "backbone.*" of parameter names whose values stay.

    Returns:
        The module itself.

    Raises:
        OptionError: the recipe or a pattern is unknown, `module` is no module, a parameter is on
            the meta device, or a parametrisation cannot take a value.
        ShapeError: a lazy module has not seen an input yet.
    """
    if not isinstance(module, nn.Module):
        raise OptionError(
            f"initialize expected an nn.Module, received {type(module).__name__}. "
            "Fix: pass the network itself."
        )
    if isinstance(recipe, str):
        look_up("initialisation recipe", recipe, _FORMULAS)
    elif not callable(recipe):
        raise OptionError(
            f"initialisation recipe expected a name or a callable (module) -> None, received "
            f"{recipe!r}. Fix: choose one of {', '.join(RECIPES)}, or give a function."
        )
    found = places(module)
    for place in found:
        _refuse_unfit(place)
    with torch.no_grad():
        kept = [(tensor, tensor.clone()) for tensor in _matching(module, keep)]
        if isinstance(recipe, str):
            kept_ids = {id(tensor) for tensor, _ in kept}
            left = Filling(_FORMULAS[recipe], generator).fill(module, found)
            _report(recipe, [place for place in left if id(place.parameter) not in kept_ids])
        else:
            _call(recipe, module, generator)
        for tensor, value in kept:
            tensor.copy_(value)
    return module


def _refuse_unfit(place: Place) -> None:
    if place.parameter.is_meta:
        raise OptionError(
            f"{place.name} expected values to replace, received a parameter on the meta device. "
            "Fix: call to_empty(device='cpu') on the module first."
        )
    stem = place.attribute.removesuffix("_g")
    if stem != place.attribute and hasattr(place.owner, f"{stem}_v"):
        raise OptionError(
            f"{place.name} expected a tensor that can be assigned, received the magnitude of "
            "torch.nn.utils.weight_norm. Fix: use torch.nn.utils.parametrizations.weight_norm."
        )


def _matching(module: nn.Module, patterns: Sequence[str]) -> list[Tensor]:
    """Return the parameters and buffers that `keep` names."""
    tensors: dict[str, Tensor] = dict(module.named_parameters(remove_duplicate=False))
    tensors.update(module.named_buffers(remove_duplicate=False))
    found: dict[int, Tensor] = {}
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        matches = [tensor for name, tensor in tensors.items() if fnmatchcase(name, pattern)]
        if not matches:
            near = nearest(pattern, tensors)
            hint = f"Did you mean {near!r}?" if near else "Fix: see named_parameters() for them."
            raise OptionError(f"keep expected names of parameters, received {pattern!r}. {hint}")
        found.update({id(tensor): tensor for tensor in matches})
    return list(found.values())


def _call(
    recipe: Callable[[nn.Module], object], module: nn.Module, generator: Generator | None
) -> None:
    """Run a user's recipe, and say when it did nothing, as one meant for single layers does."""
    before = [parameter.clone() for parameter in module.parameters()]
    with global_numbers_from(generator, module):
        recipe(module)
    if before and all(map(torch.equal, before, module.parameters())):
        name = name_of(recipe)
        warnings.warn(
            f"initialisation recipe {name!r} changed no parameter of {type(module).__name__}. "
            f"Fix: if it is meant for single layers, pass "
            f"lambda network: network.apply({name}).",
            stacklevel=3,
        )


def _report(recipe: str, left: list[Place]) -> None:
    if not left:
        return
    names = [f"{place.name} ({type(place.owner).__name__})" for place in left]
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    warnings.warn(
        f"initialisation recipe {recipe!r} left as it was: {shown}. "
        "Fix: give the class a reset_parameters method, or name the parameter in keep.",
        stacklevel=3,
    )
