"""`layerwright summary`: a network's tree with shapes, parameters, FLOPs and memory."""

from typing import Annotated

from cyclopts import Parameter

from layerwright.cli.output import print_json
from layerwright.cli.threads import use_threads

Flag = Parameter(negative=())


def summary(
    target: str,
    /,
    *,
    inputs: Annotated[tuple[str, ...], Parameter(name="--input", negative=())] = (),
    backward: Annotated[bool, Flag] = False,
    depth: int | None = None,
    no_time: Annotated[bool, Flag] = False,
    network: str | None = None,
    run_script: Annotated[bool, Flag] = False,
    seed: int = 0,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Show a network's modules as a tree: output shapes, parameters, FLOPs, memory.

    Shapes are followed without computing, and a class is not given memory for its weights: a
    network of any size is summarised in seconds. One whose course depends on values is run, and
    the summary says so. Operators whose FLOPs are not known are listed with their share of the
    time. Of a network that does not run, the tree up to the failure is shown, and what is wrong;
    the exit code is 1 then.

    Args:
        target: built-in network, file.py:Net, "file.py:Net(3, depth=9)", pkg.mod:Net, a case, or a
            run folder.
        inputs: forward's arguments: SHAPE[:DTYPE[:LOW..HIGH]], such as 16x3x32x32,
            8x7:int64:0..100 or mask=8x7:bool; repeatable. Default: example_inputs of the class.
        backward: count the FLOPs of the backward pass too.
        depth: levels of the tree to show. Default: as many as give 60 lines.
        no_time: do not run the network to measure how long its operators take.
        network: your own network, file.py:Net, if the run trained one.
        run_script: run all of a script, its training too.
        seed: of everything random.
        as_json: print one JSON object.
    """
    use_threads(None)
    from layerwright.cli.inspected_networks import inspected
    from layerwright.errors import OptionError
    from layerwright.inspection.summary import summary as summarised

    if depth is not None and depth < 0:
        raise OptionError(f"--depth expected a whole number from 0, received {depth}.")
    found = inspected(target, inputs, seed, network=network, run_script=run_script)
    result = summarised(found.network, found.inputs, backward=backward, time=not no_time, seed=seed)
    if as_json:
        print_json(result.as_dict())
    else:
        print(result.as_text(depth))
    return 0 if result.ok else 1
