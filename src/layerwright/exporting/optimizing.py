"""Make an exported network smaller and faster, and measure what that costs in accuracy."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor, nn
from torch.export import ExportedProgram

from layerwright.errors import ExportError
from layerwright.exporting.accuracy import Accuracy, FileNetwork
from layerwright.exporting.folding import folded
from layerwright.exporting.fresh_process import replayed
from layerwright.exporting.gate import checked
from layerwright.exporting.latency import Latency, latencies, torch_calls
from layerwright.exporting.opened_file import OpenedFile, open_exported
from layerwright.exporting.parity import Comparison
from layerwright.exporting.program import captured
from layerwright.exporting.quantizing import write_int8
from layerwright.exporting.reference import References
from layerwright.exporting.subject import Subject
from layerwright.exporting.trials import with_batch


@dataclass(frozen=True)
class Step:
    """One state of the network.

    Attributes:
        name: what was done.
        changed: to how much of it.
        accuracy: on the test split, from 0 to 1.
        size_bytes: of its file.
    """

    name: str
    changed: str
    accuracy: float
    size_bytes: int


@dataclass(frozen=True)
class Optimization:
    """What optimizing did, and what it cost.

    Attributes:
        steps: as trained, and after each change.
        latencies: of one sample.
        notes: what else was measured, in words.
    """

    steps: list[Step]
    latencies: list[Latency]
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return two tables: what each change cost, and how long a call takes."""
        lines = [f"  {'optimized':<22}  number  accuracy        size"]
        lines += [
            f"  {item.name:<22}  {item.changed:>6}  {100 * item.accuracy:>6.2f} %  "
            f"{item.size_bytes / 1e3:>7.1f} kB"
            for item in self.steps
        ]
        lines += ["", f"  {'latency of one call':<22}    median       p95"]
        for timed in self.latencies:
            words = timed.problem
            if timed.median_ms is not None:
                words = f"{timed.median_ms:>7.3f} ms  {timed.p95_ms:>7.3f} ms"
            lines.append(f"  {timed.name:<22}  {words}")
        return "\n".join([*lines, "", *self.notes])

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "steps": [dict(vars(item)) for item in self.steps],
            "latencies": [dict(vars(item)) for item in self.latencies],
            "notes": self.notes,
        }


@dataclass(frozen=True)
class Plain:
    """A network whose file was written, and can be written again.

    Attributes:
        subject: the network.
        known: what it answers.
        program: its graph.
        dynamic_batch: the batch may be of any size.
        dims: further dims of any size.
        write: writes a program and facts to a path.
    """

    subject: Subject
    known: References
    program: ExportedProgram
    dynamic_batch: bool
    dims: Mapping[int, Sequence[int]]
    write: Callable[[ExportedProgram, Path, Mapping[str, Any]], None]


def optimized(
    plain: Plain, aside: Path, path: Path, accuracy: Accuracy
) -> tuple[list[Comparison], Optimization]:
    """Fold batch norms, then put linear layers into int8, each measured.

    Args:
        plain: the network; its file is at `aside`, and is replaced there.
        aside: where the file lies until it is known to be right.
        path: where it will lie, for messages.
        accuracy: measures, and refuses what costs too much.

    Returns:
        The comparisons of the file with folded batch norms, and what was measured.

    Raises:
        ExportError: accuracy falls too far, or the file computes something else.
    """
    network, suffix = plain.subject.network, aside.suffix.lower()
    before = accuracy.of(network)
    with TemporaryDirectory(prefix="layerwright-export-") as folder:
        first = Path(folder) / f"plain{suffix}"
        shutil.copyfile(aside, first)
        steps = [Step("as trained", "", before, first.stat().st_size)]
        module, count = folded(plain.program)
        if count:
            options: Any = {"dynamic_batch": plain.dynamic_batch, "dims": plain.dims}
            program = captured(module, plain.subject.inputs, **options)
            plain.write(program, aside, plain.subject.facts)
        comparisons = checked(network, aside, plain.known, path)
        steps.append(_step("batch norms folded", count, aside, before, accuracy))
        notes = ["int8 is for .onnx files"]
        if suffix == ".onnx":
            count, notes = as_int8(aside, plain.known)
            steps.append(_step("linear layers in int8", count, aside, before, accuracy))
        files = {"the file as trained": first, "the file": aside}
        times = time_calls(network, plain.subject, files, 1 if plain.dynamic_batch else None)
    return comparisons, Optimization(steps, times, notes)


def _step(name: str, count: int, path: Path, before: float, accuracy: Accuracy) -> Step:
    after = accuracy.of(FileNetwork(open_exported(path)))
    accuracy.check(before, after, f"{name} ({count})")
    return Step(name, str(count), after, path.stat().st_size)


def as_int8(path: Path, known: References) -> tuple[int, list[str]]:
    """Put linear layers of an ONNX file into int8, in place, and try it on every trial.

    Returns:
        How many there are, and what a reader must know of the file's answers.

    Raises:
        ExportError: the file fails, or answers in another shape.
    """
    with TemporaryDirectory(prefix="layerwright-export-") as folder:
        smaller = Path(folder) / "int8.onnx"
        count = write_int8(path, smaller)
        if not count:
            return 0, []
        answers = replayed(smaller, [trial.inputs.tensors() for trial in known.trials])
        for place, (trial, reference) in enumerate(zip(known.trials, known.answers, strict=True)):
            shapes = [tensor.shape for tensor in reference.own]
            if [tensor.shape for tensor in answers.outputs[place]] != shapes:
                said = answers.problems.get(place, "outputs of another shape")
                raise ExportError(f"in int8 the file fails on {trial.name} inputs: {said}")
        path.write_bytes(smaller.read_bytes())
    return count, [_distance(answers.outputs, known), _dependence(answers.outputs, known)]


def time_calls(
    network: nn.Module, subject: Subject, files: Mapping[str, Path], samples: int | None
) -> list[Latency]:
    """Time one call of the network in torch, and of each file."""
    inputs = subject.inputs if samples is None else with_batch(subject.inputs, samples)
    calls = torch_calls(network, inputs)
    for name, path in files.items():
        calls[name] = _call(open_exported(path), inputs.tensors(), path.suffix.lower())
    return latencies(calls)


def _call(opened: OpenedFile, tensors: Sequence[Tensor], suffix: str) -> Callable[[], Any]:
    given = [t.numpy() for t in tensors] if suffix == ".onnx" else list(tensors)
    return lambda: opened.run(given)


def _distance(outputs: Sequence[Sequence[Tensor]], known: References) -> str:
    gaps = []
    for trial, found, reference in zip(known.trials, outputs, known.answers, strict=True):
        exact = reference.exact[0].double()
        if trial.name == "example":
            scale = float(exact.abs().max()) or 1.0
            gaps.append(float((found[0].double() - exact).abs().max()) / scale)
    return f"int8 moves the outputs of the example by up to {100 * max(gaps):.2g} % of the largest"


def _dependence(outputs: Sequence[Sequence[Tensor]], known: References) -> str:
    """Tell how far the first sample's answer depends on the others of its batch."""
    firsts = [
        found[0][:1].double()
        for trial, found in zip(known.trials, outputs, strict=True)
        if trial.name == "example"
    ]
    scale = float(firsts[0].abs().max()) or 1.0
    gap = max(float((item - firsts[0]).abs().max()) for item in firsts) / scale
    return (
        "one scale serves a whole batch: the first sample's answer depends on the others by up to "
        f"{100 * gap:.2g} % of the largest output"
    )
