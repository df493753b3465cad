"""Export a network or a run to a file that is known to compute the same."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from layerwright.errors import OptionError
from layerwright.exporting.accuracy import Accuracy
from layerwright.exporting.aot_file import check_compiler, write_aot
from layerwright.exporting.exported import Exported
from layerwright.exporting.gate import checked
from layerwright.exporting.onnx_file import check_exporter, write_onnx
from layerwright.exporting.optimizing import Plain, optimized
from layerwright.exporting.program import captured, places_of
from layerwright.exporting.pt2_file import write_pt2
from layerwright.exporting.reference import References, references
from layerwright.exporting.refusals import format_of
from layerwright.exporting.replaced_file import written_aside
from layerwright.exporting.safetensors_file import check_safetensors, write_safetensors
from layerwright.exporting.subject import Subject, black_and_white, named_tensors, subject_of
from layerwright.exporting.trials import batched, trials
from layerwright.training import random_state
from layerwright.training.run import Run

_WRITERS = {".onnx": write_onnx, ".pt2": write_pt2}
_HOW = (
    "compared in a fresh process with the network in eval mode; allowed is what the rounding of "
    "its operators explains"
)


def export(
    run: str | Path | Run | nn.Module,
    file: str | Path,
    *,
    inputs: Any = None,
    network: Any = None,
    dynamic_dims: Mapping[str, Sequence[int]] | None = None,
    fixed_batch: bool = False,
    optimize: bool = False,
    max_accuracy_drop: float = 0.5,
    aot: bool = False,
    data: Any = None,
    data_dir: str | None = None,
    seed: int = 0,
) -> Exported:
    """Write a network to a file, and keep the file only if it computes the same.

    | suffix         | holds                                            | runs in                |
    | -------------- | ------------------------------------------------ | ---------------------- |
    | `.onnx`        | the network in eval mode (extra `export`)        | onnxruntime and others |
    | `.pt2`         | the network in eval mode, as torch.export has it | torch                  |
    | `.safetensors` | weights alone                                    | its own class          |

    The file is written under another name, loaded in a fresh process and compared with the
    network: on batches of 1, 2, 3 and 8 samples, and on zeros, black and white images, constant,
    large, small and subnormal values. NaN and infinity are not tried. A difference from the
    network in float64 is allowed as far as the rounding of the operators explains it (see
    `layerwright.exporting.rounding`), from the network in its own dtype twice as far. Scaling of
    pixels and names of classes travel with the file.

    Args:
        run: a run folder, a Run, or a network.
        file: where to write; the suffix chooses the format.
        inputs: forward's arguments: a tensor, a tuple, or a dict of named ones. A run's network
            gets inputs drawn as its data has them, if none are given.
        network: the user's own network, if `run` is the folder of a run that trained one.
        dynamic_dims: further dims of any size beside the batch, by the name of forward's argument,
            such as `{"tokens": [1]}`.
        fixed_batch: let the file take batches of the size of `inputs` alone.
        optimize: fold batch norms into the layers before them, and in ONNX compute linear layers in
            int8; accuracy on the test split, size and latency are measured before and after. Int8
            is judged by its accuracy, everything else by the comparison above.
        max_accuracy_drop: refuse to write what lowers accuracy by more points of 100 than this.
        aot: write the .pt2 as a package of AOTInductor, machine code for this kind of processor.
            Loading such a file runs it, so that `layerwright predict` refuses it; load your own
            with `torch._inductor.aoti_load_package`.
        data: what `optimize` measures accuracy on; None takes the run's own data.
        data_dir: folder with local copies of the built-in data sets.
        seed: of the inputs and the rounding noise that are drawn.

    Returns:
        What was written, and every comparison; print it.

    Raises:
        ExportError: the network cannot be exported, or the file computes something else; then
            nothing is written, and a file of that name is left as it was.
        OptionError: the suffix, the inputs or the dims are not possible.
        MissingExtraError: ONNX is asked for and the extra `export` is not installed.
    """
    path = Path(file)
    suffix = format_of(path)
    if suffix == ".onnx":
        check_exporter()
    if optimize and suffix == ".safetensors":
        raise OptionError("optimize expected .onnx or .pt2; .safetensors holds weights alone.")
    if aot and (optimize or suffix != ".pt2"):
        raise OptionError("aot expected a .pt2 file, and no optimize: the compiler does its own.")
    if aot:
        check_compiler()
    with random_state.preserved():
        subject = subject_of(run, inputs, network, seed)
        if suffix == ".safetensors":
            return _export_weights(subject, path)
        accuracy = Accuracy(subject, data, data_dir, max_accuracy_drop) if optimize else None
        return _export_network(
            subject, path, dict(dynamic_dims or {}), not fixed_batch, seed, accuracy, aot
        )


def _export_weights(subject: Subject, path: Path) -> Exported:
    with written_aside(path) as aside:
        write_safetensors(subject.network, aside, subject.facts)
        count = check_safetensors(subject.network, aside)
        size = aside.stat().st_size
    note = f"{count} tensors, each the same bit for bit when a fresh process reads it"
    return Exported(path, size, [], notes=[note])


def _export_network(
    subject: Subject,
    path: Path,
    dims: dict[str, Sequence[int]],
    any_batch: bool,  # noqa: FBT001
    seed: int,
    accuracy: Accuracy | None,
    aot: bool,  # noqa: FBT001
) -> Exported:
    network, example = subject.network, subject.inputs
    free = places_of(network, example, dims)
    if subject.drawn and subject.trained.vocabulary is not None:
        free = {0: (1,), **free}  # texts are of any length
    ends = black_and_white(subject.facts)
    flags = [flag and any_batch for flag in batched(example)]
    tried = trials(example, dynamic_batch=any_batch, dims=free, ends=ends)
    known = references(network, tried, seed)
    program = captured(network, example, dynamic_batch=any_batch, dims=free)
    write = write_aot if aot else _WRITERS[path.suffix.lower()]
    with written_aside(path) as aside:
        write(program, aside, subject.facts)
        optimization = None
        if accuracy is None:
            comparisons = checked(network, aside, known, path, machine_code=aot)
        else:
            plain = Plain(subject, known, program, any_batch, free, write)
            comparisons, optimization = optimized(plain, aside, path, accuracy)
        size = aside.stat().st_size
    inputs = _inputs(subject, flags, free)
    return Exported(path, size, inputs, comparisons, _notes(known), optimization)


def _inputs(
    subject: Subject, flags: Sequence[bool], free: Mapping[int, Sequence[int]]
) -> list[dict[str, Any]]:
    found = []
    for place, (name, tensor) in enumerate(named_tensors(subject.network, subject.inputs)):
        shape: list[Any] = list(tensor.shape)
        if flags[place]:
            shape[0] = "batch"
        for dim in free.get(place, ()):
            shape[dim] = f"{name}_{dim}"
        dtype = str(tensor.dtype).removeprefix("torch.")
        found.append({"name": name, "dtype": dtype, "shape": shape})
    return found


def _notes(known: References) -> list[str]:
    notes = [_HOW]
    if known.note:
        notes.append(f"float64: {known.note}; allowed is 256 roundings of the largest output")
    if known.refused:
        notes.append(f"not tried, because the network itself refuses: {', '.join(known.refused)}")
    return notes
