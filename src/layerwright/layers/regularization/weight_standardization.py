"""Weight standardisation as a parametrization."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from layerwright.errors import OptionError, ShapeError


class WeightStandardization(nn.Module):
    r"""Give the weights of each output mean 0 and variance 1.

    $$ \hat w_o = \frac{w_o - \mu_o}{\sqrt{\sigma_o^2 + \epsilon}}, \qquad
       \mu_o = \operatorname{mean}(w_o), \quad \sigma_o^2 = \operatorname{var}(w_o) $$

    over all weights that lead to output o: its input channels and kernel positions. It acts on the
    weights only, so that training and eval mode, and batches of any size, do the same. What is
    learned is w; the layer uses $\hat w$.

    | tensor      | shape           | note                                                   |
    | ----------- | --------------- | ------------------------------------------------------ |
    | `w`, output | `(out, in, ...)` | at least two weights for each output; keeps its dtype |

    As a parametrization, see `standardize_weight`; as a function of a tensor it works on its own.

    Args:
        eps: added to the variance, keeps the division finite.

    Raises:
        OptionError: eps is not positive.
        ShapeError: an output has fewer than two weights, so that none would be left.

    Example:
        >>> WeightStandardization()(torch.tensor([[1.0, 3.0]]))
        tensor([[-1.0000,  1.0000]])

    Reference:
        Qiao et al. (2019), "Micro-batch training with batch-channel normalization and weight
        standardization", https://arxiv.org/abs/1903.10520
    """

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        if not eps > 0:
            raise OptionError(
                f"WeightStandardization expected eps to be a positive number, received {eps!r}."
            )
        self.eps = eps

    def forward(self, weight: Tensor) -> Tensor:
        """Standardise `weight`, `(out, in, ...)`."""
        check_rows(weight)
        # A layer normalisation of each output's weights, for which torch has a kernel.
        return F.layer_norm(weight, weight.shape[1:], eps=self.eps)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Take a weight that is assigned as what is learned: the layer uses it standardised."""
        check_rows(weight)
        return weight

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return f"eps={self.eps}"


def standardize_weight(module: nn.Module, name: str = "weight", eps: float = 1e-5) -> nn.Module:
    """Standardise a weight of a layer from now on, as a parametrization.

    The learned tensor moves to `module.parametrizations.<name>.original`, under which it is saved.
    `torch.nn.utils.parametrize.remove_parametrizations(module, name)` makes the standardised
    weight an ordinary parameter.

    Args:
        module: a layer with that parameter; it is changed and returned.
        name: of the parameter.
        eps: see `WeightStandardization`.

    Raises:
        OptionError: the layer has no such parameter, or eps is not positive.
        ShapeError: the parameter has fewer than two weights for each output.

    Example:
        >>> layer = standardize_weight(nn.Conv2d(3, 8, 3))
        >>> layer.weight.flatten(1).mean(1).abs().max() < 1e-6
        tensor(True)
    """
    require_parameter("standardize_weight", module, name)
    parametrize.register_parametrization(module, name, WeightStandardization(eps))
    return module


def require_parameter(user: str, module: nn.Module, name: str) -> None:
    """Refuse a module without a tensor of that name to parametrize.

    Raises:
        OptionError: there is none.
    """
    if not parametrize.is_parametrized(module, name) and not isinstance(
        getattr(module, name, None), nn.Parameter
    ):
        names = ", ".join(key for key, _ in module.named_parameters(recurse=False)) or "none"
        raise OptionError(
            f"{user} expected the name of a parameter of {type(module).__name__}, "
            f"received {name!r}. Its own parameters: {names}."
        )


@torch.fx.wrap  # symbolic tracing records the call and leaves its decision to the run
def check_rows(weight: Tensor) -> None:
    """Refuse a weight that standardising would set to zero.

    Raises:
        ShapeError: an output has fewer than two weights.
    """
    if weight.dim() < 2 or math.prod(weight.shape[1:]) < 2:
        raise ShapeError(
            f"WeightStandardization expected a weight (out, in, ...) with at least two weights for "
            f"each output, received {tuple(weight.shape)}. Fix: leave this parameter as it is."
        )
