"""Train a network."""

from pathlib import Path
from typing import Any

from rich.console import Console
from torch import nn

from layerwright.errors import OptionError
from layerwright.training import random_state
from layerwright.training.assembly import Assembly, assemble
from layerwright.training.default_recipes import default_recipe
from layerwright.training.known_vocabulary import known_vocabulary
from layerwright.training.processes import OneProcess, joined
from layerwright.training.recipe import Recipe
from layerwright.training.resume import resume_as
from layerwright.training.run import Run
from layerwright.training.run_config import describe_run
from layerwright.training.run_folder import RunFolder
from layerwright.training.session import Session
from layerwright.training.starting_weights import StartingWeights, network_of, start_from
from layerwright.training.tensorboard import require_tensorboard


def fit(
    network: Any = None,
    data: Any = None,
    recipe: Recipe | None = None,
    *,
    run_dir: str | Path | None = None,
    console: Console | None = None,
    **options: Any,
) -> Run:
    """Train a network and return the run.

    The same seed on the same machine with the same number of threads gives the same weights, bit
    for bit. The caller's random state is left as it was.

    Started by torchrun, the processes train one network together: each takes its part of every
    batch, and each returns the run.

    Args:
        network: an `nn.Module` (trained in place), a class, or a built-in name; None takes the
            recipe's, or without a recipe that of the run in `start_from`.
        data: a built-in name, `(inputs, targets)`, `(texts, targets)`, a Dataset, a DataLoader, or
            a folder of images or texts; None takes the recipe's.
        recipe: how to train; None takes the one that is known to be good for this network and
            data.
        run_dir: folder for checkpoints, metrics and the resolved recipe; None writes nothing. It
            must be new or empty.
        console: where progress goes; None is silent.
        **options: changes to the recipe, such as `epochs=3`.

    Returns:
        The run: its network, history, best row and test values.

    Raises:
        OptionError: an option is unknown or impossible.
        ShapeError: network, data and loss do not fit together.
        DataError: the data is missing, damaged or unsuitable.
        RunFolderError: the run folder is not empty or in use.
        NonFiniteError: a loss or gradient became NaN or infinite.
        CheckpointError: a checkpoint could not be written.
        ProcessError: another process of the same launch has gone.

    Example:
        >>> run = fit(nn.Linear(2, 1), (torch.randn(32, 2), torch.randn(32)), epochs=1)
        >>> run.epoch
        1
    """
    if recipe is None:
        chosen, source = Recipe(), options.get("start_from")
        known = network_of(source) if network is None and source is not None else {}
        recipe = default_recipe(
            known.get("network", chosen.network) if network is None else network,
            chosen.data if data is None else data,
        ).changed(**known)
    given = {"network": network, "data": data}
    recipe = recipe.changed(**{k: v for k, v in given.items() if v is not None}).changed(**options)
    if isinstance(recipe.network, nn.Module) and recipe.network_options:
        raise OptionError(
            "network_options expected a network that is still to be built, received an instance. "
            "Fix: give the options to the instance's constructor."
        )
    where = Path(run_dir) if run_dir is not None else None
    with joined(recipe.device) as processes:
        begun = processes.begun_run()
        if begun is not None and where is not None and begun == where.resolve():
            return resume_as(recipe, begun, console=console)  # torchrun has started us again
        with random_state.preserved(), random_state.deterministic_algorithms():
            return _fit(recipe, where, console, processes)


def _fit(
    recipe: Recipe, run_dir: Path | None, console: Console | None, processes: OneProcess
) -> Run:
    is_first = processes.rank == 0
    assembly = assemble(recipe, known_vocabulary(recipe.start_from), processes)
    start = None
    if recipe.start_from is not None:  # after all that a resume, without the source, repeats
        start = start_from(assembly.network, recipe.start_from, assembly.frozen.parameters)
    if recipe.tensorboard:
        require_tensorboard()
    folder, config = None, describe_run(assembly)
    if start is not None:
        config["started_from"] = start.as_dict()
    try:
        if run_dir is not None:
            if is_first:
                folder = RunFolder.create(run_dir, config, assembly.data.vocabulary)
            processes.begin_run(run_dir)
            processes.any(False)  # the folder is there, or the first process has failed
        session = Session(assembly, folder, console if is_first else None, run_dir)
        session.started_from = config.get("started_from")
        _introduce(session, assembly, start)
        return session.train()
    finally:
        if folder is not None:
            folder.close()


def _introduce(session: Session, assembly: Assembly, start: StartingWeights | None) -> None:
    """Say what is about to be trained on what."""
    network, data = assembly.network, assembly.data
    num_parameters = sum(parameter.numel() for parameter in network.parameters())
    splits = [("train", data.train), ("validation", data.validation), ("test", data.test)]
    sizes = [
        f"{len(split)} {name}"
        for name, split in splits
        if split is not None and hasattr(split, "__len__")
    ]
    device = assembly.steps.parameters[0].device
    session.progress.say(
        f"{assembly.network_name} ({num_parameters:,} parameters) on {data.name} "
        f"({', '.join(sizes) or 'a stream'}), {device}, seed {assembly.recipe.seed}"
    )
    for line in session.processes.lines(assembly.train_batches.batch_size):
        session.progress.say(line)
    for line in [*(start.lines() if start else ()), *assembly.frozen.lines(network)]:
        session.progress.say(line)
    for note in data.notes:
        session.progress.say(f"note: {note}")
    if session.run_dir is not None:
        session.progress.say(f"run folder: {session.run_dir}")
        if data.unreplayable is not None:
            session.progress.say(f"this run cannot be resumed exactly: {data.unreplayable}")
