"""What attention remembers of the positions it has read."""

from typing import NamedTuple

from torch import Tensor


class KeyValueCache(NamedTuple):
    """Keys and values of the positions read so far; an update is a new cache.

    Attributes:
        keys: (N, num_kv_heads, S, head_dim), or without N; already turned by rotary positions.
        values: the same shape.
    """

    keys: Tensor
    values: Tensor

    @property
    def length(self) -> int:
        """Number of positions that it holds."""
        return self.keys.shape[-2]
