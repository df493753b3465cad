"""A run as data: what its config.json holds, and the recipe that comes back from it.

Nothing in a run folder is ever imported. What was a user's own object is recorded by its name for
people to read, and must be named again.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from layerwright.data.splits import Data
from layerwright.errors import DataError, OptionError, RunFolderError
from layerwright.training.assembly import Assembly
from layerwright.training.recipe import Recipe


def describe_run(assembly: Assembly) -> dict[str, Any]:
    """Return what is needed to continue the run, and to read the network's answers."""
    recipe, data = assembly.recipe, assembly.data
    return {
        "recipe": {item.name: _plain(getattr(recipe, item.name)) for item in fields(recipe)},
        "resolved": {
            "network": assembly.network_name,
            "loss": assembly.loss.name,
            "metrics": [metric.name for metric in assembly.metrics],
            "monitor": assembly.monitor[0],
            "device": str(assembly.steps.parameters[0].device),
            "threads": torch.get_num_threads(),
            "processes": assembly.processes.size,
        },
        "data": data_facts(data),
        "first_batch": first_batch_digest(assembly),
        "unreplayable": data.unreplayable,
    }


def data_facts(data: Data) -> dict[str, Any]:
    """Return what is needed to feed the network and to read its outputs."""
    normalization = getattr(data.train, "normalization", None)
    return {
        "name": data.name,
        "task": data.task,
        "input_shape": data.input_shape,
        "num_outputs": data.num_outputs,
        "class_names": data.class_names,
        "normalization": normalization.as_dict() if normalization is not None else None,
        "vocabulary_size": data.vocabulary.size if data.vocabulary else None,
    }


def recipe_from(config: Mapping[str, Any], run_dir: Path, given: Mapping[str, Any]) -> Recipe:
    """Rebuild the recipe of a run, with the user's own objects given again.

    Args:
        config: what config.json holds.
        run_dir: the run folder, for messages.
        given: the objects by recipe option; exactly those that the run had as objects.

    Raises:
        OptionError: an object is missing, or an option is given that the run fixed.
    """
    options: dict[str, Any] = {}
    for name, value in config["recipe"].items():
        own = own_object(value)
        if name == "start_from" and own is not None:
            continue  # a Run, of which nothing more is needed
        if own is None and name in given and name != "data_dir":
            raise OptionError(
                f"{name} expected nothing, received {given[name]!r}: the run in {run_dir} fixed it "
                f"to {value!r}. Fix: leave it out, or start a new run."
            )
        if own is not None and name not in given:
            raise OptionError(
                f"the run in {run_dir} used your own {name} ({own}), and nothing in a run folder "
                f"is imported. Fix: name it again, {_how_to_name(name)}."
            )
        options[name] = given.get(name, _tuples(value))
    return Recipe(**options)


def check_same_data(assembly: Assembly, config: Mapping[str, Any]) -> None:
    """Refuse data that is not the run's: its first batch must be the same, bit for bit.

    Raises:
        DataError: it differs.
    """
    if first_batch_digest(assembly) != config["first_batch"]:
        raise DataError(
            "the data expected the batches that the run was started with, and its first batch "
            "differs. Fix: give the same data, in the same order."
        )


def check_replayable(config: Mapping[str, Any], run_dir: Path) -> None:
    """Refuse to resume a run whose data cannot be replayed.

    Raises:
        RunFolderError: it cannot.
    """
    if config["unreplayable"] is not None:
        raise RunFolderError(
            f"the run in {run_dir} cannot be resumed exactly: {config['unreplayable']} "
            "Fix: train anew on a map-style Dataset, tensors or a folder."
        )


def first_batch_digest(assembly: Assembly) -> str | None:
    """Hash the first training batch; None where taking it would use it up."""
    if assembly.data.unreplayable is not None:
        return None
    batches = assembly.first_batches().epoch(0)
    inputs, target = next(batches)
    batches.close()
    digest = hashlib.sha256()
    for tensor in (*inputs, target):
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """JSON for a recipe's value; a user's object becomes its description."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list) and all(
        item is None or isinstance(item, str | int | float | bool) for item in value
    ):
        return list(value)
    name = getattr(value, "__qualname__", None) or type(value).__qualname__
    return {"object": name}


def own_object(value: Any) -> str | None:
    """The name of the user's object that stood in the recipe; None for plain values."""
    if isinstance(value, Mapping) and set(value) == {"object"}:
        return str(value["object"])
    return None


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _how_to_name(name: str) -> str:
    option = "metric" if name == "metrics" else name
    return (
        f"with --{option} file.py:{'Net' if name == 'network' else 'name'}, or {name}=... in Python"
    )
