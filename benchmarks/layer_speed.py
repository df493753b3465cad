"""What a hand-written backward costs beside torch.nn: forward plus backward, on one thread.

    python benchmarks/layer_speed.py [--repeats 41] [--only linear conv2d] [--json FILE]

Baseline: the torch.nn layer of the same name, in the same process, with the same weights, input
and output gradient. A step is forward, backward and the release of the gradients before it, as in
training. Steps of the two alternate, each goes first every other time; the ratio is taken within a
pair and the median over the pairs is reported. Times are CPU time of the process.

Where the torch.nn step takes 1 ms or more, the ratio is to stay at 1.05 or below. Below that the
fixed cost is what counts: the microseconds that a layer adds to a step, whatever its size.

A second table compares ways to write an autograd Function on the smallest Linear: what
`HandWrittenFunction` saves, and what is left.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from layerwright.layers.convolution.conv2d import Conv2d
from layerwright.layers.linear.linear import Linear, LinearFunction

LARGE_STEP_US = 1000.0
RATIO_LIMIT = 1.05
SAMPLE_NS = 3e6  # short steps are repeated until a sample takes about so long

Step = Callable[[], None]


@dataclass(frozen=True)
class Case:
    """A layer of ours and of torch.nn, and what goes through it.

    Attributes:
        family: what `--only` selects.
        name: the layer's arguments, for the table.
        ours: builds our layer.
        theirs: builds torch's.
        shape: of the input.
        first: the layer is the first of its network: its input needs no gradient.
        channels_last: memory format of input and layer.
    """

    family: str
    name: str
    ours: Callable[[], nn.Module]
    theirs: Callable[[], nn.Module]
    shape: tuple[int, ...]
    first: bool = False
    channels_last: bool = False


@dataclass(frozen=True)
class Row:
    """What was measured for one case, in microseconds per step."""

    case: str
    shape: tuple[int, ...]
    torch_us: float
    ours_us: float
    added_us: float
    ratio: float
    quartiles: tuple[float, float]


def linear(in_features: int, out_features: int, *batch: int, first: bool = False) -> Case:
    return Case(
        "linear",
        f"Linear({in_features}, {out_features})" + (" first" if first else ""),
        lambda: Linear(in_features, out_features),
        lambda: nn.Linear(in_features, out_features),
        (*batch, in_features),
        first,
    )


def conv2d(
    maps: tuple[int, int, int],
    shape: tuple[int, int],
    *,
    first: bool = False,
    channels_last: bool = False,
    **options: Any,
) -> Case:
    batch, size = shape
    extra = "".join(f", {key}={value!r}" for key, value in options.items())
    extra += ")" + " first" * first + " channels_last" * channels_last
    return Case(
        "conv2d",
        f"Conv2d({', '.join(map(str, maps))}" + extra,
        lambda: Conv2d(*maps, **options),
        lambda: nn.Conv2d(*maps, **options),
        (batch, maps[0], size, size),
        first,
        channels_last,
    )


def activations() -> list[Case]:
    """Build the cases of the activations, which are imported only if they are asked for."""
    from layerwright.layers.activation.relu import ReLU
    from layerwright.layers.activation.sigmoid import Sigmoid
    from layerwright.layers.activation.tanh import Tanh

    pairs: list[tuple[type[nn.Module], type[nn.Module]]] = [
        (ReLU, nn.ReLU),
        (Sigmoid, nn.Sigmoid),
        (Tanh, nn.Tanh),
    ]
    return [
        Case("activation", f"{ours.__name__}()", ours, theirs, shape)
        for ours, theirs in pairs
        for shape in ((64, 128), (64, 32, 28, 28))
    ]


def cases(families: list[str]) -> list[Case]:
    """Build the cases of some families."""
    chosen = [
        linear(16, 32, 8),
        linear(128, 10, 64),
        linear(784, 128, 64, first=True),
        linear(512, 512, 128),
        linear(1024, 1024, 256),
        linear(1024, 1024, 1024),
        linear(512, 2048, 8, 128),
        conv2d((1, 4, 3), (2, 6)),
        conv2d((1, 10, 5), (64, 28), first=True),
        conv2d((1, 10, 5), (256, 28), first=True),
        conv2d((1, 6, 5), (64, 28), padding="same"),
        conv2d((32, 64, 3), (64, 28), padding=1),
        conv2d((32, 64, 3), (64, 28), padding=1, channels_last=True),
        conv2d((32, 64, 3), (64, 28), padding=1, stride=2),
        conv2d((64, 64, 3), (64, 28), padding=1, groups=4),
        conv2d((32, 32, 3), (64, 28), padding=1, groups=32),
        conv2d((16, 32, 3), (64, 28), dilation=2),
        conv2d((64, 128, 1), (16, 28)),
        conv2d((32, 32, 3), (16, 28), padding="same", padding_mode="reflect"),
    ]
    if "activation" in families:
        chosen += activations()
    return [case for case in chosen if case.family in families]


def training_step(layer: nn.Module, x: Tensor, grad_output: Tensor) -> Step:
    """Return one forward and backward of a layer, gradients released before."""
    leaves = [tensor for tensor in (x, *layer.parameters()) if tensor.requires_grad]

    def step() -> None:
        for leaf in leaves:
            leaf.grad = None
        layer(x).backward(grad_output)

    return step


def sample_us(step: Step, loops: int) -> float:
    """Return the CPU time of a step, as the mean over some loops."""
    start = time.process_time_ns()
    for _ in range(loops):
        step()
    return (time.process_time_ns() - start) / loops / 1e3


def loops_for(step: Step) -> int:
    """Return how many steps make a sample; the first ones warm up."""
    sample_us(step, 3)
    return max(1, int(SAMPLE_NS / 1e3 / sample_us(step, 3)))


def measure(case: Case, repeats: int) -> Row:
    """Interleave steps of both layers."""
    torch.manual_seed(0)
    layout = torch.channels_last if case.channels_last else torch.preserve_format
    ours, theirs = case.ours(), case.theirs()
    ours.load_state_dict(theirs.state_dict())
    for layer in (ours, theirs):
        layer.to(memory_format=layout)  # type: ignore[call-overload]  # not in torch's stubs
    x = torch.randn(case.shape).to(memory_format=layout).requires_grad_(not case.first)
    grad_output = torch.randn_like(theirs(x))
    steps = [training_step(theirs, x, grad_output), training_step(ours, x, grad_output)]
    loops = max(loops_for(step) for step in steps)
    times: tuple[list[float], list[float]] = ([], [])
    for repeat in range(repeats):
        for side in (0, 1) if repeat % 2 else (1, 0):
            times[side].append(sample_us(steps[side], loops))
    ratios = [b / a for a, b in zip(*times, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4)
    return Row(
        case.name,
        case.shape,
        statistics.median(times[0]),
        statistics.median(times[1]),
        statistics.median(b - a for a, b in zip(*times, strict=True)),
        statistics.median(ratios),
        (low, high),
    )


class ClassicLinear(Function):
    """The textbook form: forward takes the context, so `torch.func` cannot use it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return x W^T + b."""
        ctx.save_for_backward(x, weight)
        return F.linear(x, weight, bias)

    backward = staticmethod(LinearFunction.backward)


class OrdinaryLinear(Function):
    """`LinearFunction` on torch's own `apply`."""

    generate_vmap_rule = True
    forward = staticmethod(LinearFunction.forward)
    setup_context = staticmethod(LinearFunction.setup_context)
    backward = staticmethod(LinearFunction.backward)


