"""Which parameters weight decay pulls at, by what each one is for, and how fast each one learns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from torch import nn

from layerwright.errors import OptionError
from layerwright.initialization.structure import places, role_of
from layerwright.training.name_patterns import chosen_by


@dataclass(frozen=True)
class ParameterRole:
    """What one parameter is for.

    Args:
        name: as in `named_parameters`.
        role: "weight", "bias", "gain" or "embedding".
        shape: its shape.
        decays: whether weight decay applies: to trainable weights only.
        module: the class of the module that uses it.
        trainable: whether it has a gradient; frozen parameters are in no group.
    """

    name: str
    role: str
    shape: tuple[int, ...]
    decays: bool
    module: str
    trainable: bool = True


def parameter_roles(network: nn.Module) -> list[ParameterRole]:
    """Return the role of each parameter, tied ones once, in the order of `named_parameters`.

    Roles are read from the structure; `layerwright.initialization.structure.kind_of` has the
    rules. Where they guess wrong, the class says it: `parameter_roles = {"alpha": "gain"}`.

    Raises:
        ShapeError: a lazy module has not seen an input yet.
        OptionError: a class declares roles that do not exist.
    """
    roles = []
    for place in places(network):
        role, trainable = role_of(place), place.parameter.requires_grad
        roles.append(
            ParameterRole(
                place.name,
                role,
                tuple(place.parameter.shape),
                role == "weight" and trainable,
                type(place.owner).__name__,
                trainable,
            )
        )
    return roles


def parameter_groups(
    network: nn.Module,
    weight_decay: float,
    *,
    lr: float | None = None,
    lr_factors: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Return the optimizer's parameter groups: weights decay, all else does not.

    Biases, gains and embeddings do not: to shrink them limits no function that the network could
    overfit with, and rows of an embedding would shrink in each step that does not use them.

    Args:
        network: its trainable parameters make the groups, in the order of `named_parameters`.
        weight_decay: the strength; with 0 there is one group for each learning rate.
        lr: the learning rate that `lr_factors` multiply.
        lr_factors: factors by pattern of names; of several that match, the last one counts. Groups
            that no pattern changes come first and have no "lr" of their own.

    Raises:
        OptionError: nothing is trainable, `weight_decay` is negative or not finite, or a pattern
            of `lr_factors` matches nothing trainable; also as `parameter_roles`.
        ShapeError: a lazy module has not seen an input yet.
    """
    if not 0 <= weight_decay < float("inf"):
        raise OptionError(
            f"weight_decay expected a number from 0, received {weight_decay!r}. "
            "Fix: use 0 for none, or a small number such as 0.01."
        )
    trainable = [place for place in places(network) if place.parameter.requires_grad]
    if not trainable:
        raise OptionError(
            f"{type(network).__name__} expected a parameter with requires_grad, received none. "
            "Fix: register its tensors as nn.Parameter, or unfreeze a layer."
        )
    factors = dict(lr_factors or {})
    names = [place.name for place in trainable]
    chosen = chosen_by("lr_factors", list(factors), names, "trainable parameters")
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for place in trainable:
        factor = factors[chosen[place.name]] if place.name in chosen else 1.0
        decays = weight_decay != 0 and role_of(place) == "weight"
        groups.setdefault((factor, decays), []).append(place.parameter)
    return [
        {
            "params": groups[factor, decays],
            "weight_decay": float(weight_decay) if decays else 0.0,
            **({} if factor == 1 or lr is None else {"lr": lr * factor}),
        }
        for factor, decays in sorted(groups, key=lambda key: (key[0] != 1, key[0], not key[1]))
    ]


def roles_table(network: nn.Module) -> Table:
    """Return the roles as a table for the terminal."""
    table = Table("parameter", "module", "shape", "role", "weight decay", box=None)
    for item in parameter_roles(network):
        decay = "yes" if item.decays else "no" if item.trainable else "frozen"
        shape = " x ".join(map(str, item.shape)) or "scalar"
        table.add_row(item.name, item.module, shape, item.role, decay)
    return table
