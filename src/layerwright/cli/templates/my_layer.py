"""My layer."""

import torch
from torch import Tensor, nn


class MyLayer(nn.Module):
    r"""Scale and shift each feature by learned numbers.

    $$ y = a \odot x + b $$

    | tensor      | shape                 | note                                |
    | ----------- | --------------------- | ----------------------------------- |
    | `x`, output | `(..., num_features)` | floating point; keeps dtype, device |
    | `scale`     | `(num_features,)`     | a; starts at one                    |
    | `shift`     | `(num_features,)`     | b; starts at zero                   |

    Args:
        num_features: size of the last dim.
        device: where the parameters live.
        dtype: type of the parameters.

    Raises:
        ValueError: num_features is below 1; at the call, the last dim has another size.

    Example:
        >>> MyLayer(8)(torch.randn(4, 5, 8)).shape
        torch.Size([4, 5, 8])

    Reference:
        The paper or page that the formula is from.
    """

    def __init__(
        self,
        num_features: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if num_features < 1:
            raise ValueError(
                f"MyLayer expected num_features to be a whole number from 1, "
                f"received {num_features!r}. Fix: give the size of the last dim."
            )
        self.num_features = num_features
        self.scale = nn.Parameter(torch.empty(num_features, device=device, dtype=dtype))
        self.shift = nn.Parameter(torch.empty(num_features, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the scale to one and the shift to zero."""
        nn.init.ones_(self.scale)
        nn.init.zeros_(self.shift)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x`, (..., num_features); the class page has the formula."""
        check_features(x, self.num_features)
        return x * self.scale + self.shift

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return f"{self.num_features}"


@torch.fx.wrap  # symbolic tracing records the call and leaves its decision to the run
def check_features(x: Tensor, num_features: int) -> None:
    """Refuse an input of other features; a single one would be broadcast silently.

    Raises:
        ValueError: the last dim of `x` is missing or has another size.
    """
    if x.dim() < 1 or x.shape[-1] != num_features:
        raise ValueError(
            f"MyLayer expected x to be (..., {num_features}), "
            f"received {tuple(x.shape)}. Fix: features last, or other num_features."
        )
