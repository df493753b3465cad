"""`layerwright init`: what a network's first values do to signal and gradients, and what cures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from layerwright.cli.output import print_json
from layerwright.cli.threads import use_threads

if TYPE_CHECKING:
    from torch import nn

    from layerwright.initialization.examples import ExampleInputs

Flag = Parameter(negative=())


def init(
    target: str,
    /,
    *,
    inputs: Annotated[tuple[str, ...], Parameter(name="--input", negative=())] = (),
    recipe: str | None = None,
    picture: Path | None = None,
    network: str | None = None,
    run_script: Annotated[bool, Flag] = False,
    seed: int = 0,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Diagnose a network's initialisation: where the signal or the gradient is lost, and the cure.

    A table shows for each layer the scale of its output, the share of it that depends on the
    input, the gradient (1 at the network's output), dead units and saturated values. What is
    called sick has been cured on a copy, by a recipe that is named; the exit code is 1 then. Of a
    run folder, the network is shown as the run started it, on its first batch.

    Args:
        target: built-in network, file.py:Net, "file.py:Net(3, depth=9)", pkg.mod:Net, a case, or a
            run folder.
        inputs: forward's arguments: SHAPE[:DTYPE[:LOW..HIGH]], such as 16x3x32x32,
            8x7:int64:0..100 or mask=8x7:bool; repeatable. Default: example_inputs of the class.
        recipe: show the numbers after this recipe: default, normal, xavier, kaiming, by-type,
            orthogonal, lsuv or file.py:name. Default: the cure, if something is sick.
        picture: file to draw signal and gradients to, .png or .svg.
        network: your own network, file.py:Net, if the run trained one.
        run_script: run all of a script, its training too.
        seed: of everything random; default 0.
        as_json: print one JSON object.
    """
    use_threads(None)
    from layerwright.cli.diagnosed_networks import network_of_run, network_of_target
    from layerwright.cli.named_objects import named_object
    from layerwright.errors import OptionError
    from layerwright.initialization.doctor.diagnosis import diagnose_initialization
    from layerwright.initialization.doctor.picture import check_picture

    if picture is not None:
        check_picture(picture)
    own = None if network is None else named_object(network)
    found: tuple[nn.Module, ExampleInputs]
    if (Path(target) / "config.json").is_file():
        if inputs:
            raise OptionError("--input expected a network; a run folder brings its own batch.")
        found = network_of_run(Path(target), own)
    elif own is not None:
        raise OptionError(f"--network expected a run folder, received {target}.")
    else:
        found = network_of_target(target, inputs, seed, run_script=run_script)
    chosen = None if recipe is None else named_object(recipe)
    diagnosis = diagnose_initialization(*found, recipe=chosen, seed=seed)
    if picture is not None:
        diagnosis.save_picture(picture)
    if as_json:
        print_json(diagnosis.as_dict())
    else:
        print(diagnosis)
        if picture is not None:
            print(f"picture: {picture}")
    return 0 if diagnosis.ok else 1
