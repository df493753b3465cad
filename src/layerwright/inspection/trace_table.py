"""Traced layers as a table: a row each, with the numbers that are out of the ordinary marked."""

from collections.abc import Sequence
from io import StringIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from layerwright.initialization.doctor.wording import number
from layerwright.inspection.trace_statistics import LayerStatistics
from layerwright.inspection.trace_troubles import SATURATED

_WIDTH = 100
_COLUMNS = ("mean", "spread", "zero", "dead", "satur.", "mean", "spread", "zero")


def table_of(layers: Sequence[LayerStatistics], title: str, named: Sequence[str] = ()) -> Table:
    """Return the table.

    Args:
        layers: a row each.
        title: of the table.
        named: the layers to mark with an arrow.
    """
    table = Table(title=title, title_justify="left", title_style="bold", header_style="")
    table.add_column("layer", overflow="fold")
    for place, name in enumerate(_COLUMNS):
        head = name if place < 5 else f"grad.\n{name}"
        table.add_column(head, justify="right", no_wrap=True)
    updates = any(layer.update is not None for layer in layers)
    if updates:
        table.add_column("update\n/weight", justify="right", no_wrap=True)
    for layer in layers:
        calls = f" (x{layer.num_calls})" if layer.num_calls > 1 else ""
        kind = f" {layer.kind}" if layer.kind and not layer.name.endswith(layer.kind) else ""
        sick = layer.name in named
        cells = [*_cells(layer), *([_plain(layer.update)] if updates else [])]
        mark = " <-" if sick else ""
        style = "bold red" if sick else ("dim" if layer.role in ("input", "output") else "")
        table.add_row(Text(f"{layer.name}{kind}{calls}{mark}"), *cells, style=style)
    return table


def as_text(table: Table) -> str:
    """Return a table as plain text, at most 100 characters wide."""
    console = Console(file=StringIO(), width=_WIDTH, color_system=None)
    console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines())


def _cells(layer: LayerStatistics) -> list[Text]:
    broken = Text("not finite", style="red")
    return [
        broken if not layer.finite else _plain(layer.mean),
        _plain(layer.spread),
        _share(layer.zeros),
        _share(layer.dead, alarming=1.0),
        _share(layer.saturated, alarming=SATURATED),
        broken if layer.gradient_finite is False else _plain(layer.gradient_mean),
        _plain(layer.gradient_spread),
        _share(layer.gradient_zeros, alarming=1.0),
    ]


def _plain(value: float | None) -> Text:
    return Text(number(value))


def _share(value: float | None, alarming: float | None = None) -> Text:
    """A share in percent; a little is never shown as nothing, nor nearly all as all."""
    if value is None:
        return Text("")
    percent = f"{value:.0%}"
    if value > 0 and percent == "0%":
        percent = "<1%"
    elif value < 1 and percent == "100%":
        percent = ">99%"
    return Text(percent, style="red" if alarming is not None and value >= alarming else "")
