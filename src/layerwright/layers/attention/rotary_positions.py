"""Rotary positions."""

import torch
from torch import Tensor, nn

from layerwright.errors import OptionError, ShapeError


class RotaryPositions(nn.Module):
    r"""Turn pairs of features by an angle that grows with the position.

    $$ \begin{pmatrix} y_{t,a} \\ y_{t,b} \end{pmatrix} =
       \begin{pmatrix} \cos t\omega_i & -\sin t\omega_i \\ \sin t\omega_i & \cos t\omega_i
       \end{pmatrix} \begin{pmatrix} x_{t,a} \\ x_{t,b} \end{pmatrix}, \qquad
       \omega_i = \theta^{-2i/d}, \quad i = 0, \dots, d/2 - 1 $$

    Applied to queries and keys, it makes their product depend on how far they are apart, and not
    on where they stand. Pair i is made of the features i and i + d/2 ("half", as in GPT-NeoX and
    Llama's released code), or of 2i and 2i + 1 (`interleaved`, as in the paper). The two differ by
    an order of the features only; weights trained with one need that one.

    Angles are computed at each call, in float32 or better whatever the dtype of `x`: there is no
    table that could be too short, be rounded by `.to(torch.bfloat16)`, or be missing after
    construction on the meta device. In float32 an angle at position t is off by about t / 2**24.

    | tensor      | shape           | note                                                |
    | ----------- | --------------- | --------------------------------------------------- |
    | `x`, output | `(..., L, d)`   | floating point; keeps dtype, device                 |
    | `start`     | a whole number, | position of the first row; one each for sequences:  |
    |             | or a tensor     | integers that broadcast to the dims before `(L, d)` |

    Args:
        head_dim: `d`, the number of features, an even number.
        base: $\theta$, sets the slowest turn.
        interleaved: pair neighbours, instead of the first half with the second.

    Raises:
        OptionError: head_dim is not even and positive, or base not positive.
        ShapeError: at the call, where `x` is not `(..., L, head_dim)`.

    Example:
        >>> RotaryPositions(2)(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
        tensor([[1.0000, 0.0000],
                [0.5403, 0.8415]])

    Reference:
        Su et al. (2021), "RoFormer: enhanced Transformer with rotary position embedding",
        https://arxiv.org/abs/2104.09864
    """

    def __init__(self, head_dim: int, base: float = 10_000.0, *, interleaved: bool = False) -> None:
        super().__init__()
        if head_dim < 2 or head_dim % 2:
            raise OptionError(
                f"RotaryPositions expected head_dim to be an even number from 2, "
                f"received {head_dim!r}."
            )
        if not base > 0:
            raise OptionError(
                f"RotaryPositions expected base to be a positive number, received {base!r}."
            )
        self.head_dim = head_dim
        self.base = base
        self.interleaved = interleaved

    def forward(self, x: Tensor, start: int | Tensor = 0) -> Tensor:
        """Turn `x`, of shape (..., L, head_dim), whose first row stands at position `start`."""
        check_positions(x, self.head_dim)
        return turned(x, start, self.base, self.interleaved)

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return f"{self.head_dim}, base={self.base}, interleaved={self.interleaved}"


@torch.fx.wrap  # symbolic tracing records the call and leaves its decisions to the run
def check_positions(x: Tensor, head_dim: int) -> None:
    """Refuse what has no rows of `head_dim` features.

    Raises:
        ShapeError: `x` has another shape.
    """
    if x.dim() < 2 or x.shape[-1] != head_dim:
        raise ShapeError(
            f"RotaryPositions expected (..., L, {head_dim}), received {tuple(x.shape)}. "
            f"Fix: split the heads first, or build it with another head_dim."
        )


@torch.fx.wrap
def turned(x: Tensor, start: int | Tensor, base: float, interleaved: bool) -> Tensor:  # noqa: FBT001 - one caller
    """Turn the pairs of `x`, of shape (..., L, d), by the angles of positions from `start`."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    rows = torch.arange(x.shape[-2], device=x.device)
    positions = start.unsqueeze(-1) + rows if isinstance(start, Tensor) else start + rows
    pairs = x.shape[-1] // 2
    exponents = torch.arange(pairs, device=x.device, dtype=dtype) / -pairs
    angles = positions.to(dtype).unsqueeze(-1) * torch.pow(base, exponents)
    cos, sin = angles.cos(), angles.sin()
    first, second = (x[..., 0::2], x[..., 1::2]) if interleaved else x.chunk(2, -1)
    pair = (first * cos - second * sin, first * sin + second * cos)
    y = torch.stack(pair, -1).flatten(-2) if interleaved else torch.cat(pair, -1)
    return y.to(x.dtype)
