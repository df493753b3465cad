"""Multi-head attention."""

import torch
from torch import Tensor, nn

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.attention.key_value_cache import KeyValueCache
from layerwright.layers.attention.masked_attention import attend, without_blind
from layerwright.layers.attention.rotary_positions import RotaryPositions
from layerwright.layers.linear.linear import Linear

# symbolic tracing records these calls and leaves their decisions to the run
torch.fx.wrap("attend")
torch.fx.wrap("without_blind")


class Attention(nn.Module):
    r"""Let each query gather values from where its keys fit ("multi-head attention").

    $$ y = W_o \, [h_1; \dots; h_H], \qquad
       h_j = \operatorname{softmax}\!\left(\frac{Q_j K_j^\top}{\sqrt{d}} + M\right) V_j, \qquad
       Q = x_q W_q^\top + b_q, \quad K = x_k W_k^\top, \quad V = x_v W_v^\top + b_v $$

    The heads are computed by torch's `scaled_dot_product_attention`. Masks speak as in
    `torch.nn.MultiheadAttention`: True hides. A query that may see no key, because all are
    padding, masked or missing, gives zeros; so does a single head that sees none.

    Keys have no bias: it would add the same number to all scores of a query, which the softmax
    ignores. With `num_kv_heads` below `num_heads`, neighbouring heads share keys and values
    ("grouped-query attention"; with one, "multi-query").

    Read step by step, give the call a cache, at first `empty_cache(N)`, and keep the one that it
    returns. With `is_causal` the outputs are then those of one pass over the whole sequence.

    | tensor             | shape                     | note                                       |
    | ------------------ | ------------------------- | ------------------------------------------ |
    | `query`            | `(N, L, embed_dim)`       | all inputs and output without `N` too      |
    | `key`              | `(N, S, kdim)`            | default the query                          |
    | `value`            | `(N, S, vdim)`            | default the key                            |
    | `key_padding_mask` | `(N, S)`                  | bool; with a cache, S counts its positions |
    | `attn_mask`        | to `(N, num_heads, L, S)` | broadcast; bool, or numbers to add, of     |
    |                    |                           | which -inf hides                           |
    | output             | `(N, L, embed_dim)`       | with a cache `(output, cache)`             |

    Args:
        embed_dim: number of features of queries and outputs.
        num_heads: number of heads; divides embed_dim.
        num_kv_heads: number of heads of keys and values; divides num_heads. Default num_heads.
        kdim: number of features of `key`; default embed_dim.
        vdim: number of features of `value`; default kdim.
        bias: learn a bias in the projections of queries, values and outputs.
        dropout: probability that a weight of the softmax is set to zero, in training.
        is_causal: hide from each position those after it; queries and keys are then one sequence.
        rotary: turns queries and keys by their positions, counted from the cache's end.
        device: where the parameters live.
        dtype: type of the parameters.

    Raises:
        OptionError: a number does not divide as it should, or dropout is no probability.
        ShapeError: at the call, where an input, a mask or the cache does not fit.

    Example:
        >>> attention = Attention(16, num_heads=4, is_causal=True)
        >>> attention(torch.randn(2, 5, 16)).shape
        torch.Size([2, 5, 16])

    Reference:
        Vaswani et al. (2017), "Attention is all you need", https://arxiv.org/abs/1706.03762;
        Ainslie et al. (2023), "GQA", https://arxiv.org/abs/2305.13245
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        num_kv_heads: int | None = None,
        kdim: int | None = None,
        vdim: int | None = None,
        bias: bool = True,
        dropout: float = 0.0,
        is_causal: bool = False,
        rotary: RotaryPositions | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        for name, parts, whole, size in (
            ("num_heads", num_heads, "embed_dim", embed_dim),
            ("num_kv_heads", self.num_kv_heads, "num_heads", num_heads),
        ):
            if parts < 1 or size < 1 or size % parts:
                raise OptionError(
                    f"Attention expected {name} to divide {whole}, received {parts} and {size}."
                )
        self.head_dim = embed_dim // num_heads
        if rotary is not None and rotary.head_dim != self.head_dim:
            raise OptionError(
                f"Attention expected rotary positions for heads of {self.head_dim} features, "
                f"received some for {rotary.head_dim}."
            )
        if not 0 <= dropout < 1:
            raise OptionError(
                f"Attention expected dropout to be a probability in [0, 1), received {dropout!r}."
            )
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = self.kdim if vdim is None else vdim
        self.dropout = dropout
        self.is_causal = is_causal
        self.rotary = rotary
        shared = self.num_kv_heads * self.head_dim
        self.q_proj = Linear(embed_dim, embed_dim, bias, device=device, dtype=dtype)
        self.k_proj = Linear(self.kdim, shared, bias=False, device=device, dtype=dtype)
        self.v_proj = Linear(self.vdim, shared, bias, device=device, dtype=dtype)
        self.out_proj = Linear(embed_dim, embed_dim, bias, device=device, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights from Xavier's uniform distribution; biases start at zero."""
        for projection in (self.q_proj, self.k_proj, self.v_proj, self.out_proj):
            nn.init.xavier_uniform_(projection.weight)
            if projection.bias is not None:
                nn.init.zeros_(projection.bias)

    def empty_cache(self, batch_size: int | None = None) -> KeyValueCache:
        """Return a cache without any position, for N samples, or for one without a batch dim."""
        batch = () if batch_size is None else (batch_size,)
        shape = (*batch, self.num_kv_heads, 0, self.head_dim)
        empty = self.k_proj.weight.detach().new_empty(shape)
        return KeyValueCache(empty, empty)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        *,
        key_padding_mask: Tensor | None = None,
        attn_mask: Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> Tensor | tuple[Tensor, KeyValueCache]:
        """Attend; the class page has the formula and shapes."""
        key = query if key is None else key
        value = key if value is None else value
        features = (self.embed_dim, self.kdim, self.vdim)
        check_sequences(query, key, value, features, self.is_causal)
        q = self._split(self.q_proj(query), self.num_heads)
        k = self._split(self.k_proj(key), self.num_kv_heads)
        v = self._split(self.v_proj(value), self.num_kv_heads)
        start = 0
        if cache is not None:
            check_cache(cache, k)
            start = cache.length
        if self.rotary is not None:
            q, k = self.rotary(q, start), self.rotary(k, start)
        if cache is not None:
            # autocast may have made the new ones of another dtype than those remembered
            k = torch.cat((cache.keys.to(k.dtype), k), -2)
            v = torch.cat((cache.values.to(v.dtype), v), -2)
            cache = KeyValueCache(k, v)
        y, blind = attend(
            q,
            k,
            v,
            key_padding_mask,
            attn_mask,
            start if self.is_causal else None,
            self.dropout if self.training else 0.0,
        )
        y = without_blind(self.out_proj(y.transpose(-3, -2).flatten(-2)), blind)
        return y if cache is None else (y, cache)

    def _split(self, x: Tensor, heads: int) -> Tensor:
        """Split (..., L, heads * head_dim) into (..., heads, L, head_dim)."""
        return x.unflatten(-1, (heads, self.head_dim)).transpose(-3, -2)

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return (
            f"{self.embed_dim}, num_heads={self.num_heads}, num_kv_heads={self.num_kv_heads}, "
            f"kdim={self.kdim}, vdim={self.vdim}, dropout={self.dropout}, "
            f"is_causal={self.is_causal}"
        )


