"""Initialise a network: in place, by a named recipe, repeatable under a generator."""

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from fnmatch import fnmatchcase
from typing import Any, TypeVar

import torch
from torch import Generator, Tensor, nn

from layerwright.errors import OptionError
from layerwright.initialization.examples import ExampleInputs, example_inputs_of
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
from layerwright.initialization.lsuv import scale_to_unit_variance
from layerwright.initialization.materialization import materialized
from layerwright.initialization.residual_branches import zero_residual_branches
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
    "orthogonal": {**dict.fromkeys(_WEIGHT_KINDS, orthogonal), "embedding": standard_normal},
}

RECIPES = tuple(_FORMULAS)
LSUV = "lsuv"  # needs inputs, as no recipe of RECIPES does
_FORMULAS[LSUV] = _FORMULAS["orthogonal"]  # where it starts from


def initialize(
    module: M,
    recipe: str | Callable[[nn.Module], object] = "by-type",
    *,
    generator: Generator | None = None,
    keep: Sequence[str] = (),
    inputs: Any = None,
    zero_branches: bool | Sequence[str] = False,
    device: torch.device | str | None = None,
) -> M:
    """Give every parameter of `module` a new value, in place.

    | recipe       | convolutions    | other weights                              | embeddings    |
    | ------------ | --------------- | ------------------------------------------ | ------------- |
    | `default`    | own reset       | own reset                                  | own reset     |
    | `normal`     | `N(0, 0.02²)`   | `N(0, 0.02²)`                              | `N(0, 0.02²)` |
    | `xavier`     | Xavier uniform  | Xavier uniform                             | `N(0, 1)`     |
    | `kaiming`    | Kaiming fan-in  | Kaiming fan-in                             | `N(0, 1)`     |
    | `by-type`    | Kaiming fan-out | Xavier uniform; state-to-state: orthogonal | `N(0, 1)`     |
    | `orthogonal` | orthogonal      | orthogonal                                 | `N(0, 1)`     |
    | `lsuv`       | orthogonal, then scaled until each output has variance 1     | `N(0, 1)`     |

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
        module: a module without lazy parameters.
        recipe: a name from `RECIPES`, "lsuv" (see `lsuv.scale_to_unit_variance`), or a function
            that initialises the module it is given. It is called once; a function for single
            layers is passed as `lambda network: network.apply(function)`.
        generator: where random numbers come from; the same state gives the same values, on any
            device, and the global random numbers stay as they were. (`reset_parameters` and a
            function draw from global numbers, seeded from the generator meanwhile: these depend
            on the device.) None draws from the global random numbers, as torch does.
        keep: patterns such as "backbone.*" of parameter names whose values stay.
        inputs: a batch, for `lsuv` and `zero_branches`: a tensor, a tuple of forward's positional
            arguments, or a dict of its named ones.
        zero_branches: True to let residual branches start at zero, found in one pass over
            `inputs` (see `zero_residual_branches`); or patterns of parameter names that become 0.
        device: where a network that was built under `torch.device("meta")` gets its values. What
            only a constructor knows, such as a table of positions, must come from a reset.

    Returns:
        The module itself.

    Raises:
        OptionError: the recipe or a pattern is unknown, `module` is no module, `inputs` are
            missing, a parametrisation cannot take a value, a parameter is on the meta device
            without a `device`, or nothing says what to write into it.
        ShapeError: a lazy module has not seen an input yet.
    """
    examples = _checked(module, recipe, inputs, zero_branches)
    memory: AbstractContextManager[list[Tensor]] = nullcontext([])
    if device is not None:
        memory = materialized(module, device)
    with torch.no_grad(), memory as new:
        found = places(module)
        for place in found:
            _refuse_unfit(place)
        kept = [(tensor, tensor.clone()) for tensor in _matching(module, keep, new=new)]
        if new:  # what belongs to no recipe, such as tables: from resets, and not from generator
            Filling({}, Generator().manual_seed(0)).fill(module, found)
        if isinstance(recipe, str):
            kept_ids = {id(tensor) for tensor, _ in kept}
            free = [place for place in found if id(place.parameter) not in kept_ids]
            left = Filling(_FORMULAS[recipe], generator).fill(module, found)
            if recipe == LSUV and examples is not None:
                left += scale_to_unit_variance(module, examples, free)
            _report(recipe, [place for place in left if id(place.parameter) not in kept_ids])
        else:
            _call(recipe, module, generator)
        if not isinstance(zero_branches, bool):
            for tensor in _matching(module, zero_branches, option="zero_branches"):
                tensor.zero_()
        elif zero_branches and examples is not None:
            zero_residual_branches(module, examples)
        for tensor, value in kept:
            tensor.copy_(value)
    return module


def _checked(module: Any, recipe: Any, inputs: Any, zero_branches: Any) -> ExampleInputs | None:
    """Refuse what is no module or recipe, and recipes without the inputs that they need."""
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
    if inputs is not None:
        return example_inputs_of(inputs)
    if recipe == LSUV or zero_branches is True:
        asked = "recipe 'lsuv'" if recipe == LSUV else "zero_branches=True"
        raise OptionError(
            f"{asked} expected inputs, received none. Fix: pass a batch, such as "
            "inputs=torch.randn(64, 3, 32, 32)."
        )
    return None


def _refuse_unfit(place: Place) -> None:
    if place.parameter.is_meta:
        raise OptionError(
            f"{place.name} expected values to replace, received a parameter on the meta device. "
            "Fix: pass device='cpu', or another device with memory."
        )
    stem = place.attribute.removesuffix("_g")
    if stem != place.attribute and hasattr(place.owner, f"{stem}_v"):
        raise OptionError(
            f"{place.name} expected a tensor that can be assigned, received the magnitude of "
            "torch.nn.utils.weight_norm. Fix: use torch.nn.utils.parametrizations.weight_norm."
        )


def _matching(
    module: nn.Module,
    patterns: Sequence[str],
    option: str = "keep",
    new: Sequence[Tensor] = (),
) -> list[Tensor]:
    """Return the parameters and buffers that patterns name; refuse those that have no values."""
    tensors: dict[str, Tensor] = dict(module.named_parameters(remove_duplicate=False))
    tensors.update(module.named_buffers(remove_duplicate=False))
    found: dict[int, Tensor] = {}
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        matches = [tensor for name, tensor in tensors.items() if fnmatchcase(name, pattern)]
        if not matches:
            near = nearest(pattern, tensors)
            hint = f"Did you mean {near!r}?" if near else "Fix: see named_parameters() for them."
            raise OptionError(
                f"{option} expected names of parameters, received {pattern!r}. {hint}"
            )
        if any(tensor is item for tensor in matches for item in new):
            raise OptionError(f"{option} expected tensors with values, received some on meta.")
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
