"""The network that `layerwright summary` and `graph` look at: not built yet where that is left."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layerwright.cli.checked_layers import CheckRequest, case_of, list_layers
from layerwright.cli.diagnosed_networks import network_of_run
from layerwright.cli.named_objects import named_object
from layerwright.contract.trees import Inputs
from layerwright.errors import OptionError
from layerwright.random_numbers import seed_all


@dataclass(frozen=True)
class Inspected:
    """A network, or what builds it.

    Attributes:
        network: an `nn.Module`, a class or a function.
        inputs: None for its own `example_inputs`.
        name: what it is called, as a file's name.
    """

    network: Any
    inputs: Inputs | None
    name: str


def inspected(
    target: str, inputs: tuple[str, ...], seed: int, *, network: str | None, run_script: bool
) -> Inspected:
    """Return the one network that a target means.

    Raises:
        TargetError: it leads nowhere.
        OptionError: it means several networks, or an option does not belong to it.
        RunFolderError: it is no run folder.
    """
    own = None if network is None else named_object(network)
    if (Path(target) / "config.json").is_file():
        if inputs:
            raise OptionError("--input expected a network; a run folder brings its own batch.")
        built, examples = network_of_run(Path(target), own)
        given = Inputs(examples.args, dict(examples.kwargs))
        return Inspected(built, given, type(built).__name__)
    if own is not None:
        raise OptionError(f"--network expected a run folder, received {target}.")
    request = CheckRequest(target=target, inputs=inputs, seed=seed, run_script=run_script)
    names = list_layers(request).names
    if len(names) != 1:
        near = f"{target}:{names[0]}" if names else "file.py:Net"
        raise OptionError(
            f"{target} expected one network, and holds {len(names)}: {', '.join(names[:5])}. "
            f"Fix: name one, such as {near}."
        )
    seed_all(seed)  # the inputs are drawn from global random numbers
    case = case_of(request, names[0])
    has_inputs = bool(case.inputs or case.kwargs)
    name = re.sub(r"[^\w.-]+", "_", case.name)
    return Inspected(case.factory, Inputs(case.inputs, case.kwargs) if has_inputs else None, name)
