"""What text networks are given: tokens and lengths, checked and freed of their padding."""

import torch
from torch import Tensor
from torch.nn import functional as F

from layerwright.errors import ShapeError

PADDING = 0  # the token that stands behind the end of a text


@torch.fx.wrap  # symbolic tracing records the call and leaves its decisions to the run
def without_padding(network: str, tokens: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return tokens that hold the padding token wherever there is no word, and where words are.

    What stands behind a text's end has no effect from here on. One more column of padding is
    appended, so that no batch is without a column, not even one of empty texts alone.

    Args:
        network: name of the network, for the message.
        tokens: whole numbers, `(N, L)`.
        lengths: number of tokens of each text, `(N,)`; None where no text is padded.

    Returns:
        Tokens, int64, `(N, L + 1)`, and where a word stands, bool, `(N, L + 1)`.

    Raises:
        ShapeError: tokens or lengths have another shape or dtype.
    """
    if tokens.dim() != 2 or not _is_whole(tokens):
        raise ShapeError(
            f"{network} expected tokens to be whole numbers of shape (N, L), received "
            f"{tokens.dtype} of shape {tuple(tokens.shape)}. "
            "Fix: one row of numbers for each text, as a vocabulary gives."
        )
    if lengths is not None and (lengths.shape != tokens.shape[:1] or not _is_whole(lengths)):
        raise ShapeError(
            f"{network} expected lengths to be whole numbers of shape {tuple(tokens.shape[:1])}, "
            f"one for each text, received {lengths.dtype} of shape {tuple(lengths.shape)}."
        )
    longest = tokens.shape[1]
    places = torch.arange(longest + 1, device=tokens.device)
    exists = (places < longest).expand(tokens.shape[0], longest + 1)
    if lengths is not None:
        exists = exists & (places < lengths.to(tokens.device).unsqueeze(1))
    padded = F.pad(tokens.long(), (0, 1), value=PADDING)
    return padded.masked_fill(~exists, PADDING), exists


def example_texts(vocabulary_size: int) -> tuple[Tensor, Tensor]:
    """Return tokens, `(4, 9)`, and lengths, `(4,)`, of drawn texts, one of them of one word."""
    return torch.randint(1, vocabulary_size, (4, 9)), torch.tensor([9, 6, 4, 1])


def _is_whole(values: Tensor) -> bool:
    return not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)