def measure_functions(repeats: int) -> dict[str, float]:
    """Return the CPU time of a small Linear's step, in microseconds, for each kind of Function."""
    x, weight, bias = (torch.randn(size, requires_grad=True) for size in ((8, 16), (32, 16), 32))
    grad_output = torch.randn(8, 32)
    kinds: dict[str, Callable[..., Any]] = {
        "F.linear": F.linear,
        "HandWrittenFunction": LinearFunction.apply,
        "Function, forward(ctx, ...)": ClassicLinear.apply,
        "Function, setup_context": OrdinaryLinear.apply,
    }

    def step_of(apply: Callable[..., Any]) -> Step:
        return lambda: apply(x, weight, bias).backward(grad_output)

    steps = {name: step_of(apply) for name, apply in kinds.items()}
    loops = max(loops_for(step) for step in steps.values())
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            times[name].append(sample_us(step, loops))
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    families = ["linear", "conv2d", "activation"]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=41, help="pairs of samples for each case")
    parser.add_argument("--only", nargs="*", choices=families, default=families)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measure(case, arguments.repeats) for case in cases(arguments.only)]
    table = Table(title="CPU time of forward plus backward, one thread, against torch.nn")
    for column in ("layer", "input", "torch us", "ours us", "added us", "ratio", "quartiles"):
        table.add_column(column, justify="left" if column in {"layer", "input"} else "right")
    table.add_column(f"within {RATIO_LIMIT}", justify="right")
    for row in rows:
        large = row.torch_us >= LARGE_STEP_US
        table.add_row(
            row.case,
            "x".join(map(str, row.shape)),
            f"{row.torch_us:.0f}",
            f"{row.ours_us:.0f}",
            f"{row.added_us:+.1f}",
            f"{row.ratio:.3f}",
            "-".join(f"{value:.3f}" for value in row.quartiles),
            ("yes" if row.ratio <= RATIO_LIMIT else "NO") if large else "fixed cost",
        )
    functions = measure_functions(arguments.repeats)
    kinds = Table(title="A step of Linear(16, 32) on 8 rows, for each kind of Function")
    for column in ("kind", "us", "added us"):
        kinds.add_column(column, justify="left" if column == "kind" else "right")
    for name, time_us in functions.items():
        kinds.add_row(name, f"{time_us:.1f}", f"{time_us - functions['F.linear']:+.1f}")
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    console.print(kinds)
    if arguments.json:
        report = {
            "torch": torch.__version__,
            "rows": [asdict(row) for row in rows],
            "functions_us": functions,
        }
        arguments.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
