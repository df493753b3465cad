"""Layer normalisation with a hand-written backward."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from layerwright.errors import OptionError
from layerwright.layers.normalization.trailing_dims import normalize_trailing, trailing_shape

torch.fx.wrap("normalize_trailing")  # symbolic tracing records the call and leaves it to the run


class LayerNorm(nn.Module):
    r"""Give each sample's features mean 0 and variance 1, then a learned gain and bias.

    $$ y = \gamma \odot \hat x + \beta, \qquad \hat x = r \, (x - \mu), \qquad
       r = \frac{1}{\sqrt{\sigma^2 + \epsilon}} $$

    $$ \frac{\partial L}{\partial x} = r \left( g - \operatorname{mean}(g)
       - \hat x \operatorname{mean}(g \odot \hat x) \right),
       \quad \text{with } g = \gamma \odot \frac{\partial L}{\partial y} $$

    Mean, variance (biased) and both means of backward are taken over the last dims, those of
    `normalized_shape`; each position is on its own, so that a batch of one is as good as any, and
    training and eval mode do the same. The gradient of x is written by hand, from the standardised
    values and one number for each position; the input is not kept. Half precision computes in
    float32 inside.

    | tensor           | shape                      | note                                       |
    | ---------------- | -------------------------- | ------------------------------------------ |
    | `x`, output      | `(..., *normalized_shape)` | floating point; any dims before, also none |
    | `weight`, `bias` | `normalized_shape`         | start at 1 and 0; None without             |

    Args:
        normalized_shape: sizes of the last dims, which are normalised together.
        eps: added to the variance, keeps the division finite.
        elementwise_affine: learn a gain for each feature, and a bias if `bias` says so.
        bias: learn a bias; without `elementwise_affine` there is none.
        device: where the parameters live.
        dtype: type of the parameters.

    Raises:
        OptionError: a size is no whole number from 1, or eps is not positive.
        ShapeError: in forward, when the last dims of `x` are others.

    Example:
        >>> LayerNorm(3)(torch.tensor([[1.0, 2.0, 3.0]])).detach()
        tensor([[-1.2247,  0.0000,  1.2247]])

    Reference:
        Ba, Kiros and Hinton (2016), "Layer normalization", https://arxiv.org/abs/1607.06450
    """

    parameter_roles: ClassVar = {"weight": "gain", "bias": "bias"}  # whatever their shape

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,  # noqa: FBT001, FBT002 - positional as in torch.nn
        bias: bool = True,  # noqa: FBT001, FBT002
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = trailing_shape("LayerNorm", normalized_shape)
        if not eps > 0:
            raise OptionError(f"LayerNorm expected eps to be a positive number, received {eps!r}.")
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        for name, wanted in (("weight", elementwise_affine), ("bias", elementwise_affine and bias)):
            values = torch.empty(self.normalized_shape, device=device, dtype=dtype)
            self.register_parameter(name, nn.Parameter(values) if wanted else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the gain to one and the bias to zero."""
        if self.weight is not None:
            nn.init.ones_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dims of `x`, of shape (..., *normalized_shape)."""
        return normalize_trailing(
            "LayerNorm", x, self.normalized_shape, self.weight, self.bias, self.eps, centred=True
        )

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )
