"""What this process holds of a tensor that several processes may hold together."""

from typing import Any

from torch import Tensor


def own_part(tensor: Tensor) -> Tensor:
    """Return the part of a sharded tensor that lies in this process; any other tensor as it is."""
    to_local: Any = getattr(tensor, "to_local", None)
    return tensor if to_local is None else to_local()


def placed_like(tensor: Tensor, example: Tensor) -> Tensor:
    """Return a whole tensor cut as `example` is; unchanged where that is not sharded.

    Args:
        tensor: the whole values, the same in each process.
        example: a tensor of the same shape, which may be sharded.
    """
    if not hasattr(example, "to_local") or hasattr(tensor, "to_local"):
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor  # noqa: PLC0415 - heavy

    assert isinstance(example, DTensor)  # noqa: S101 - for the type checker
    return distribute_tensor(
        tensor.to(example.device), example.device_mesh, example.placements, src_data_rank=None
    )
