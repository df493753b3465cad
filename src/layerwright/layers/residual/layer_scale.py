"""Layer scale."""

import torch
from torch import Tensor, nn

from layerwright.errors import OptionError, ShapeError


class LayerScale(nn.Module):
    r"""Multiply each channel by a learned number that starts near zero.

    $$ y_c = \gamma_c \, x_c $$

    At the end of a residual branch it makes a deep network start close to the identity.

    | tensor      | shape             | note                                               |
    | ----------- | ----------------- | -------------------------------------------------- |
    | `x`, output | `(..., C)`        | `(..., C, H, W)` with dim=-3, and so on            |
    | `weight`    | `(C,)`            | $\gamma$; starts at `init_value`                   |

    Args:
        num_features: number of channels C.
        init_value: what the numbers start at. The paper takes 0.1 up to 18 blocks, 1e-5 up to 24
            and 1e-6 beyond.
        dim: where the channels are, counted from the end: -1 for sequences, -3 for maps, so that
            it holds with a batch and without.
        device: where the parameter lives.
        dtype: type of the parameter.

    Raises:
        OptionError: num_features is below 1, or dim not negative.
        ShapeError: at the call, where `x` has other channels.

    Example:
        >>> LayerScale(2, 0.5)(torch.tensor([2.0, 4.0]))
        tensor([1., 2.], grad_fn=<MulBackward0>)

    Reference:
        Touvron et al. (2021), "Going deeper with image Transformers",
        https://arxiv.org/abs/2103.17239
    """

    def __init__(
        self,
        num_features: int,
        init_value: float = 1e-5,
        *,
        dim: int = -1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if num_features < 1:
            raise OptionError(
                f"LayerScale expected num_features to be a whole number from 1, "
                f"received {num_features!r}."
            )
        if dim >= 0:
            raise OptionError(
                f"LayerScale expected dim to be negative, counted from the end, received {dim!r}."
            )
        self.num_features = num_features
        self.init_value = init_value
        self.dim = dim
        self.weight = nn.Parameter(torch.empty(num_features, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set all numbers to `init_value`."""
        nn.init.constant_(self.weight, self.init_value)

    def forward(self, x: Tensor) -> Tensor:
        """Scale the channels of `x`."""
        check_features(x, self.num_features, self.dim)
        return x * self.weight.view(-1, *[1] * (-1 - self.dim))

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return f"{self.num_features}, init_value={self.init_value}, dim={self.dim}"


@torch.fx.wrap  # symbolic tracing records the call and leaves its decisions to the run
def check_features(x: Tensor, num_features: int, dim: int) -> None:
    """Refuse an input of other channels; a single one would be broadcast silently.

    Raises:
        ShapeError: dim `dim` of `x` is missing or has another size.
    """
    if x.dim() < -dim or x.shape[dim] != num_features:
        raise ShapeError(
            f"LayerScale expected {num_features} channels in dim {dim}, "
            f"received {tuple(x.shape)}. Fix: change num_features, or dim, "
            f"which is -1 for sequences and -3 for maps."
        )
