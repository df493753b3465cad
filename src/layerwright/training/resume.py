"""Continue a run."""

from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from layerwright.errors import RunFolderError
from layerwright.training import random_state
from layerwright.training.assembly import assemble
from layerwright.training.known_vocabulary import known_vocabulary
from layerwright.training.processes import OneProcess, joined
from layerwright.training.recipe import Recipe
from layerwright.training.run import Run
from layerwright.training.run_config import (
    check_replayable,
    check_same_data,
    own_object,
    recipe_from,
)
from layerwright.training.run_folder import RunFolder, read_config
from layerwright.training.session import Session


def resume(
    run_dir: str | Path,
    network: Any = None,
    data: Any = None,
    *,
    data_dir: str | None = None,
    console: Console | None = None,
    **objects: Any,
) -> Run:
    """Continue a run that was interrupted or killed; it ends as if it never had been.

    The newest intact checkpoint is taken up. On the same machine with the same number of threads
    the weights, the optimizer's state and the metrics end up bit-identical to those of the
    uninterrupted run. A finished run is returned as it is.

    Started by torchrun, any number of processes takes up the run of any other number.

    Args:
        run_dir: the run's folder.
        network: the user's own network, if the run trained one: nothing in a run folder is
            imported, so it must be named again.
        data: the user's own data, likewise.
        data_dir: where the built-in data sets lie now, if that has changed.
        console: where progress goes; None is silent.
        **objects: other own objects of the recipe, such as `loss=` or `optimizer=`.

    Raises:
        RunFolderError: no run folder, in use, or its data cannot be replayed.
        CheckpointError: no intact checkpoint, or it does not fit the network.
        OptionError: an own object is missing.
        DataError: the data is not the one that the run was started with.
    """
    path = Path(run_dir)
    given = {"network": network, "data": data, "data_dir": data_dir, **objects}
    given = {name: value for name, value in given.items() if value is not None}
    with joined(_device_of(path)) as processes:
        return _resume(path, given, console, processes)


def resume_as(recipe: Recipe, run_dir: Path, *, console: Console | None = None) -> Run:
    """Continue a run with the own objects of the recipe that it was started with.

    Args:
        recipe: as it was given when the run began.
        run_dir: the run's folder.
        console: where progress goes; None is silent.
    """
    with joined(recipe.device) as processes:
        config = processes.agreed(lambda: read_config(run_dir))
        given = {
            name: getattr(recipe, name)
            for name, value in config["recipe"].items()
            if own_object(value) is not None and name != "start_from"
        }
        return _resume(run_dir, given, console, processes)


def _resume(
    path: Path, given: dict[str, Any], console: Console | None, processes: OneProcess
) -> Run:
    is_first = processes.rank == 0
    config, vocabulary = processes.agreed(lambda: (read_config(path), known_vocabulary(path)))
    check_replayable(config, path)
    recipe = recipe_from(config, path, given)
    folder = RunFolder.open(path) if is_first else None
    try:
        processes.begin_run(path)
        with random_state.preserved(), random_state.deterministic_algorithms():
            assembly = assemble(recipe, vocabulary, processes)
            check_same_data(assembly, config)
            session = Session(assembly, folder, console if is_first else None, path)
            session.started_from = config.get("started_from")  # the weights are in the checkpoint
            state = processes.agreed(lambda: _newest(folder))
            for problem in folder.checkpoints.problems if folder else ():
                session.progress.say(problem)
            session.restore(state)
            _introduce(session, config)
            return session.train()
    finally:
        if folder is not None:
            folder.close()


def _newest(folder: RunFolder | None) -> dict[str, Any] | None:
    return folder.checkpoints.newest_intact() if folder else None


def _introduce(session: Session, config: dict[str, Any]) -> None:
    """Say where the run is taken up."""
    steps = session.assembly.steps
    if session.done:
        session.progress.say(f"{session.run_dir} is finished, at step {steps.step}")
        session.report()
        return
    session.progress.say(
        f"resuming {session.run_dir} at step {steps.step} (epoch {steps.epoch + 1}, "
        f"batch {steps.batch} done)"
    )
    for line in session.processes.lines(session.assembly.train_batches.batch_size):
        session.progress.say(line)
    threads, processes = config["resolved"]["threads"], config["resolved"].get("processes", 1)
    if threads != torch.get_num_threads():
        session.progress.say(
            f"warning: the run used {threads} threads and this process has "
            f"{torch.get_num_threads()}; the last bits may differ"
        )
    if processes != session.processes.size:
        session.progress.say(
            f"warning: the run was started on {processes} processes and has "
            f"{session.processes.size} now; the last bits, and what dropout draws, may differ"
        )


def _device_of(path: Path) -> str:
    """The device of the run's recipe, where this process can read the folder."""
    try:
        return str(read_config(path)["recipe"]["device"])
    except RunFolderError:
        return "auto"
