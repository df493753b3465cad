"""The random state of the process: captured, restored and left as it was found."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.utils.deterministic

_settings: Any = torch.utils.deterministic  # a module with properties, unknown to type checkers


def capture() -> dict[str, Any]:
    """Return the state of every global generator, in types that `weights_only` loading allows."""
    numpy_state: tuple[Any, ...] = np.random.get_state()  # type: ignore[assignment]  # noqa: NPY002
    name, keys, position, has_gauss, cached = numpy_state
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "mps": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached),
    }


def restore(state: dict[str, Any]) -> None:
    """Put every global generator back to a captured state."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    if state["mps"] is not None and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])
    random.setstate(state["python"])
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state(  # noqa: NPY002
        (name, keys.numpy().astype(np.uint32), position, has_gauss, cached)
    )


@contextmanager
def preserved() -> Iterator[None]:
    """Leave the global generators as they were found, whatever happens inside."""
    state = capture()
    try:
        yield
    finally:
        restore(state)


@contextmanager
def deterministic_algorithms() -> Iterator[None]:
    """Ask torch for algorithms that give the same bits each time, and undo it afterwards.

    An operator without such an algorithm warns and is used all the same.
    """
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    fill = _settings.fill_uninitialized_memory
    benchmark = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True, warn_only=not enabled or warn_only)
    _settings.fill_uninitialized_memory = False  # costs time, changes no result
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        _settings.fill_uninitialized_memory = fill
        torch.backends.cudnn.benchmark = benchmark
