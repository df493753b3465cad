"""The heat map of a watched run: layers against steps, a panel for each number."""

import math
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from layerwright.errors import MissingExtraError, OptionError
from layerwright.inspection.trace_statistics import LayerStatistics

_PANELS = (  # field, title, scale
    ("mean", "mean of the output", "signed"),
    ("spread", "spread of the output", "log"),
    ("zeros", "share of zeros in the output", "share"),
    ("dead", "share of dead units: zero for every sample", "share"),
    ("saturated", "share of saturated values", "share"),
    ("update", "update / weight, of a step", "log"),
    ("gradient_norm", "gradient at the output, where that at the network's output is 1", "log"),
    ("gradient_zeros", "share of zeros in the gradient", "share"),
)
_MOST_COLUMNS = 400
_MOST_NAMES = 40
_LONGEST_NAME = 34
_FEWEST_DECADES = 2.0
_SHOWN = (0.02, 0.98)  # quantiles between which colours differ


def require_figure() -> type[Any]:
    """Return the class that draws.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra, imported where it is used
    except ImportError as error:
        raise MissingExtraError("drawing a picture", "matplotlib", "plot") from error
    return Figure


def save_heat_map(
    records: Sequence[tuple[int, Sequence[LayerStatistics]]],
    file: Path,
    troubles: Sequence[tuple[str, str]] = (),
) -> None:
    """Draw the records as a PNG; what was not measured stays grey, and so does zero on a log scale.

    Args:
        records: by step, what passed each layer; the names may differ from step to step.
        file: where to draw to.
        troubles: the names of layers that die or explode, each with a sentence about it.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OptionError: the file cannot be written.
    """
    figure_class = require_figure()
    shown = records[:: max(1, -(-len(records) // _MOST_COLUMNS))]
    kinds = _kinds(shown)
    names = list(kinds)
    height = max(1.7, min(9.0, 0.8 + 0.17 * len(names)))
    figure = figure_class(figsize=(13, 4 * height + 0.6), layout="constrained")
    panels: Any = figure.subplots(4, 2, sharex=True, sharey=True)
    for panel, (field, label, scale) in zip(panels.flat, _PANELS, strict=True):
        _draw(figure, panel, [step for step, _ in shown], _grid(shown, names, field), scale)
        panel.set_title(label, fontsize=10)
    every = max(1, -(-len(names) // _MOST_NAMES))
    sick = {name for name, _ in troubles}
    for panel in panels[:, 0]:
        panel.set_yticks(
            range(0, len(names), every),
            [_short(name, kinds[name]) for name in names][::every],
            fontsize=7,
        )
        for label, name in zip(panel.get_yticklabels(), names[::every], strict=True):
            label.set_color("tab:red" if name in sick else "black")
    panels[0, 0].invert_yaxis()  # the first layer on top; the panels share it
    for panel in panels[-1]:
        panel.set_xlabel("step")
        panel.locator_params(axis="x", integer=True)
    lines = [fill(text, 130) for _, text in troubles] or ["no layer dies or explodes"]
    figure.suptitle("\n".join(["What passes each layer, step by step", *lines]), fontsize=11)
    try:
        figure.savefig(file, dpi=110)
    except OSError as error:
        raise OptionError(f"{file} cannot be written: {error.strerror}.") from error


def _draw(figure: Any, panel: Any, steps: list[int], values: list[list[float]], scale: str) -> None:
    import numpy as np  # noqa: PLC0415 - drawing only
    from matplotlib.colors import LogNorm, Normalize, SymLogNorm  # noqa: PLC0415 - an extra

    grid = np.array(values, dtype=float)
    if scale == "log":
        grid[grid <= 0] = np.nan
    known = grid[np.isfinite(grid)]
    panel.set_facecolor("0.85")
    if not known.size:
        panel.text(0.5, 0.5, "not measured", ha="center", va="center", transform=panel.transAxes)
        return
    least, most = np.quantile(known, _SHOWN)  # one odd step must not take the colours of all
    norm, colours = Normalize(0, 1), "magma"
    if scale == "log":
        norm, colours = LogNorm(*_decades(least, most)), "viridis"
    elif scale == "signed":
        widest = max(abs(least), abs(most)) or 1.0
        norm = SymLogNorm(widest / 30, vmin=-widest, vmax=widest)
        colours = "RdBu_r"
    width = steps[1] - steps[0] if len(steps) > 1 else 1
    edges = [*steps, steps[-1] + width]
    rows = np.arange(grid.shape[0] + 1) - 0.5
    mesh = panel.pcolormesh(edges, rows, np.ma.masked_invalid(grid), norm=norm, cmap=colours)
    bar = figure.colorbar(
        mesh, ax=panel, pad=0.01, extend="neither" if scale == "share" else "both"
    )
    if scale == "signed":
        marks = [-widest, -widest / 10, 0, widest / 10, widest]
        bar.set_ticks(marks, labels=[f"{mark:.2g}" for mark in marks])
        bar.minorticks_off()


def _decades(least: float, most: float) -> tuple[float, float]:
    """Limits of a colour scale; not so narrow that noise looks like a change."""
    middle = (math.log10(least) + math.log10(most)) / 2
    half = max((math.log10(most) - math.log10(least)) / 2, _FEWEST_DECADES / 2)
    return 10 ** (middle - half), 10 ** (middle + half)


def _kinds(records: Sequence[tuple[int, Sequence[LayerStatistics]]]) -> dict[str, str]:
    """All names with their kinds, in the order of the record that has the most of them."""
    fullest = max(records, key=lambda record: len(record[1]))[1]
    kinds = {layer.name: layer.kind for layer in fullest}
    for _, layers in records:
        for layer in layers:
            kinds.setdefault(layer.name, layer.kind)
    return kinds


def _grid(
    records: Sequence[tuple[int, Sequence[LayerStatistics]]], names: list[str], field: str
) -> list[list[float]]:
    columns = [_column(layers, field) for _, layers in records]
    return [
        [math.nan if (value := column.get(name)) is None else value for column in columns]
        for name in names
    ]


def _column(layers: Sequence[LayerStatistics], field: str) -> dict[str, float | None]:
    """Return one record's values by name; gradients against that at the network's output.

    The loss's own gradient changes with the number of samples and the progress of training.
    """
    values = {layer.name: getattr(layer, field) for layer in layers}
    if field != "gradient_norm":
        return values
    unit = next((layer.gradient_norm for layer in layers if layer.role == "output"), None)
    return {
        name: None if value is None or not unit else value / unit for name, value in values.items()
    }


def _short(name: str, kind: str) -> str:
    """Both ends of a long name: the first tells which block, the last which layer in it."""
    said = name if name.endswith(kind) else f"{name} {kind}"
    if len(said) <= _LONGEST_NAME:
        return said
    half = (_LONGEST_NAME - 3) // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[:half]}...{name[-half:]}"
