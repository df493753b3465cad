"""What torch.func.vmap keeps private: its warnings from C++, and the tensors that it wraps."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

_FUNCTORCH: Any = torch._C._functorch  # noqa: SLF001 - no public switch, and no Python warning


@contextmanager
def silent_vmap() -> Iterator[None]:
    """Silence vmap's warnings inside, and let it warn again: torch cannot tell what was before."""
    _FUNCTORCH._set_vmap_fallback_warning_enabled(False)  # noqa: SLF001
    try:
        yield
    finally:
        _FUNCTORCH._set_vmap_fallback_warning_enabled(True)  # noqa: SLF001


def is_mapped(tensor: Tensor) -> bool:
    """Tell whether a tensor belongs to a transform of torch.func, and is dead behind it."""
    return bool(_FUNCTORCH.is_functorch_wrapped_tensor(tensor))
