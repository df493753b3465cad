"""Continue a run."""

from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from layerwright.training import random_state
from layerwright.training.assembly import assemble
from layerwright.training.known_vocabulary import known_vocabulary
from layerwright.training.run import Run
from layerwright.training.run_config import check_replayable, check_same_data, recipe_from
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
    config = read_config(path)
    check_replayable(config, path)
    given = {"network": network, "data": data, "data_dir": data_dir, **objects}
    recipe = recipe_from(config, path, {k: v for k, v in given.items() if v is not None})
    folder = RunFolder.open(path)
    try:
        with random_state.preserved(), random_state.deterministic_algorithms():
            assembly = assemble(recipe, known_vocabulary(path))
            check_same_data(assembly, config)
            session = Session(assembly, folder, console)
            session.started_from = config.get("started_from")  # the weights are in the checkpoint
            state = folder.checkpoints.newest_intact()
            for problem in folder.checkpoints.problems:
                session.progress.say(problem)
            session.restore(state)
            steps = assembly.steps
            if session.done:
                session.progress.say(f"{path} is finished, at step {steps.step}")
                session.report()
            else:
                session.progress.say(
                    f"resuming {path} at step {steps.step} (epoch {steps.epoch + 1}, "
                    f"batch {steps.batch} done)"
                )
                threads = config["resolved"]["threads"]
                if threads != torch.get_num_threads():
                    session.progress.say(
                        f"warning: the run used {threads} threads and this process has "
                        f"{torch.get_num_threads()}; the last bits may differ"
                    )
            return session.train()
    finally:
        folder.close()
