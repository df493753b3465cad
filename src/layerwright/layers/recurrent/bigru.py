"""Gated recurrent units in both directions."""

from typing import ClassVar

from torch import Tensor

from layerwright.layers.recurrent.abstract_recurrent import AbstractRecurrent


class BiGRU(AbstractRecurrent):
    r"""Read each sequence from its start and, with other weights, from its end.

    $$ y_t = [\, \overrightarrow{h}_t \,;\, \overleftarrow{h}_t \,], \qquad
       \overrightarrow{h}_t = \operatorname{GRU}(x_1, \dots, x_t), \quad
       \overleftarrow{h}_t = \operatorname{GRU}'(x_L, \dots, x_t) $$

    The reading from the end begins at the last step that exists, L, of each sequence, not at the
    end of the padding. `GRU` has the formulas, `LSTM` says how lengths and masks are treated.

    | tensor    | shape                              | note                                        |
    | --------- | ---------------------------------- | ------------------------------------------- |
    | `x`       | `(N, T, input_size)`               | samples first; `(T, input_size)` without `N`|
    | `lengths` | `(N,)` or `()`                     | number of steps that exist; 0 is allowed    |
    | `mask`    | `(N, T)` or `(T,)`                 | bool, True where a step exists              |
    | `h`       | `(2 num_layers, N, hidden_size)`   | layer by layer, from the start, from the end|
    | output    | `(N, T, 2 hidden_size)`            | both directions; zero at skipped steps      |

    The parameters are those of `torch.nn.GRU` with `bidirectional=True`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of features of h in each direction.
        num_layers: number of layers; each reads both directions of the one before.
        bias: learn biases.
        dropout: probability to drop a value between two layers, in training.
        device: where the parameters live.
        dtype: type of the parameters.

    Raises:
        OptionError: an option is impossible, or `lengths` and `mask` are both given.
        ShapeError: at the call, where a tensor does not fit.

    Example:
        >>> y, h = BiGRU(3, 4)(torch.randn(2, 5, 3), lengths=torch.tensor([5, 2]))
        >>> y.shape, h.shape
        (torch.Size([2, 5, 8]), torch.Size([2, 2, 4]))

    Reference:
        Schuster and Paliwal (1997), "Bidirectional recurrent neural networks".
    """

    kind: ClassVar[str] = "gru"
    num_gates: ClassVar[int] = 3
    num_states: ClassVar[int] = 1
    num_directions: ClassVar[int] = 2

    def forward(
        self,
        x: Tensor,
        lengths: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        hx: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Read the sequences; see `GRU.forward`.

        Args:
            x: (N, T, input_size) or (T, input_size).
            lengths: how many steps of each sequence exist, the first ones.
            mask: which steps exist, in place of `lengths`.
            hx: the state before the first step of each direction.

        Returns:
            The answers and the state after the last step of each direction.
        """
        return self._run(x, lengths, mask, hx)
