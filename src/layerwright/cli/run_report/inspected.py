"""What inspection says of a run's network: summary, graph, statistics of its layers."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor, nn

from layerwright.errors import LayerwrightError
from layerwright.inspection.graph.drawing import draw
from layerwright.inspection.summary import summary
from layerwright.inspection.trace import trace
from layerwright.reports.run_page.content import LayerNumbers, NotMeasured, Summary, Table
from layerwright.reports.run_page.scales import number

_MOST_ROWS = 200
_HEAT_MAP = "watch.png"


def summary_of(network: nn.Module, inputs: tuple[Tensor, ...]) -> Summary | NotMeasured:
    """Return the network's modules with shapes, parameters and FLOPs, on these inputs."""
    try:
        found = summary(network, inputs, time=False)
    except LayerwrightError as error:
        return NotMeasured(str(error))
    rows = [row for module in found.modules for row in _module_rows(module, 0)]
    samples = len(inputs[0])
    left_out = len(rows) - _MOST_ROWS
    caption = f"{found.name}, evaluation mode, {samples} sample{'' if samples == 1 else 's'}"
    notes = (f"{left_out} more calls; layerwright summary RUN shows them",) if left_out > 0 else ()
    columns = ("module", "kind", "output", "parameters", "FLOPs")
    num_parameters = found.num_trainable + found.num_frozen
    frozen = f"{found.num_frozen:,} of them frozen"
    totals = [
        f"{num_parameters:,} parameters, {frozen}, {found.parameter_bytes:,} bytes",
        f"{found.flops:,} floating-point operations forward; a multiply-add is two",
        f"{found.kept_bytes:,} bytes kept for a backward pass",
    ]
    if found.uncounted:
        names = ", ".join(item.name for item in found.uncounted)
        totals.append(f"operations not known, and not counted: {names}")
    totals += [f"{' and '.join(names)} are one and the same" for names in found.shared]
    totals += found.notes
    if found.failure is not None:
        totals.append(f"it does not run: {found.failure}")
    return Summary(Table(caption, columns, tuple(rows[:_MOST_ROWS]), notes), tuple(totals))


def _module_rows(module: Any, level: int) -> list[tuple[str, ...]]:
    name = module.path.rpartition(".")[2] or module.kind
    again = f" (call {module.call} of {module.num_calls})" if module.num_calls > 1 else ""
    outputs = ", ".join(
        f"{tuple(item.shape)}{'' if item.dtype == 'float32' else f' {item.dtype}'}"
        for item in module.outputs
    )
    parameters = "(shared)" if module.call > 1 else f"{module.num_parameters:,}"
    row = (
        "  " * level + name + again,
        module.kind,
        outputs if module.status == "finished" else module.status,
        parameters if module.num_parameters else "",
        f"{module.flops:,}" if module.flops else "",
    )
    return [row, *(found for part in module.parts for found in _module_rows(part, level + 1))]


def graph_of(network: nn.Module, inputs: tuple[Tensor, ...]) -> str | NotMeasured:
    """Return the network drawn as an SVG document."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "graph.svg"
        try:
            draw(network, inputs, file)
        except LayerwrightError as error:
            return NotMeasured(str(error))
        return file.read_text(encoding="utf-8")


def layers_of(
    folder: Path,
    network: nn.Module,
    inputs: tuple[Tensor, ...],
    target: Tensor,
    loss: Callable[..., Tensor],
) -> LayerNumbers | NotMeasured:
    """Return what passes each layer on one batch, and the heat map of a run that was watched."""
    try:
        found = trace(network, inputs, target, loss=loss)
    except LayerwrightError as error:
        return NotMeasured(str(error))
    rows = tuple(_layer_row(layer) for layer in found.layers[:_MOST_ROWS])
    picture = folder / _HEAT_MAP
    return LayerNumbers(
        Table(
            f"What passes each layer on {len(inputs[0])} samples, in evaluation mode, "
            f"and the gradient of {found.gradient_of}",
            (
                "layer", "kind", "mean", "spread", "zeros", "saturated", "gradient spread",
                "gradient zeros",
            ),
            rows,
        ),
        tuple(found.verdict.splitlines()),
        picture.read_bytes() if picture.is_file() else None,
    )  # fmt: skip


def _layer_row(layer: Any) -> tuple[str, ...]:
    def share(value: float | None) -> str:
        return "" if value is None else f"{100 * value:.3g} %"

    def plain(value: float | None) -> str:
        return "" if value is None else number(value)

    return (
        layer.name,
        layer.kind,
        plain(layer.mean) if layer.finite else "not finite",
        plain(layer.spread),
        share(layer.zeros),
        share(layer.saturated),
        plain(layer.gradient_spread) if layer.gradient_finite is not False else "not finite",
        share(layer.gradient_zeros),
    )
