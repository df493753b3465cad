"""Where a run stands: copied out for a checkpoint, and put back on any number of processes."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from layerwright.data.seeding import mixed_seed
from layerwright.random_numbers import seed_all_devices
from layerwright.training import network_state, random_state
from layerwright.training.assembly import Assembly
from layerwright.training.own_parts import placed_like


def memory_state(assembly: Assembly) -> dict[str, Any] | None:
    """Copy what decides the rest of the run, the random state of each process included.

    Returns:
        The state in the first process, and None in the others, which have handed in their part.
        Where weights are sharded each process returns the state with its part of them.
    """
    steps, processes = assembly.steps, assembly.processes
    processes.settle(assembly.network)
    own = {
        "num_seen": steps.num_seen,
        "loss_sum": float(steps.loss_sum),
        "random": random_state.capture(),
    }
    parts = processes.gathered(own)
    if not parts and not processes.sharded:
        return None
    training = {
        "step": steps.step,
        "epoch": steps.epoch,
        "batch": steps.batch,
        "optimizer": copy.deepcopy(steps.optimizer.state_dict()),
        **own,
    }
    if len(parts) > 1:
        training["ranks"] = parts
    return {"network": network_state.capture(assembly.network), "training": training}


def restore_state(assembly: Assembly, state: Mapping[str, Any]) -> None:
    """Put the parts back to where `memory_state` was taken; the random state last.

    As many processes as saved it go on exactly. Of another number each takes up a random state
    that was saved for its rank, or else begins one of its own.
    """
    steps, training = assembly.steps, state["training"]
    network_state.restore(assembly.network, state["network"])
    steps.optimizer.load_state_dict(_placed(training["optimizer"], steps.optimizer))
    for parameter in steps.parameters:
        parameter.grad = None
    steps.step, steps.epoch, steps.batch = training["step"], training["epoch"], training["batch"]
    rank, size = assembly.processes.rank, assembly.processes.size
    parts = training.get("ranks", [training])
    if size == len(parts):
        steps.num_seen, steps.loss_sum = parts[rank]["num_seen"], parts[rank]["loss_sum"]
    else:  # sums over processes, so that it does not matter which one holds them
        held = parts if rank == 0 else []
        steps.num_seen = sum(part["num_seen"] for part in held)
        steps.loss_sum = sum((part["loss_sum"] for part in held), 0.0)
    if rank < len(parts):
        random_state.restore(parts[rank]["random"])
    else:
        seed_all_devices(mixed_seed(assembly.recipe.seed, "rank", rank, steps.step))


def _placed(saved: Mapping[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Copy an optimizer's saved state, cut as its parameters are."""
    copied: dict[str, Any] = copy.deepcopy(dict(saved))
    numbers = [number for group in copied["param_groups"] for number in group["params"]]
    parameters = [item for group in optimizer.param_groups for item in group["params"]]
    for number, parameter in zip(numbers, parameters, strict=False):  # torch words a mismatch
        for key, value in copied["state"].get(number, {}).items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                copied["state"][number][key] = placed_like(value, parameter)
    return copied
