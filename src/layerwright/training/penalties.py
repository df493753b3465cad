"""L1 and L2 penalties on parameters, chosen by what each one is for."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from layerwright.errors import OptionError
from layerwright.initialization.structure import ROLES, places, role_of
from layerwright.names import look_up

Strength = float | Mapping[str, float]


class Penalty:
    r"""What large parameters cost: a term to add to the loss.

    $$ P = \sum_p \left( \lambda_1(p) \sum_i |p_i| + \frac{\lambda_2(p)}{2} \sum_i p_i^2 \right) $$

    The strengths λ depend on the role of a parameter: "weight", "bias", "gain" (of normalisations)
    or "embedding", as `layerwright train --show-parameters` lists them. A number alone stands for
    the weights, as with weight decay. The gradient of the L2 part is λ₂ p, so that with SGD it is
    exactly `weight_decay=λ₂`; with Adam it is not, since Adam divides it as any other gradient
    (AdamW's decay does not pass through that). L1 draws parameters towards zero by the same step
    however small they are.

    Of a parametrized weight what is learned is penalised, not what is computed from it. The
    parameters are looked up once, here: build another one after replacing or freezing some.

    Args:
        network: its trainable parameters are penalised, tied ones once.
        l1: λ₁ from 0, one number for the weights, or numbers by role.
        l2: λ₂, likewise.

    Raises:
        OptionError: a strength is negative or not finite, or a role does not exist.
        ShapeError: a lazy module has not seen an input yet.

    Example:
        >>> network = nn.Linear(2, 1)
        >>> _ = nn.init.constant_(network.weight, 3.0)
        >>> Penalty(network, l1=0.1, l2={"weight": 1.0, "bias": 0.0})().item()
        9.6...

    Reference:
        Tibshirani (1996), "Regression shrinkage and selection via the lasso"; Hoerl and Kennard
        (1970), "Ridge regression"; Loshchilov and Hutter (2019), "Decoupled weight decay
        regularization" (on Adam), https://arxiv.org/abs/1711.05101
    """

    def __init__(self, network: nn.Module, *, l1: Strength = 0.0, l2: Strength = 0.0) -> None:
        self.l1 = _by_role("l1", l1)
        self.l2 = _by_role("l2", l2)
        self._places = [
            (place.parameter, self.l1[role], self.l2[role])
            for place in places(network)
            for role in (role_of(place),)
            if place.parameter.requires_grad and (self.l1[role] or self.l2[role])
        ]

    def __call__(self) -> Tensor:
        """Return the penalty, a scalar tensor with a gradient; 0 where nothing is penalised."""
        total = torch.zeros(())
        for parameter, l1, l2 in self._places:
            # Sums of many squares, so at least in float32.
            wide = parameter.to(torch.promote_types(parameter.dtype, torch.float32))
            if l1:
                total = l1 * wide.abs().sum() + total.to(wide.device)
            if l2:
                total = l2 / 2 * wide.square().sum() + total.to(wide.device)
        return total


def _by_role(option: str, strength: Strength) -> dict[str, float]:
    """Return a strength for each role."""
    given = strength if isinstance(strength, Mapping) else {"weight": strength}
    for role, value in given.items():
        look_up("parameter role", role, dict.fromkeys(ROLES))
        if not 0 <= value < float("inf"):
            raise OptionError(
                f"Penalty expected {option} to be a number from 0, or numbers by role, "
                f"received {strength!r}."
            )
    return {role: float(given.get(role, 0.0)) for role in ROLES}
