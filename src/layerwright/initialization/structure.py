"""What each parameter of a network is for, read from the network's structure.

A class may say it itself, and then nothing is guessed:

    class Positions(nn.Module):
        parameter_roles = {"table": "embedding"}  # or "weight", "bias", "gain"
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from layerwright.errors import OptionError, ShapeError
from layerwright.names import look_up, nearest

ROLES = ("weight", "bias", "gain", "embedding")

_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
_NORMALIZATIONS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)  # noqa: SLF001
_SHIFTS = {"beta": "gamma", "shift": "scale", "offset": "scale"}  # a bias only beside the other
_SCALES = {"scale", "scales", "gain", "gains", "gamma"}
_WEIGHTS = {"weight", "weights", "kernel", "kernels"}


@dataclass(frozen=True)
class Place:
    """Where a parameter is used.

    Args:
        name: as in `named_parameters`.
        parameter: the parameter itself.
        owner: the module that uses it. Of a `ParameterList` or a parametrisation, that is the
            module which holds the list or whose tensor is parametrised.
        attribute: its name in the owner, such as "weight".
        part: whether it is one of several tensors from which a parametrisation computes
            `attribute`, such as the magnitude and the direction of `weight_norm`.
    """

    name: str
    parameter: nn.Parameter
    owner: nn.Module
    attribute: str
    part: bool = False

    @property
    def kind(self) -> str:
        """What the parameter is: see `kind_of`."""
        return kind_of(self.owner, self.attribute, tuple(self.parameter.shape), part=self.part)


def places(network: nn.Module) -> list[Place]:
    """Return one place for each parameter, in the order of `named_parameters`.

    A parameter with several owners (tied) counts once: where its role is declared if it is
    somewhere, else where it is an embedding if it is somewhere, else where it comes first.

    Raises:
        ShapeError: a lazy module has not seen an input yet.
        OptionError: a class declares roles that do not exist.
    """
    found: dict[int, Place] = {}
    for place in _all_places(network):
        if is_lazy(place.parameter):
            raise ShapeError(
                f"{place.name} expected a shape, received a lazy parameter of "
                f"{type(place.owner).__name__}. Fix: run the network on one batch first."
            )
        first = found.setdefault(id(place.parameter), place)
        if _claim(place) > _claim(first):
            found[id(place.parameter)] = replace(place, name=first.name)
    return list(found.values())


def kind_of(owner: nn.Module, attribute: str, shape: tuple[int, ...], *, part: bool = False) -> str:
    """Return what a parameter is, by its owner, the name of the attribute and its shape.

    - "embedding": the table of `nn.Embedding` and `nn.EmbeddingBag`, or declared so.
    - "bias": called bias (also `in_proj_bias`, `bias_ih_l0`), or `beta` beside `gamma`.
    - "gain": a normalisation's weight, and whatever else has one dim or none; with more dims, when
      at most one of them is above 1, as in (C, 1, 1). Of these, two dims called neither scale,
      gain nor gamma are a weight, since (1, C) is a linear layer with one output, and so is
      anything called weight or kernel.
    - "recurrent": a state-to-state weight, called `weight_hh...` as in torch.
    - "convolution": three or more dims in an owner with a `kernel_size`, or four and more.
    - "linear": any other weight with two dims.
    - "weight": any other weight.
    """
    declared = _declared_role(owner, attribute)
    if declared not in (None, "weight"):
        return str(declared)
    if isinstance(owner, _EMBEDDINGS) and attribute == "weight":
        return "embedding"
    if declared is None:
        role = _vector_role(owner, attribute, shape, part=part)
        if role is not None:
            return role
    if attribute.startswith("weight_hh") and len(shape) == 2:
        return "recurrent"
    if len(shape) > 3 or (len(shape) == 3 and hasattr(owner, "kernel_size")):
        return "convolution"
    return "linear" if len(shape) == 2 else "weight"


def role_of(place: Place) -> str:
    """Return the role of the parameter: one of `ROLES`."""
    kind = place.kind
    return kind if kind in ROLES else "weight"


def is_normalization(owner: nn.Module) -> bool:
    """Whether a module looks like a normalisation: running statistics, or a gain beside a bias."""
    buffers = dict(owner.named_buffers(recurse=False))
    own = {name: value.shape for name, value in owner.named_parameters(recurse=False)}
    pairs = (("weight", "bias"), ("gamma", "beta"), ("scale", "bias"), ("scale", "shift"))
    return (
        isinstance(owner, _NORMALIZATIONS)
        or "running_mean" in buffers
        or any(
            gain in own and own[gain] == own.get(bias) and len(own) == 2 and len(own[gain]) == 1
            for gain, bias in pairs
        )
    )


def _all_places(network: nn.Module) -> Iterator[Place]:
    """Every use of a parameter, tied ones repeatedly."""
    users: dict[int, tuple[nn.Module, str]] = {}  # of the containers that only hold parameters
    for prefix, module in network.named_modules():
        for name, child in module.named_children():
            if isinstance(child, (nn.ParameterList, nn.ParameterDict)):
                users[id(child)] = users.get(id(module), (module, name))
        if parametrize.is_parametrized(module):
            for name, originals in module.parametrizations.items():
                users[id(originals)] = (module, name)
        own = list(module.named_parameters(recurse=False, remove_duplicate=False))
        parts = isinstance(module, parametrize.ParametrizationList) and len(own) > 1
        for name, parameter in own:
            owner, attribute = users.get(id(module), (module, name))
            yield Place(f"{prefix}.{name}".lstrip("."), parameter, owner, attribute, part=parts)


def _claim(place: Place) -> int:
    """How much this owner of a tied parameter knows about it."""
    if _declared_role(place.owner, place.attribute) is not None:
        return 2
    return 1 if isinstance(place.owner, _EMBEDDINGS) else 0


def _declared_role(owner: nn.Module, attribute: str) -> str | None:
    declared: Any = getattr(owner, "parameter_roles", None)
    if not isinstance(declared, Mapping):
        return None
    for name, role in declared.items():
        look_up("parameter role", role, dict.fromkeys(ROLES))
        if not hasattr(owner, name):
            own = dict(owner.named_parameters(recurse=False))
            near = nearest(name, own)
            hint = f"Did you mean {near!r}?" if near else "Fix: remove the name."
            raise OptionError(
                f"{type(owner).__name__}.parameter_roles expected names of its parameters, "
                f"received {name!r}. {hint}"
            )
    return declared.get(attribute)


def _vector_role(
    owner: nn.Module, attribute: str, shape: tuple[int, ...], *, part: bool
) -> str | None:
    """Return "bias", "gain", or None for a weight."""
    words = attribute.lower().split("_")
    if "bias" in (words[0], words[-1]):
        return "bias"
    if isinstance(owner, _NORMALIZATIONS):
        return "gain"
    if sum(size != 1 for size in shape) > 1:
        return None
    if words == ["b"] or (attribute in _SHIFTS and hasattr(owner, _SHIFTS[attribute])):
        return "bias"
    if len(shape) < 2 or part or attribute == "weight_g" or _SCALES.intersection(words):
        return "gain"
    return None if len(shape) == 2 or _WEIGHTS.intersection(words) else "gain"
