"""The section of learning curves: a chart for each quantity, and all values as a table."""

from collections.abc import Iterator, Sequence

from layerwright.reports.run_page.charts import chart, thinned
from layerwright.reports.run_page.content import Curve, NotMeasured, RunContent, Table
from layerwright.reports.run_page.elements import not_measured, section, table
from layerwright.reports.run_page.scales import number


def curves_section(runs: Sequence[RunContent]) -> Iterator[str]:
    """Yield the charts; those of two runs are laid over each other."""
    return section("curves", "Learning curves", _body(runs))


def _body(runs: Sequence[RunContent]) -> Iterator[str]:
    several = len(runs) > 1
    for place, run in enumerate(runs):
        if not run.curves:
            name = f"Learning curves of {run_letter(place)}" if several else "Learning curves"
            yield not_measured(name, NotMeasured("no epoch has been finished"))
    charts = overlaid(runs)
    if not charts:
        return
    yield '<div class="charts">'
    for place, curves in enumerate(charts):
        yield from chart(curves, f"chart-{place}")
    yield "</div>"
    yield "<details><summary>All values, epoch by epoch</summary>"
    for place, run in enumerate(runs):
        if run.curves:
            yield from table(
                values_table(run, run_letter(place) if several else ""), kind="numbers"
            )
    yield "</details>"


def overlaid(runs: Sequence[RunContent]) -> list[list[tuple[str, Curve]]]:
    """Return the curves that stand in one chart, with the letter of their run if there are two."""
    names = dict.fromkeys(curve.name for run in runs for curve in run.curves)
    letters = [run_letter(place) if len(runs) > 1 else "" for place in range(len(runs))]
    return [
        [
            (letter, curve)
            for letter, run in zip(letters, runs, strict=True)
            for curve in run.curves
            if curve.name == name
        ]
        for name in names
    ]


def run_letter(place: int) -> str:
    """Return "A" for the first run, "B" for the second."""
    return "AB"[place]


def values_table(run: RunContent, letter: str) -> Table:
    """Return the values of all curves, a row an epoch."""
    columns = [
        (f"{curve.name}, {item.label}" if item.label else curve.name, curve, dict(item.points))
        for curve in run.curves
        for item in curve.series
    ]
    epochs = sorted({epoch for _, _, points in columns for epoch in points})
    shown = thinned(epochs)
    rows = tuple(
        (
            str(epoch),
            *(
                number(points[epoch], as_percent=curve.as_percent) if epoch in points else ""
                for _, curve, points in columns
            ),
        )
        for epoch in shown
    )
    left_out = len(epochs) - len(shown)
    return Table(
        f"Values of {letter}, epoch by epoch" if letter else "Values, epoch by epoch",
        ("epoch", *(name for name, _, _ in columns)),
        rows,
        (f"{left_out} epochs between these are left out; metrics.jsonl has them all",)
        if left_out
        else (),
    )
