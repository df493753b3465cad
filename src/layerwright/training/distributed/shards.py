"""Checkpoints of sharded weights: each process writes its part, and any number reads them.

`torch.distributed.checkpoint` writes the parts as safetensors with their place in the whole, so
that reading them runs no code, as reading its own `.metadata` file (a pickle) could.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from torch.distributed.checkpoint.state_dict_loader import load as load_parts
from torch.distributed.checkpoint.state_dict_saver import save as save_parts

from layerwright.errors import CheckpointError
from layerwright.training.checkpoints import Checkpoints


def save_shards(checkpoints: Checkpoints | None, state: Mapping[str, Any]) -> None:
    """Write a checkpoint, each process its part; all reach the same folder.

    Args:
        checkpoints: of the run folder, on rank 0; None elsewhere.
        state: as `memory_state` returns it, with this process's part of each sharded tensor.

    Raises:
        CheckpointError: a part cannot be written.
    """
    step = int(state["training"]["step"])
    box = [checkpoints.begin(step) if checkpoints is not None else None]
    dist.broadcast_object_list(box, src=0)
    aside = box[0]
    if aside is None:
        raise TypeError("rank 0 has the checkpoints")
    tensors, training = _taken_apart(state)
    try:
        writer = HuggingFaceStorageWriter(str(aside), save_distributed=True)
        save_parts(tensors, storage_writer=writer)
    except (CheckpointException, OSError) as error:
        raise (checkpoints or Checkpoints(aside.parent)).not_written(step, error) from error
    if checkpoints is not None:
        checkpoints.save({"training": training}, aside)
    dist.barrier()


def read_shards(folder: Path, training: dict[str, Any]) -> dict[str, Any]:
    """Put the parts together, as `layerwright.training.checkpoints.load` returns a checkpoint.

    Args:
        folder: one checkpoint, whose hashes agree.
        training: what its training.pt holds.

    Raises:
        CheckpointError: a part is missing or does not fit.
    """
    shards: dict[str, Any] = training.pop("shards")
    tensors = {
        key: torch.empty(shape, dtype=dtype) for key, (shape, dtype) in shards["tensors"].items()
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        try:
            reader = HuggingFaceStorageReader(str(folder))
            load_parts(tensors, storage_reader=reader, no_dist=True)
        except (CheckpointException, KeyError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{folder} is damaged: {error}") from error
    found: dict[str, dict[str, Any]] = {"network": {}, "best": {}}
    for part, names in shards["names"].items():
        for name, key in names.items():
            found[part][name] = tensors[key]
        found[part].update(shards["extra"][part])
    for number, values in training["optimizer"]["state"].items():
        for name, value in values.items():
            if isinstance(value, str) and value in tensors:
                training["optimizer"]["state"][number][name] = tensors[value]
    best = found["best"] if "best" in shards["names"] else None
    return {"network": found["network"], "best": best, "training": training}


def _taken_apart(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Take tensors out of a state, and leave in it where each belongs."""
    tensors: dict[str, Tensor] = {}
    names: dict[str, dict[str, str]] = {}
    extra: dict[str, dict[str, Any]] = {}
    for part in ("network", "best"):
        if state.get(part) is None:
            continue
        names[part], extra[part] = {}, {}
        first: dict[int, str] = {}
        for name, value in state[part].items():
            if not isinstance(value, Tensor):
                extra[part][name] = value
                continue
            key = first.setdefault(id(value), f"{part}.{name}")  # tied tensors are one object
            names[part][name] = key
            tensors[key] = value.detach()
    training = dict(state["training"])
    optimizer = dict(training["optimizer"])
    optimizer["state"] = {number: dict(values) for number, values in optimizer["state"].items()}
    for number, values in optimizer["state"].items():
        for name, value in values.items():
            if hasattr(value, "to_local"):  # the others are small and the same everywhere
                key = f"optimizer.{number}.{name}"
                tensors[key], values[name] = value.detach(), key
    training["optimizer"] = optimizer
    forms = {key: (tuple(value.shape), value.dtype) for key, value in tensors.items()}
    training["shards"] = {"tensors": forms, "names": names, "extra": extra}
    return tensors, training
