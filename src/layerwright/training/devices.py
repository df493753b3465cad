"""Which device, which precision, which memory format a run computes with."""

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
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
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
    return device


def autocast_for(
    precision: str, device: torch.device
) -> Callable[[], AbstractContextManager[Any]] | None:
    """Return what makes the context of a forward pass, or None for plain float32."""
    if precision == "float32":
        return None
    return partial(torch.autocast, device.type, dtype=torch.bfloat16)
