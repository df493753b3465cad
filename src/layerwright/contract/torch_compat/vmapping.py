"""torch.func.vmap without what it prints from C++ about operators that it maps slowly."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_FUNCTORCH: Any = torch._C._functorch  # noqa: SLF001 - no public switch, and no Python warning


@contextmanager
def silent_vmap() -> Iterator[None]:
    """Silence vmap's warnings inside, and let it warn again: torch cannot tell what was before."""
    _FUNCTORCH._set_vmap_fallback_warning_enabled(False)  # noqa: SLF001
    try:
        yield
    finally:
        _FUNCTORCH._set_vmap_fallback_warning_enabled(True)  # noqa: SLF001
