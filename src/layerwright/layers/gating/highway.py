"""Highway layer."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layerwright.errors import OptionError
from layerwright.layers.linear.linear import Linear

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "tanh": torch.tanh}


class Highway(nn.Module):
    r"""Mix what came in with a transform of it, feature by feature, as a learned gate says.

    $$ y = t \odot h + (1 - t) \odot x, \qquad
       h = \sigma(W_h x + b_h), \quad t = \operatorname{sigmoid}(W_t x + b_t) $$

    The gate's bias starts negative, so that a new layer carries most of its input through: many
    of them can be stacked before any has learned. At -2 the gate lets 12 % of the transform in.

    | tensor             | shape                        | note                           |
    | ------------------ | ---------------------------- | ------------------------------ |
    | `x`, output        | `(..., in_features)`         | floating point                 |
    | `transform.weight` | `(in_features, in_features)` | $W_h$                          |
    | `gate.weight`      | `(in_features, in_features)` | $W_t$                          |
    | `gate.bias`        | `(in_features,)`             | starts at `gate_bias`          |

    Args:
        in_features: number of features, which stays the same.
        activation: $\sigma$, "relu" or "tanh".
        gate_bias: where the gate's bias starts; the paper takes -1 to -3, lower for deeper
            networks.
        device: where the parameters live.
        dtype: type of the parameters.

    Raises:
        OptionError: the activation is unknown, or in_features is not a whole number from 0.
        ShapeError: at the call, where the last dim of the input is not `in_features`.

    Example:
        >>> Highway(4)(torch.randn(2, 4)).shape
        torch.Size([2, 4])

    Reference:
        Srivastava, Greff and Schmidhuber (2015), "Highway networks",
        https://arxiv.org/abs/1505.00387
    """

    def __init__(
        self,
        in_features: int,
        *,
        activation: str = "relu",
        gate_bias: float = -2.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise OptionError(
                f"Highway expected activation to be one of {', '.join(ACTIVATIONS)}, "
                f"received {activation!r}."
            )
        self.in_features = in_features
        self.activation = activation
        self.gate_bias = gate_bias
        self.transform = Linear(in_features, in_features, device=device, dtype=dtype)
        self.gate = Linear(in_features, in_features, device=device, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew; the gate's bias starts at `gate_bias`."""
        self.transform.reset_parameters()
        self.gate.reset_parameters()
        if self.gate.bias is not None:
            nn.init.constant_(self.gate.bias, self.gate_bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map the last dim of `x`, of shape (..., in_features)."""
        h = ACTIVATIONS[self.activation](self.transform(x))
        t = self.gate(x).sigmoid()
        return x + t * (h - x)  # the formula, in one product

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return f"{self.in_features}, activation={self.activation}, gate_bias={self.gate_bias}"
