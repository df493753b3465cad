"""The sections of the network: its modules, its drawing, its layers' numbers, and the contract."""

from collections.abc import Iterator, Sequence

from layerwright.reports.html import report_body
from layerwright.reports.run_page.content import LayerNumbers, NotMeasured, RunContent, Summary
from layerwright.reports.run_page.elements import (
    image,
    not_measured,
    notes,
    safe,
    scrolling,
    table,
)


def contract(run: RunContent, number: int, level: int) -> Iterator[str]:
    """Yield verdict, findings and every rule's outcome.

    Args:
        run: whose network was checked.
        number: of the run on the page.
        level: of the headings.
    """
    if isinstance(run.contract, NotMeasured):
        yield not_measured("Contract", run.contract)
        return
    yield f'<div class="report" id="contract-{number}">'
    yield from report_body(run.contract, number, level)
    yield "</div>"


def summary(content: Summary | NotMeasured) -> Iterator[str]:
    """Yield the modules as a table, and the totals."""
    if isinstance(content, NotMeasured):
        yield not_measured("Summary", content)
        return
    yield from table(content.modules, kind="numbers modules")
    yield '<ul class="totals">'
    yield from (f"<li>{safe(line)}</li>" for line in content.totals)
    yield "</ul>"


def graph(content: str | NotMeasured, subject: str) -> Iterator[str]:
    """Yield the drawing as a picture, in which nothing can run or load."""
    if isinstance(content, NotMeasured):
        yield not_measured("Graph", content)
        return
    yield scrolling("Graph of the network")
    alt = f"Graph of {subject}: modules as boxes, tensors as edges; the summary lists the same"
    yield image(content.encode("utf-8", "replace"), alt, kind="svg+xml", style="graph") + "</div>"


def layers(content: LayerNumbers | NotMeasured) -> Iterator[str]:
    """Yield statistics of the layers, and how they went over the steps where that was recorded."""
    if isinstance(content, NotMeasured):
        yield not_measured("Statistics of the layers", content)
        return
    yield from notes(content.verdict)
    yield from table(content.table, kind="numbers")
    if content.heat_map is None:
        missing = NotMeasured("the run was not watched. layerwright train --watch records it.")
        yield not_measured("Layers over the steps of training", missing)
    else:
        yield scrolling("Layers over the steps")
        alt = "Heat map: what passes each layer, over the steps of training"
        yield image(content.heat_map, alt, style="heat-map") + "</div>"


def beside(parts: Sequence[tuple[str, Iterator[str]]]) -> Iterator[str]:
    """Yield parts beside each other where there is room, each under its run's name.

    Args:
        parts: heading and body; the heading of a single one is left out.
    """
    if len(parts) == 1:
        yield from parts[0][1]
        return
    yield '<div class="beside">'
    for heading, body in parts:
        yield f"<div><h3>{safe(heading)}</h3>"
        yield from body
        yield "</div>"
    yield "</div>"
