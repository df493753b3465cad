"""`layerwright export`: a network as a file that is known to compute the same."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from layerwright.cli.output import print_json
from layerwright.cli.threads import use_threads
from layerwright.errors import OptionError

Flag = Parameter(negative=())


def export(  # noqa: PLR0913 - the options of the command line
    target: str,
    file: Path,
    /,
    *,
    inputs: Annotated[tuple[str, ...], Parameter(name="--input", negative=())] = (),
    dynamic: Annotated[tuple[str, ...], Parameter(name="--dynamic", negative=())] = (),
    fixed_batch: Annotated[bool, Flag] = False,
    optimize: Annotated[bool, Flag] = False,
    max_accuracy_drop: float = 0.5,
    aot: Annotated[bool, Flag] = False,
    data: str | None = None,
    data_dir: Path | None = None,
    network: str | None = None,
    run_script: Annotated[bool, Flag] = False,
    seed: int = 0,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Write a network to FILE, and keep the file only if it computes the same.

    The suffix chooses the format: net.onnx for onnxruntime, net.pt2 for torch, net.safetensors for
    the weights alone. The file is loaded in a fresh process and compared with the network on
    several batch sizes and on edge values; what rounding explains is derived from the network's
    operators and printed. A file that differs is not kept: the first module whose output differs is
    named, and the exit code is 1. How to scale pixels and the names of the classes travel with the
    file, so that layerwright predict FILE image.png answers as the run does.

    Args:
        target: a run folder, whose best weights are taken, or a built-in network, file.py:Net,
            "file.py:Net(3, depth=9)", pkg.mod:Net, with the weights that it is built with.
        file: where to write, ending in .onnx, .pt2 or .safetensors.
        inputs: forward's arguments: SHAPE[:DTYPE[:LOW..HIGH]], such as 4x3x32x32,
            8x7:int64:0..100 or mask=8x7:bool; repeatable. Default: example_inputs of the class; for
            a run, inputs drawn as its data has them.
        dynamic: a further dim of any size beside the batch, NAME:DIM with the name of forward's
            argument, such as tokens:1; repeatable.
        fixed_batch: let the file take batches of the size of the inputs alone.
        optimize: fold batch norms into the layers before them, and in ONNX compute linear layers in
            int8. Accuracy on the test split, size and latency (against eager torch and
            torch.compile) are measured and printed.
        max_accuracy_drop: with --optimize, write nothing if accuracy falls by more points than
            this; default 0.5.
        aot: write the .pt2 as a package of AOTInductor, machine code for this kind of processor.
            Loading it runs it, so that layerwright predict refuses it.
        data: what --optimize measures accuracy on: data set, folder of images or file.py:name;
            default the run's own data.
        data_dir: folder with local copies of the built-in data sets.
        network: your own network, file.py:Net, if the run trained one.
        run_script: run all of a script, its training too.
        seed: of everything random.
        as_json: print one JSON object.
    """
    use_threads(None)
    from layerwright.cli.diagnosed_networks import network_of_target
    from layerwright.cli.named_objects import named_data, named_object
    from layerwright.cli.tensor_specs import tensors_of
    from layerwright.exporting.export import export as export_network
    from layerwright.exporting.refusals import format_of

    format_of(file)
    own = None if network is None else named_object(network)
    options: dict[str, Any] = {
        "dynamic_dims": _dims(dynamic),
        "fixed_batch": fixed_batch,
        "optimize": optimize,
        "max_accuracy_drop": max_accuracy_drop,
        "aot": aot,
        "data": None if data is None else named_data(data),
        "data_dir": None if data_dir is None else str(data_dir),
        "seed": seed,
    }
    if (Path(target) / "config.json").is_file():
        args, kwargs = tensors_of(inputs)
        given = None if not inputs else _arguments(args, kwargs)
        exported = export_network(target, file, inputs=given, network=own, **options)
    elif own is not None:
        raise OptionError(f"--network expected a run folder, received {target}.")
    else:
        layer, example = network_of_target(target, inputs, seed, run_script=run_script)
        exported = export_network(layer, file, inputs=example, **options)
    if as_json:
        print_json(exported.as_dict())
    else:
        print(exported)
    return 0


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    from layerwright.initialization.examples import ExampleInputs

    return ExampleInputs(args, kwargs)


def _dims(specs: tuple[str, ...]) -> dict[str, list[int]]:
    """Read NAME:DIM."""
    found: dict[str, list[int]] = {}
    for spec in specs:
        name, _, dim = spec.partition(":")
        if not name or not dim.isdigit():
            raise OptionError(f"--dynamic expected NAME:DIM, such as tokens:1, received {spec!r}.")
        found.setdefault(name, []).append(int(dim))
    return found