@torch.fx.wrap
def check_sequences(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    features: tuple[int, int, int],
    causal: bool,  # noqa: FBT001 - one caller
) -> None:
    """Refuse sequences that do not belong together.

    Raises:
        ShapeError: number of dims, features, samples or lengths do not fit.
    """
    for name, x, size in zip(("query", "key", "value"), (query, key, value), features, strict=True):
        if x.dim() not in (2, 3) or x.shape[-1] != size:
            raise ShapeError(
                f"Attention expected {name} to be (N, length, {size}) or (length, {size}), "
                f"received {tuple(x.shape)}. "
                f"Fix: batch first, features last; kdim and vdim say how many features."
            )
    if query.shape[:-2] != key.shape[:-2] or key.shape[:-1] != value.shape[:-1]:
        raise ShapeError(
            f"Attention expected query, key and value of as many samples, and a value for each "
            f"key, received {tuple(query.shape)}, {tuple(key.shape)} and {tuple(value.shape)}. "
            f"Fix: make the dims before the features equal."
        )
    if causal and query.shape[-2] != key.shape[-2]:
        raise ShapeError(
            f"Attention expected, being causal, as many queries as keys, "
            f"received {query.shape[-2]} and {key.shape[-2]}. "
            f"Fix: is_causal=False, or an attn_mask that says who sees whom."
        )


@torch.fx.wrap
def check_cache(cache: KeyValueCache, k: Tensor) -> None:
    """Refuse a cache of another layer or batch.

    Raises:
        ShapeError: it does not fit the new keys `k`, (..., heads, L, head_dim).
    """
    expected = (*k.shape[:-2], cache.keys.shape[-2], k.shape[-1])
    if tuple(cache.keys.shape) != expected or tuple(cache.values.shape) != expected:
        raise ShapeError(
            f"Attention expected a cache of {expected}, "
            f"received {tuple(cache.keys.shape)} and {tuple(cache.values.shape)}. "
            f"Fix: begin with this layer's empty_cache(batch_size)."
        )
