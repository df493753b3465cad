"""`layerwright graph`: a network as a picture."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from layerwright.cli.output import print_json
from layerwright.cli.threads import use_threads

Flag = Parameter(negative=())


def graph(
    target: str,
    file: Path | None = None,
    /,
    *,
    inputs: Annotated[tuple[str, ...], Parameter(name="--input", negative=())] = (),
    depth: int | None = None,
    layout: Literal["auto", "dot", "own"] = "auto",
    network: str | None = None,
    run_script: Annotated[bool, Flag] = False,
    seed: int = 0,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Draw a network: modules as nested boxes, tensors as edges with their shapes.

    A tensor that goes around modules to meet their result, as a residual branch does, is a blue
    line; modules that are called several times have a violet border; masks are dashed; what
    depends on values is orange. Nothing is computed where shapes suffice. Of a network that does
    not run, the part up to the failure is drawn; the exit code is 1 then.

    Args:
        target: built-in network, file.py:Net, "file.py:Net(3, depth=9)", pkg.mod:Net, a case, or a
            run folder.
        file: where to draw to: .svg, .png, .dot or .gv. Default: the network's name.svg.
        inputs: forward's arguments: SHAPE[:DTYPE[:LOW..HIGH]], such as 16x3x32x32,
            8x7:int64:0..100 or mask=8x7:bool; repeatable. Default: example_inputs of the class.
        depth: levels of modules to unfold. Default: as many as are readable on one page.
        layout: dot, by Graphviz; own, in columns; or auto: dot where it is installed, unless the
            columns are larger on a page.
        network: your own network, file.py:Net, if the run trained one.
        run_script: run all of a script, its training too.
        seed: of everything random.
        as_json: print one JSON object.
    """
    use_threads(None)
    from layerwright.cli.inspected_networks import inspected
    from layerwright.errors import OptionError
    from layerwright.inspection.graph.drawing import check_file, draw

    if depth is not None and depth < 1:
        raise OptionError(f"--depth expected a whole number from 1, received {depth}.")
    if file is not None:
        check_file(file, layout)
    found = inspected(target, inputs, seed, network=network, run_script=run_script)
    place = file if file is not None else Path(f"{found.name}.svg")
    drawn = draw(found.network, found.inputs, place, depth=depth, layout=layout, seed=seed)
    if as_json:
        print_json({"file": str(place), **drawn.as_dict()})
    else:
        print(f"graph: {place}")
        if drawn.drawing.num_folded:
            shown = f"{drawn.drawing.depth} of {drawn.drawing.deepest} levels"
            print(f"{shown}; --depth {drawn.drawing.deepest} unfolds all")
        for note in drawn.notes:
            print(f"note: {note}")
        if drawn.failure is not None:
            print(f"\n{drawn.failure}")
    return 0 if drawn.failure is None else 1
