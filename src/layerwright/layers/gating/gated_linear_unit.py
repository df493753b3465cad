"""Gated linear units: one layer for the whole family."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layerwright.errors import OptionError
from layerwright.layers.linear.linear import Linear

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "geglu": F.gelu,
    "glu": torch.sigmoid,
    "reglu": F.relu,
    "swiglu": F.silu,
}


class GatedLinearUnit(nn.Module):
    r"""Widen, let one half decide how much of the other passes, and narrow again.

    $$ y = W_o \, \bigl(\sigma(W x + b) \odot (V x + c)\bigr) + b_o $$

    | `activation` | $\sigma$                       | with it the layer is called    |
    | ------------ | ------------------------------ | ------------------------------ |
    | "swiglu"     | $z / (1 + e^{-z})$             | SwiGLU                         |
    | "geglu"      | $z \, \Phi(z)$                 | GEGLU                          |
    | "reglu"      | $\max(z, 0)$                   | ReGLU                          |
    | "glu"        | $1 / (1 + e^{-z})$             | GLU, with a projection after it |

    A usual feed-forward layer is 4 times as wide inside as outside and has two matrices; this one
    has three. To have about as many parameters, it is 8/3 times as wide, rounded up to a multiple
    of 8, unless `hidden_features` says otherwise.

    | tensor             | shape                                | note                        |
    | ------------------ | ------------------------------------ | --------------------------- |
    | `x`                | `(..., in_features)`                 | floating point              |
    | output             | `(..., out_features)`                |                             |
    | `widen.weight`     | `(2 * hidden_features, in_features)` | W above V                   |
    | `narrow.weight`    | `(out_features, hidden_features)`    | $W_o$                       |

    Args:
        in_features: size of the input's last dim.
        hidden_features: size of each half; default 8/3 in_features, up to a multiple of 8.
        out_features: size of the output's last dim; default in_features.
        bias: learn biases.
        activation: "swiglu", "geglu", "reglu" or "glu".
        device: where the parameters live.
        dtype: type of the parameters.

    Raises:
        OptionError: the activation is unknown, or a size is not a whole number from 0.
        ShapeError: at the call, where the last dim of the input is not `in_features`.

    Example:
        >>> GatedLinearUnit(12)
        GatedLinearUnit(
          activation=swiglu
          (widen): Linear(in_features=12, out_features=64, bias=True)
          (narrow): Linear(in_features=32, out_features=12, bias=True)
        )

    Reference:
        Shazeer (2020), "GLU variants improve Transformer", https://arxiv.org/abs/2002.05202;
        Dauphin et al. (2017), "Language modeling with gated convolutional networks",
        https://arxiv.org/abs/1612.08083
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int | None = None,
        out_features: int | None = None,
        bias: bool = True,  # noqa: FBT001, FBT002 - positional as in torch.nn.Linear
        *,
        activation: str = "swiglu",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise OptionError(
                f"GatedLinearUnit expected activation to be one of {', '.join(ACTIVATIONS)}, "
                f"received {activation!r}."
            )
        self.in_features = in_features
        self.hidden_features = (
            -(-in_features // 3) * 8 if hidden_features is None else hidden_features
        )
        self.out_features = in_features if out_features is None else out_features
        self.activation = activation
        hidden = self.hidden_features
        self.widen = Linear(in_features, 2 * hidden, bias, device=device, dtype=dtype)
        self.narrow = Linear(hidden, self.out_features, bias, device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.widen.reset_parameters()
        self.narrow.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """Map the last dim of `x`, of shape (..., in_features)."""
        gate, value = self.widen(x).chunk(2, -1)
        y: Tensor = self.narrow(ACTIVATIONS[self.activation](gate) * value)
        return y

    def extra_repr(self) -> str:
        """What `print(layer)` does not show by itself."""
        return f"activation={self.activation}"
