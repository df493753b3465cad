"""Gated recurrent units over sequences of different lengths."""

from typing import ClassVar

from torch import Tensor

from layerwright.layers.recurrent.abstract_recurrent import AbstractRecurrent


class GRU(AbstractRecurrent):
    r"""Read each sequence step by step, with a state that two gates renew.

    $$ \begin{aligned}
       r_t &= \sigma(W_r x_t + b_r + U_r h_{t-1} + b'_r) &
       z_t &= \sigma(W_z x_t + b_z + U_z h_{t-1} + b'_z) \\
       n_t &= \tanh(W_n x_t + b_n + r_t \odot (U_n h_{t-1} + b'_n)) &
       h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1} \end{aligned} $$

    Lengths and masks are treated as in `LSTM`: steps that do not exist have no effect, the answer
    there is zero, and the last state is that of the last step that exists.

    | tensor    | shape                           | note                                        |
    | --------- | ------------------------------- | ------------------------------------------- |
    | `x`       | `(N, T, input_size)`            | samples first; `(T, input_size)` without `N`|
    | `lengths` | `(N,)` or `()`                  | number of steps that exist; 0 is allowed    |
    | `mask`    | `(N, T)` or `(T,)`              | bool, True where a step exists              |
    | `h`       | `(num_layers, N, hidden_size)`  | without `N` too; zeros if not given         |
    | output    | `(N, T, hidden_size)`           | h of the last layer; zero at skipped steps  |

    The parameters are those of `torch.nn.GRU`, by name, shape, order (r, z, n) and start.

    Args:
        input_size: number of features of a step.
        hidden_size: number of features of h.
        num_layers: number of layers; each reads the answers of the one before.
        bias: learn biases.
        dropout: probability to drop a value between two layers, in training.
        device: where the parameters live.
        dtype: type of the parameters.

    Raises:
        OptionError: an option is impossible, or `lengths` and `mask` are both given.
        ShapeError: at the call, where a tensor does not fit.

    Example:
        >>> y, h = GRU(3, 4)(torch.randn(2, 5, 3), lengths=torch.tensor([5, 2]))
        >>> y.shape, torch.equal(y[1, 1], h[0, 1])
        (torch.Size([2, 5, 4]), True)

    Reference:
        Cho et al. (2014), "Learning phrase representations using RNN encoder-decoder",
        https://arxiv.org/abs/1406.1078; the reset gate acts after the product, as in cuDNN.
    """

    kind: ClassVar[str] = "gru"
    num_gates: ClassVar[int] = 3
    num_states: ClassVar[int] = 1

    def forward(
        self,
        x: Tensor,
        lengths: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        hx: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Read the sequences.

        Args:
            x: (N, T, input_size) or (T, input_size).
            lengths: how many steps of each sequence exist, the first ones; a number below 0 counts
                as 0, above T as T.
            mask: which steps exist, in place of `lengths`: any, in any places.
            hx: the state before the first step.

        Returns:
            The answers and the state after the last step of each sequence.
        """
        return self._run(x, lengths, mask, hx)
