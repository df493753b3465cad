"""Additive attention pooling."""

import torch
from torch import Tensor, nn

from layerwright.errors import ShapeError
from layerwright.layers.attention.masked_attention import check_masks
from layerwright.layers.linear.linear import Linear


class AdditiveAttentionPooling(nn.Module):
    r"""Reduce a sequence to one vector, weighted by how much each position matters.

    $$ y = \sum_t a_t x_t, \qquad a = \operatorname{softmax}(e), \qquad
       e_t = v^\top \tanh(W x_t + b + U q) $$

    With `query_features`, what matters depends on a query q ("Bahdanau attention"); without, the
    term U q is missing. Weights of hidden positions are exactly zero; a sequence without any
    visible position, or of length zero, gives zeros. `weights` gives a on its own.

    | tensor             | shape                 | note                                       |
    | ------------------ | --------------------- | ------------------------------------------ |
    | `x`                | `(N, L, in_features)` | all inputs and output without `N` too      |
    | `query`            | `(N, query_features)` | only with query_features                   |
    | `key_padding_mask` | `(N, L)`              | bool, True hides; `MultiheadAttention`'s   |
    | output             | `(N, in_features)`    |                                            |

    Args:
        in_features: number of features of each position.
        hidden_features: size of the space in which positions are judged, of b and v.
        query_features: number of features of the query; None takes no query.
        device: where the parameters live.
        dtype: type of the parameters.

    Raises:
        OptionError: a size is not a whole number from 0.
        ShapeError: at the call, where an input or the mask does not fit.

    Example:
        >>> AdditiveAttentionPooling(16, 8)(torch.randn(2, 5, 16)).shape
        torch.Size([2, 16])

    Reference:
        Bahdanau, Cho and Bengio (2014), "Neural machine translation by jointly learning to align
        and translate", https://arxiv.org/abs/1409.0473
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        query_features: int | None = None,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.hidden_features = hidden_features
        self.query_features = query_features
        self.position = Linear(in_features, hidden_features, device=device, dtype=dtype)
        # No second bias beside the position's, and none on the scores, which a softmax ignores.
        self.query = (
            None
            if query_features is None
            else Linear(query_features, hidden_features, bias=False, device=device, dtype=dtype)
        )
        self.score = Linear(hidden_features, 1, bias=False, device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.position.reset_parameters()
        if self.query is not None:
            self.query.reset_parameters()
        self.score.reset_parameters()

    def forward(
        self,
        x: Tensor,
        query: Tensor | None = None,
        *,
        key_padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Pool the positions of `x`, (N, L, in_features) or (L, in_features)."""
        weights = self.weights(x, query, key_padding_mask=key_padding_mask)
        return (weights.unsqueeze(-2) @ x.to(weights.dtype)).squeeze(-2)

    def weights(
        self,
        x: Tensor,
        query: Tensor | None = None,
        *,
        key_padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the weight of each position, (N, L) or (L,)."""
        check_pooling(x, query, self.in_features, self.query_features, key_padding_mask)
        hidden = self.position(x)
        if self.query is not None:
            hidden = hidden + self.query(query).unsqueeze(-2)
        scores = self.score(hidden.tanh()).squeeze(-1)
        if key_padding_mask is None:
            return scores.softmax(-1)
        # A softmax over -inf alone is NaN, so where all is hidden, all is shown, and then hidden.
        shown = ~key_padding_mask | key_padding_mask.all(-1, keepdim=True)
        return scores.masked_fill(~shown, -torch.inf).softmax(-1).masked_fill(key_padding_mask, 0)

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return (
            f"{self.in_features}, hidden_features={self.hidden_features}, "
            f"query_features={self.query_features}"
        )


@torch.fx.wrap  # symbolic tracing records the call and leaves its decisions to the run
def check_pooling(
    x: Tensor,
    query: Tensor | None,
    in_features: int,
    query_features: int | None,
    key_padding_mask: Tensor | None,
) -> None:
    """Refuse inputs that do not fit.

    Raises:
        ShapeError: `x`, `query` or the mask has another shape, or a query is missing or too many.
    """
    if x.dim() not in (2, 3) or x.shape[-1] != in_features:
        raise ShapeError(
            f"AdditiveAttentionPooling expected x to be (N, L, {in_features}) or "
            f"(L, {in_features}), received {tuple(x.shape)}. "
            f"Fix: batch first, features last, or build it with other in_features."
        )
    wanted = None if query_features is None else (*x.shape[:-2], query_features)
    received = None if query is None else tuple(query.shape)
    if wanted != received:
        raise ShapeError(
            f"AdditiveAttentionPooling expected query to be {wanted}, received {received}. "
            f"Fix: query_features says how many features it has, None that there is none."
        )
    check_masks("AdditiveAttentionPooling", (*x.shape[:-2], 1, 1, x.shape[-2]), key_padding_mask)
