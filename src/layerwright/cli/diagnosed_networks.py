"""The network that `layerwright init` looks at, and a batch for it."""

from pathlib import Path
from typing import Any

from torch import nn

from layerwright.cli.checked_layers import CheckRequest, case_of, list_layers
from layerwright.contract.building import subject_of
from layerwright.errors import OptionError
from layerwright.initialization.examples import ExampleInputs
from layerwright.random_numbers import seed_all
from layerwright.training import random_state
from layerwright.training.assembly import assemble
from layerwright.training.run_config import recipe_from
from layerwright.training.run_folder import read_config


def network_of_target(
    target: str, inputs: tuple[str, ...], seed: int, *, run_script: bool
) -> tuple[nn.Module, ExampleInputs]:
    """Build the one network that a target means, under `seed`.

    Raises:
        TargetError: it leads nowhere.
        OptionError: it means several networks, cannot be built, or there are no inputs.
    """
    request = CheckRequest(target=target, inputs=inputs, seed=seed, run_script=run_script)
    names = list_layers(request).names
    if len(names) != 1:
        near = f"{target}:{names[0]}" if names else "file.py:Net"
        raise OptionError(
            f"{target} expected one network, and holds {len(names)}: {', '.join(names[:5])}. "
            f"Fix: name one, such as {near}."
        )
    seed_all(seed)  # the inputs are drawn, and the network is built, from global random numbers
    subject = subject_of(case_of(request, names[0]), seed, lambda _cls: {})
    if subject.construction_error is not None:
        error = subject.construction_error
        raise OptionError(f"{target} cannot be built: {type(error).__name__}: {error}") from error
    if subject.inputs is None:
        raise OptionError(
            f"{target} expected inputs, received none. Fix: --input 16x3x32x32, or "
            "example_inputs on the class."
        )
    return subject.layer, ExampleInputs(subject.inputs.args, dict(subject.inputs.kwargs))


def network_of_run(folder: Path, network: Any) -> tuple[nn.Module, ExampleInputs]:
    """Build a run's network as the run started it, with the run's first batch.

    Raises:
        RunFolderError: it is no run folder.
        OptionError: the run trained the user's own network, or other own objects.
        DataError: its data is not there.
    """
    given = {} if network is None else {"network": network}
    with random_state.preserved():
        assembly = assemble(recipe_from(read_config(folder), folder, given))
        batches = assembly.train_batches.epoch(0)
        try:
            inputs, _ = next(batches)
        finally:
            batches.close()
    return assembly.network, ExampleInputs(tuple(inputs))
