"""One step of an LSTM, written out."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layerwright.errors import ShapeError
from layerwright.layers.recurrent.abstract_recurrent import whole_number
from layerwright.layers.recurrent.gate_parameters import draw_gates, register_gates


class LSTMCell(nn.Module):
    r"""Take one step: forget some of the memory, write to it, show some of it.

    $$ \begin{aligned}
       i &= \sigma(W_i x + U_i h + b_i) & \text{how much is written} \\
       f &= \sigma(W_f x + U_f h + b_f) & \text{how much is kept} \\
       g &= \tanh(W_g x + U_g h + b_g) & \text{what is written} \\
       o &= \sigma(W_o x + U_o h + b_o) & \text{how much is shown} \\
       c' &= f \odot c + i \odot g, & h' = o \odot \tanh(c') \end{aligned} $$

    All of it is in plain operators, to be read, changed and differentiated as often as wanted. For
    whole sequences there is `LSTM`, which runs torch's kernel.

    | tensor      | shape                         | note                                        |
    | ----------- | ----------------------------- | ------------------------------------------- |
    | `x`         | `(..., input_size)`           | any number of dims before, also none        |
    | `h`, `c`    | `(..., hidden_size)`          | zeros if not given                          |
    | `weight_ih` | `(4 hidden_size, input_size)` | W: rows of i, f, g and o, one after another |
    | `weight_hh` | `(4 hidden_size, hidden_size)`| U, likewise                                 |
    | `bias_ih`, `bias_hh` | `(4 hidden_size,)`   | their sum is b, as in torch                 |

    Args:
        input_size: number of features of x.
        hidden_size: number of features of h and c.
        bias: learn biases.
        device: where the parameters live.
        dtype: type of the parameters.

    Raises:
        OptionError: a size is no whole number from 1.
        ShapeError: at the call, where a tensor does not fit.

    Example:
        >>> cell = LSTMCell(3, 4)
        >>> state = None
        >>> for x in torch.randn(5, 2, 3):
        ...     state = cell(x, state)
        >>> state[0].shape
        torch.Size([2, 4])

    Reference:
        Hochreiter and Schmidhuber (1997), "Long short-term memory", Neural Computation 9;
        Gers, Schmidhuber and Cummins (2000), "Learning to forget" (the forget gate).
    """

    weight_ih: nn.Parameter
    weight_hh: nn.Parameter
    bias_ih: nn.Parameter | None
    bias_hh: nn.Parameter | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.input_size = whole_number("LSTMCell", "input_size", input_size)
        self.hidden_size = whole_number("LSTMCell", "hidden_size", hidden_size)
        rows = 4 * self.hidden_size
        shapes = {
            "weight_ih": (rows, self.input_size),
            "weight_hh": (rows, self.hidden_size),
            "bias_ih": (rows,) if bias else None,
            "bias_hh": (rows,) if bias else None,
        }
        register_gates(self, shapes, device=device, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters from the uniform distribution in ±1/sqrt(hidden_size)."""
        draw_gates(self, self.hidden_size)

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return h and c after the step.

        Args:
            x: (..., input_size).
            state: h and c before it, (..., hidden_size) each; None stands for zeros.
        """
        check_step(x, state, self.input_size, self.hidden_size)
        gates = F.linear(x, self.weight_ih, self.bias_ih)
        h, c = (torch.zeros_like(gates[..., : self.hidden_size]),) * 2 if state is None else state
        gates = gates + F.linear(h, self.weight_hh, self.bias_hh)
        i, f, g, o = gates.chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, c

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return (
            f"input_size={self.input_size}, hidden_size={self.hidden_size}, "
            f"bias={self.bias_ih is not None}"
        )


@torch.fx.wrap  # symbolic tracing records the call and leaves its decisions to the run
def check_step(
    x: Tensor, state: tuple[Tensor, Tensor] | None, input_size: int, hidden_size: int
) -> None:
    """Refuse what does not fit an `LSTMCell`.

    Args:
        x: the features.
        state: h and c, or None.
        input_size: features of x.
        hidden_size: features of h and c.

    Raises:
        ShapeError: a tensor does not fit.
    """
    if x.shape[-1:] != (input_size,):
        raise ShapeError(
            f"LSTMCell expected x of shape (..., {input_size}), received {tuple(x.shape)}. "
            f"Fix: make the last dim {input_size}, or build the layer with another input_size."
        )
    wanted = (*x.shape[:-1], hidden_size)
    if state is not None and (state[0].shape != wanted or state[1].shape != wanted):
        raise ShapeError(
            f"LSTMCell expected h and c of shape {wanted}, received "
            f"{tuple(state[0].shape)} and {tuple(state[1].shape)}."
        )
