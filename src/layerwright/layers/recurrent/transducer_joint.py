"""The joint layer of a recurrent transducer."""

import torch
from torch import Tensor, nn

from layerwright.errors import ShapeError
from layerwright.layers.linear.linear import Linear
from layerwright.layers.recurrent.abstract_recurrent import whole_number


class TransducerJoint(nn.Module):
    r"""Join what was heard up to frame t with what was written up to label u.

    $$ z_{tu} = W_o \tanh(W_e\, e_t + W_p\, p_u + b) + b_o $$

    The answers are logits: `TransducerLoss` takes them as they are.

    | tensor    | shape                              | note                                       |
    | --------- | ---------------------------------- | ------------------------------------------ |
    | `encoded` | `(N, T, encoder_size)`             | one vector for each frame                  |
    | `predicted` | `(N, U + 1, predictor_size)`     | one for each number of labels written, 0   |
    |           |                                    | to U                                       |
    | output    | `(N, T, U + 1, num_classes)`       | logits of all classes, the blank included  |

    Without `N` too; T and U + 1 may be 0 or 1.

    Args:
        encoder_size: number of features of a frame.
        predictor_size: number of features of a written prefix.
        hidden_size: number of features that both are mapped to.
        num_classes: number of labels, the blank included.
        device: where the parameters live.
        dtype: type of the parameters.

    Raises:
        OptionError: a size is no whole number from 1.
        ShapeError: at the call, where a tensor does not fit.

    Example:
        >>> joint = TransducerJoint(8, 6, 16, num_classes=5)
        >>> joint(torch.randn(2, 10, 8), torch.randn(2, 4, 6)).shape
        torch.Size([2, 10, 4, 5])

    Reference:
        Graves (2012), "Sequence transduction with recurrent neural networks",
        https://arxiv.org/abs/1211.3711; joined by a tanh layer as in Graves, Mohamed and Hinton
        (2013), "Speech recognition with deep recurrent neural networks", section 3.2,
        https://arxiv.org/abs/1303.5778
    """

    def __init__(
        self,
        encoder_size: int,
        predictor_size: int,
        hidden_size: int,
        num_classes: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        sizes = {
            "encoder_size": encoder_size,
            "predictor_size": predictor_size,
            "hidden_size": hidden_size,
            "num_classes": num_classes,
        }
        e, p, h, k = (whole_number("TransducerJoint", *item) for item in sizes.items())
        self.encoder_size, self.predictor_size = e, p
        self.encoder_proj = Linear(e, h, device=device, dtype=dtype)
        self.predictor_proj = Linear(p, h, bias=False, device=device, dtype=dtype)
        self.output_proj = Linear(h, k, device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Set the parameters of the three projections to their start."""
        for projection in (self.encoder_proj, self.predictor_proj, self.output_proj):
            projection.reset_parameters()

    def forward(self, encoded: Tensor, predicted: Tensor) -> Tensor:
        """Return the logits of each pair of a frame and a prefix.

        Args:
            encoded: (N, T, encoder_size), or without N.
            predicted: (N, U + 1, predictor_size), or without N.
        """
        check_pair(encoded, predicted, self.encoder_size, self.predictor_size)
        frames = self.encoder_proj(encoded).unsqueeze(-2)
        prefixes = self.predictor_proj(predicted).unsqueeze(-3)
        logits: Tensor = self.output_proj(torch.tanh(frames + prefixes))
        return logits


@torch.fx.wrap  # symbolic tracing records the call and leaves its decisions to the run
def check_pair(encoded: Tensor, predicted: Tensor, encoder_size: int, predictor_size: int) -> None:
    """Refuse what does not fit a `TransducerJoint`.

    Args:
        encoded: the frames.
        predicted: the prefixes.
        encoder_size: features of a frame.
        predictor_size: features of a prefix.

    Raises:
        ShapeError: a tensor does not fit.
    """
    fits = (
        encoded.dim() in (2, 3)
        and encoded.dim() == predicted.dim()
        and encoded.shape[:-2] == predicted.shape[:-2]
        and encoded.shape[-1] == encoder_size
        and predicted.shape[-1] == predictor_size
    )
    if not fits:
        raise ShapeError(
            f"TransducerJoint expected (N, T, {encoder_size}) and (N, U + 1, {predictor_size}), "
            f"or both without N, received {tuple(encoded.shape)} and {tuple(predicted.shape)}."
        )
