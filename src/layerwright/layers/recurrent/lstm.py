"""Long short-term memory over sequences of different lengths."""

from typing import ClassVar

from torch import Tensor

from layerwright.layers.recurrent.abstract_recurrent import AbstractRecurrent


class LSTM(AbstractRecurrent):
    r"""Read each sequence step by step, with a memory that gates write, keep and show.

    $$ \begin{aligned}
       i_t &= \sigma(W_i x_t + U_i h_{t-1} + b_i) &
       f_t &= \sigma(W_f x_t + U_f h_{t-1} + b_f) \\
       g_t &= \tanh(W_g x_t + U_g h_{t-1} + b_g) &
       o_t &= \sigma(W_o x_t + U_o h_{t-1} + b_o) \\
       c_t &= f_t \odot c_{t-1} + i_t \odot g_t &
       h_t &= o_t \odot \tanh(c_t) \end{aligned} $$

    Sequences of a batch may have different lengths. Steps that do not exist are skipped: what they
    hold has no effect, the answer there is zero, and the last state is that of the last step that
    exists, or the initial one where there is none. Answers, states and gradients are those of
    `torch.nn.LSTM` on a packed sequence. Nothing is packed, though: no length is read back from
    the device, and `torch.compile` and `torch.export` take the layer as one graph. `LSTMCell` is
    the same step in plain operators.

    | tensor    | shape                           | note                                        |
    | --------- | ------------------------------- | ------------------------------------------- |
    | `x`       | `(N, T, input_size)`            | samples first; `(T, input_size)` without `N`|
    | `lengths` | `(N,)` or `()`                  | number of steps that exist; 0 is allowed    |
    | `mask`    | `(N, T)` or `(T,)`              | bool, True where a step exists              |
    | `h`, `c`  | `(num_layers, N, hidden_size)`  | without `N` too; zeros if not given         |
    | output    | `(N, T, hidden_size)`           | h of the last layer; zero at skipped steps  |

    The parameters are those of `torch.nn.LSTM`, by name, shape, order (i, f, g, o) and start.

    Args:
        input_size: number of features of a step.
        hidden_size: number of features of h and c.
        num_layers: number of layers; each reads the answers of the one before.
        bias: learn biases (two of them, as torch does).
        dropout: probability to drop a value between two layers, in training.
        device: where the parameters live.
        dtype: type of the parameters.

    Raises:
        OptionError: an option is impossible, or `lengths` and `mask` are both given.
        ShapeError: at the call, where a tensor does not fit.

    Example:
        >>> layer = LSTM(3, 4)
        >>> y, (h, c) = layer(torch.randn(2, 5, 3), lengths=torch.tensor([5, 0]))
        >>> y.shape, h.shape, c[0, 1].tolist()
        (torch.Size([2, 5, 4]), torch.Size([1, 2, 4]), [0.0, 0.0, 0.0, 0.0])

    Reference:
        Hochreiter and Schmidhuber (1997), "Long short-term memory", Neural Computation 9;
        Gers, Schmidhuber and Cummins (2000), "Learning to forget" (the forget gate).
    """

    kind: ClassVar[str] = "lstm"
    num_gates: ClassVar[int] = 4
    num_states: ClassVar[int] = 2

    def forward(
        self,
        x: Tensor,
        lengths: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        hx: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Read the sequences.

        Args:
            x: (N, T, input_size) or (T, input_size).
            lengths: how many steps of each sequence exist, the first ones; a number below 0 counts
                as 0, above T as T.
            mask: which steps exist, in place of `lengths`: any, in any places.
            hx: the states (h, c) before the first step.

        Returns:
            The answers and the states (h, c) after the last step of each sequence.
        """
        return self._run(x, lengths, mask, hx)
