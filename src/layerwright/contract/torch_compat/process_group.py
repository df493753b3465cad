"""A process group of one process, for layers that are wrapped as in distributed training."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch.distributed

from layerwright.contract.rule import Skip

dist: Any = torch.distributed  # what it does not export is typed as absent


@contextmanager
def process_group_of_one() -> Iterator[None]:
    """Open a default process group of this process alone, and close it at the end.

    Raises:
        Skip: there is one already, or this machine offers none.
    """
    if not dist.is_available() or not dist.is_gloo_available():
        raise Skip("this torch has no distributed package")
    if dist.is_initialized():
        raise Skip("the process has a default process group already")
    try:
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    except Exception as error:  # noqa: BLE001 - depends on the network of the machine
        raise Skip(f"no process group could be opened: {error}") from None
    try:
        yield
    finally:
        dist.destroy_process_group()
