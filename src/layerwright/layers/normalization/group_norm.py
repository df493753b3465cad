"""Group normalisation with a hand-written backward."""

import math

import torch
from torch import Tensor, nn

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.normalization.standardization import scaled, standardize


class GroupNorm(nn.Module):
    r"""Give each group of channels mean 0 and variance 1, then each channel a gain and a bias.

    $$ y_{nc} = \gamma_c \, \hat x_{nc} + \beta_c, \qquad
       \hat x_{nc} = r_{ng} \, (x_{nc} - \mu_{ng}), \qquad
       r_{ng} = \frac{1}{\sqrt{\sigma_{ng}^2 + \epsilon}}, \qquad g = \lfloor c \, G / C \rfloor $$

    Mean and variance (biased) are those of one sample: over its channels of one group and over all
    positions. Samples are on their own, so that a batch of one is as good as any, and training and
    eval mode do the same. One group normalises a sample as a whole; as many groups as channels
    each map for itself ("instance normalisation"). The gradient of x is that of `LayerNorm`, with
    a group in the place of the features, and is written by hand; the input is not kept. Half
    precision computes in float32 inside. The output is laid out contiguously.

    | tensor           | shape         | note                                                   |
    | ---------------- | ------------- | ------------------------------------------------------ |
    | `x`, output      | `(N, C, ...)` | floating point; at least two values in a group         |
    | `weight`, `bias` | `(C,)`        | start at 1 and 0; None without                         |

    Args:
        num_groups: `G`, the number of groups; divides `C`.
        num_channels: `C`.
        eps: added to the variance, keeps the division finite.
        affine: learn a gain and a bias for each channel.
        device: where the parameters live.
        dtype: type of the parameters.

    Raises:
        OptionError: a number is no whole number from 1, the groups do not divide the channels, or
            eps is not positive.
        ShapeError: in forward, when `x` has no batch dim or other channels, or when a group has
            fewer than two values: its output would be the bias, whatever comes in.

    Example:
        >>> GroupNorm(1, 2)(torch.tensor([[1.0, 3.0]])).detach()
        tensor([[-1.0000,  1.0000]])

    Reference:
        Wu and He (2018), "Group normalization", https://arxiv.org/abs/1803.08494
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,  # noqa: FBT001, FBT002 - positional as in torch.nn
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("num_groups", num_groups), ("num_channels", num_channels)):
            if type(value) is not int or value < 1:
                raise OptionError(
                    f"GroupNorm expected {name} to be a whole number from 1, received {value!r}."
                )
        if num_channels % num_groups:
            raise OptionError(
                f"GroupNorm expected num_groups to divide num_channels, "
                f"received {num_groups} groups for {num_channels} channels."
            )
        if not eps > 0:
            raise OptionError(f"GroupNorm expected eps to be a positive number, received {eps!r}.")
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        for name in ("weight", "bias"):
            values = torch.empty(num_channels, device=device, dtype=dtype)
            self.register_parameter(name, nn.Parameter(values) if affine else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the gain to one and the bias to zero."""
        if self.weight is not None:
            nn.init.ones_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the groups of `x`, of shape (N, num_channels, ...)."""
        return group_norm(x, self.num_groups, self.num_channels, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


@torch.fx.wrap  # symbolic tracing records the call and leaves its decisions to the run
def group_norm(
    x: Tensor,
    num_groups: int,
    num_channels: int,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> Tensor:
    """Standardise the groups of `x`, then apply gain and bias; `GroupNorm` has the formula.

    Raises:
        ShapeError: `x` has other channels, or a group fewer than two values.
    """
    if x.dim() < 2 or x.shape[1] != num_channels:
        raise ShapeError(
            f"GroupNorm expected (N, {num_channels}, ...), received {tuple(x.shape)}. "
            f"Fix: move channels to dim 1 or change num_channels."
        )
    group_size = num_channels // num_groups * math.prod(x.shape[2:])
    if group_size < 2:
        raise ShapeError(
            f"GroupNorm expected at least two values in a group to take a variance from, "
            f"received {tuple(x.shape)} for {num_groups} groups. Fix: use fewer groups."
        )
    y = standardize(x.reshape(x.shape[0], num_groups, group_size), eps, centred=True)
    per_channel = (num_channels, *(1 for _ in x.shape[2:]))
    return scaled(
        y.reshape(x.shape),
        None if weight is None else weight.view(per_channel),
        None if bias is None else bias.view(per_channel),
    )
