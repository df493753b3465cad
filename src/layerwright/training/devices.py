"""Which device, which precision, which memory format a run computes with."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch

from layerwright.errors import OptionError


def resolve_device(name: str) -> torch.device:
    """Return the device that `name` means; "auto" takes an accelerator where there is one.

    Raises:
        OptionError: this machine or this build of torch has no such device.
    """
    if name == "auto":
        accelerators = {
            "cuda": torch.cuda.is_available(),
            "mps": torch.backends.mps.is_available(),
            "cpu": True,
        }
        name = next(kind for kind, present in accelerators.items() if present)
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise OptionError(
            f"device expected one that this machine has, received {name!r}. "
            f"Fix: --device cpu or auto. ({str(error).splitlines()[0]})"
        ) from error
    if device.type == "meta":
        raise OptionError("device expected one that computes, received 'meta'. Fix: --device cpu.")
    if device.type == "cuda":  # cuBLAS gives the same bits only so, and reads it at its first use
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return device


def autocast_for(
    precision: str, device: torch.device
) -> Callable[[], AbstractContextManager[Any]] | None:
    """Return what makes the context of a forward pass, or None for plain float32."""
    if precision == "float32":
        return None
    return partial(torch.autocast, device.type, dtype=torch.bfloat16)
