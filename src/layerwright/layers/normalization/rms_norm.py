"""Root mean square normalisation with a hand-written backward."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from layerwright.errors import OptionError
from layerwright.layers.normalization.trailing_dims import normalize_trailing, trailing_shape

torch.fx.wrap("normalize_trailing")  # symbolic tracing records the call and leaves it to the run


class RMSNorm(nn.Module):
    r"""Give each sample's features mean square 1, then a learned gain; no mean is subtracted.

    $$ y = \gamma \odot \hat x, \qquad \hat x = r \, x, \qquad
       r = \frac{1}{\sqrt{\operatorname{mean}(x^2) + \epsilon}} $$

    $$ \frac{\partial L}{\partial x} = r \left( g - \hat x \operatorname{mean}(g \odot \hat x)
       \right), \quad \text{with } g = \gamma \odot \frac{\partial L}{\partial y} $$

    The means are taken over the last dims, those of `normalized_shape`; each position is on its
    own. The gradient of x is written by hand, from the scaled values and one number for each
    position; the input is not kept. Half precision computes in float32 inside.

    | tensor      | shape                      | note                                       |
    | ----------- | -------------------------- | ------------------------------------------ |
    | `x`, output | `(..., *normalized_shape)` | floating point; any dims before, also none |
    | `weight`    | `normalized_shape`         | starts at 1; None without                  |

    Args:
        normalized_shape: sizes of the last dims, which are normalised together.
        eps: added to the mean square, keeps the division finite; None takes the distance from 1
            to the next number of the type that is computed in: that of `x`, float32 for halves.
        elementwise_affine: learn a gain for each feature.
        device: where the parameter lives.
        dtype: type of the parameter.

    Raises:
        OptionError: a size is no whole number from 1, or eps is not positive.
        ShapeError: in forward, when the last dims of `x` are others.

    Example:
        >>> RMSNorm(2)(torch.tensor([[3.0, 3.0]])).detach()
        tensor([[1., 1.]])

    Reference:
        Zhang and Sennrich (2019), "Root mean square layer normalization",
        https://arxiv.org/abs/1910.07467
    """

    parameter_roles: ClassVar = {"weight": "gain"}  # whatever its shape

    weight: nn.Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,  # noqa: FBT001, FBT002 - positional as in torch.nn
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = trailing_shape("RMSNorm", normalized_shape)
        if eps is not None and not eps > 0:
            raise OptionError(
                f"RMSNorm expected eps to be a positive number or None, received {eps!r}."
            )
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        values = torch.empty(self.normalized_shape, device=device, dtype=dtype)
        self.register_parameter("weight", nn.Parameter(values) if elementwise_affine else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the gain to one."""
        if self.weight is not None:
            nn.init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dims of `x`, of shape (..., *normalized_shape)."""
        eps = smallest_step(x) if self.eps is None else self.eps
        return normalize_trailing(
            "RMSNorm", x, self.normalized_shape, self.weight, None, eps, centred=False
        )

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


@torch.fx.wrap  # symbolic tracing records the call and leaves it to the run
def smallest_step(x: Tensor) -> float:
    """Return the distance from 1 to the next number of the type that rows of `x` are summed in."""
    return torch.finfo(torch.promote_types(x.dtype, torch.float32)).eps
