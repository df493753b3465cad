"""The doctor's table: a row for each layer and activation, before and after a recipe."""

from io import StringIO
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from layerwright.initialization.doctor.signals import LayerSignal
from layerwright.initialization.doctor.wording import number

if TYPE_CHECKING:
    from layerwright.initialization.doctor.diagnosis import InitializationDiagnosis

_WIDTH = 100


def table_of(diagnosis: "InitializationDiagnosis") -> str:
    """Return the table as text, at most 100 characters wide."""
    table = Table(title=f"{diagnosis.subject}, before{_after(diagnosis)}", title_justify="left")
    table.add_column("layer", overflow="fold")
    for name in ("scale", "from input", "gradient", "dead", "saturated"):
        table.add_column(name, justify="right")
    sick = {finding.layer for finding in diagnosis.findings}
    for layer in diagnosis.before.layers:
        later = diagnosis.after.find(layer.name) if diagnosis.after else None
        calls = f" (x{layer.num_calls})" if layer.num_calls > 1 else ""
        mark = " <-" if layer.name in sick else ""
        table.add_row(
            Text(f"{layer.name} {layer.kind}{calls}{mark}"),
            *(
                _pair(one, two, with_after=diagnosis.after is not None)
                for one, two in zip(_cells(layer), _cells(later), strict=True)
            ),
        )
    console = Console(file=StringIO(), width=_WIDTH, color_system=None)
    console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines())


def _after(diagnosis: "InitializationDiagnosis") -> str:
    return f" -> after {diagnosis.recipe}" if diagnosis.after else ""


def _cells(layer: LayerSignal | None) -> tuple[str, ...]:
    if layer is None:
        return ("-",) * 5
    return (
        number(layer.scale),
        number(layer.dependence),
        number(layer.gradient),
        "" if layer.dead is None else f"{layer.dead:.0%}",
        "" if layer.saturated is None else f"{layer.saturated:.0%}",
    )


def _pair(before: str, after: str, *, with_after: bool) -> str:
    if not with_after or (not before and not after):
        return before
    return f"{before} -> {after}"
