"""Attention behind masks: torch's kernel, with one mask joined from all, and zeros, never NaN."""

import torch
from torch import Tensor
from torch.nn import functional as F

from layerwright.errors import ShapeError


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    key_padding_mask: Tensor | None,
    attn_mask: Tensor | None,
    first: int | None,
    dropout: float,
) -> tuple[Tensor, Tensor | None]:
    """Run `scaled_dot_product_attention`, with a mask only where one is needed.

    Args:
        q: (N, H, L, d), or without N.
        k: (N, H', S, d), where H' divides H.
        v: the same shape.
        key_padding_mask: (N, S) or (S,), True hides a key.
        attn_mask: broadcasts to (N, H, L, S), or without N; True hides, or numbers to add.
        first: position of the first query among the keys, where later keys are hidden and the
            last query stands at the last key; or None.
        dropout: probability that a weight is set to zero.

    Returns:
        The heads, (N, H, L, d), with zeros for blind queries; and which are blind, if any can be.

    Raises:
        ShapeError: a mask does not fit.
    """
    keys = k.shape[-2]
    check_masks("Attention", (*q.shape[:-1], keys), key_padding_mask, attn_mask)
    causal, mask, blind = False, None, None
    if key_padding_mask is not None or attn_mask is not None or keys == 0:
        mask, blind = join_masks(key_padding_mask, attn_mask, first, q, keys)
    elif first is not None:
        if first == 0:  # queries and keys begin together: the kernel hides later keys itself
            causal = True
        elif first + 1 != keys:  # a single query at the end has no key after it
            mask, _ = join_masks(None, None, first, q, keys)
    y = F.scaled_dot_product_attention(
        q,
        k,
        v,
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=causal,
        enable_gqa=q.shape[-3] != k.shape[-3],
    )
    return (y if blind is None else y.masked_fill(blind, 0)), blind


def without_blind(y: Tensor, blind: Tensor | None) -> Tensor:
    """Put zeros, (N, L, features), where a query is blind in every head."""
    if blind is None:
        return y
    return y.masked_fill(blind.all(-3) if blind.dim() > 2 else blind, 0)


def join_masks(
    key_padding_mask: Tensor | None,
    attn_mask: Tensor | None,
    first: int | None,
    q: Tensor,
    keys: int,
) -> tuple[Tensor, Tensor]:
    """Join masks into one that leaves no row empty, and tell which rows would be.

    A softmax over nothing is NaN in some kernels and zero in others. A query that may see no key
    is therefore shown all of them, and reported as blind.

    Args:
        key_padding_mask: see `attend`.
        attn_mask: see `attend`.
        first: see `attend`.
        q: the queries.
        keys: number of keys.

    Returns:
        The mask, True where a key is seen, or numbers to add; and the blind queries,
        (..., L or 1, 1).
    """
    hidden = torch.zeros((1, keys), dtype=torch.bool, device=q.device)
    if key_padding_mask is not None:
        hidden = key_padding_mask[..., None, None, :]
    if first is not None:
        rows = torch.arange(q.shape[-2], device=q.device).unsqueeze(-1)
        hidden = hidden | (torch.arange(keys, device=q.device) > rows + first)
    if attn_mask is None or attn_mask.dtype == torch.bool:
        hidden = hidden if attn_mask is None else hidden | attn_mask
        blind = hidden.all(-1, keepdim=True)
        return ~hidden | blind, blind
    added = attn_mask.to(q.dtype).masked_fill(hidden, -torch.inf)
    blind = (added == -torch.inf).all(-1, keepdim=True)
    return added.masked_fill(blind, 0), blind


def check_masks(
    layer: str,
    scores: tuple[int, ...],
    key_padding_mask: Tensor | None,
    attn_mask: Tensor | None = None,
) -> None:
    """Refuse masks of another shape or kind.

    Args:
        layer: name of the layer, for the message.
        scores: the shape of all scores, (N, H, L, S), or without N.
        key_padding_mask: should be boolean and (N, S), or (S,).
        attn_mask: should be boolean or floating point, and broadcast to `scores`.

    Raises:
        ShapeError: a mask has another shape or dtype.
    """
    if key_padding_mask is not None:
        wanted = (*scores[:-3], scores[-1])
        if key_padding_mask.dtype != torch.bool or tuple(key_padding_mask.shape) != wanted:
            raise ShapeError(
                f"{layer} expected key_padding_mask to be torch.bool of shape {wanted}, "
                f"received {key_padding_mask.dtype} of shape {tuple(key_padding_mask.shape)}. "
                f"Fix: one value for each key, True where there is only padding."
            )
    if attn_mask is not None:
        shape = tuple(attn_mask.shape)
        fits = len(shape) <= len(scores) and all(
            size in {1, wanted}
            for size, wanted in zip(reversed(shape), reversed(scores), strict=False)
        )
        boolean_or_number = attn_mask.dtype == torch.bool or attn_mask.is_floating_point()
        if not (fits and len(shape) >= 2 and boolean_or_number):
            raise ShapeError(
                f"{layer} expected attn_mask to be torch.bool or floating point and to broadcast "
                f"to {scores}, received {attn_mask.dtype} of shape {shape}. "
                f"Fix: (queries, keys), with the dims of samples and heads before it."
            )
