"""A process group of one process, for layers that are wrapped as in distributed training."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch.distributed
from torch import nn

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


@contextmanager
def sharding_of_one() -> Iterator[Callable[[nn.Module], None]]:
    """Open a process group of this process alone; yield what applies FSDP2 to a layer, in place.

    Its parameters become shards that hold all of them. A forward pass gathers copies of the shards
    and computes with those, as in any number of processes.

    Raises:
        Skip: see `process_group_of_one`.
    """
    with process_group_of_one():
        # Half a second, and absent where there is no distributed package.
        from torch.distributed.device_mesh import init_device_mesh  # noqa: PLC0415
        from torch.distributed.fsdp import fully_shard  # noqa: PLC0415
        from torch.distributed.fsdp._fully_shard._fully_shard import (  # noqa: PLC0415
            get_cls_to_fsdp_cls,
        )

        mesh = init_device_mesh("cpu", (1,))
        kept = get_cls_to_fsdp_cls()  # it would keep the layer's class for ever
        before = set(kept)

        def shard(layer: nn.Module) -> None:
            fully_shard(layer, mesh=mesh)

        try:
            yield shard
        finally:
            for cls in kept.keys() - before:
                del kept[cls]
