"""One run, or two side by side, as one HTML page that needs no network and no script."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from layerwright.reports.run_page.answers import answers
from layerwright.reports.run_page.content import LayerNumbers, NotMeasured, RunContent, Table
from layerwright.reports.run_page.curves import curves_section, run_letter
from layerwright.reports.run_page.elements import notes, safe, section, table
from layerwright.reports.run_page.network import beside, contract, graph, layers, summary
from layerwright.reports.run_page.settings import (
    configuration_section,
    environment_section,
    reproduction_section,
)

MOST_BYTES = 2_000_000

# As for the page of a check: a browser refuses whatever a text could smuggle in.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
</head>
<body{wide}>
<a class="skip" href="#content">Skip to the content</a>
<header>
<p class="quiet">layerwright report</p>
<h1>{heading}</h1>
<fieldset class="theme"><legend>Colours</legend>
<label><input type="radio" name="theme" value="system" checked> system</label>
<label><input type="radio" name="theme" value="light"> light</label>
<label><input type="radio" name="theme" value="dark"> dark</label>
</fieldset>
</header>
<nav aria-label="Sections"><ul>{links}</ul></nav>
<main id="content">
{body}
</main>
<footer><p class="quiet">{footer}</p></footer>
</body>
</html>
"""

_SECTIONS = {
    "outcome": "Outcome",
    "curves": "Learning curves",
    "answers": "Answers",
    "configuration": "Configuration",
    "contract": "Contract",
    "network": "Network",
    "layers": "Layers",
    "environment": "Environment",
    "reproduce": "How to reproduce",
}


def render_runs(runs: Sequence[RunContent], footer: str = "") -> str:
    """Return one run, or two side by side, as one HTML page of less than 2 MB.

    What would make the page larger is left out, and its place says so: first the drawing of the
    network, then the heat map, then the pictures of samples.

    Args:
        runs: one or two.
        footer: a line at the end, such as the version that wrote the page.
    """
    text = _rendered(runs, footer)
    for lighten in (_without_graph, _without_heat_map, _without_pictures):
        if len(text.encode()) < MOST_BYTES:
            break
        runs = [lighten(run) for run in runs]
        text = _rendered(runs, footer)
    return text


def _rendered(runs: Sequence[RunContent], footer: str) -> str:
    several = len(runs) > 1
    here = Path(__file__)
    style = (here.parents[1] / "report.css").read_text(encoding="utf-8")
    heading = " and ".join(
        f"{run_letter(place)}: {safe(run.name)}" if several else safe(run.name)
        for place, run in enumerate(runs)
    )
    return _PAGE.format(
        title=safe(" and ".join(run.name for run in runs)),
        style=style + here.with_name("run_page.css").read_text(encoding="utf-8"),
        wide=' class="wide"' if several else "",
        heading=heading,
        links="".join(f'<li><a href="#{key}">{name}</a></li>' for key, name in _SECTIONS.items()),
        body="\n".join(_body(runs)),
        footer=safe(footer),
    )


def _body(runs: Sequence[RunContent]) -> Iterator[str]:
    level = 3 if len(runs) == 1 else 4

    def of_each(part: Callable[[RunContent, int], Iterator[str]]) -> Iterator[str]:
        headings = [f"{run_letter(place)}: {run.name}" for place, run in enumerate(runs)]
        bodies = [part(run, place) for place, run in enumerate(runs)]
        return beside(list(zip(headings, bodies, strict=True)))

    def network(run: RunContent, _number: int) -> Iterator[str]:
        yield from summary(run.summary)
        yield from graph(run.graph, run.subject)

    yield from section("outcome", "Outcome", of_each(_outcome))
    yield from curves_section(runs)
    yield from section(
        "answers", "Answers", of_each(lambda run, _number: answers(run.answers, level))
    )
    yield from configuration_section(runs)
    yield from section(
        "contract", "Contract", of_each(lambda run, number: contract(run, number, level))
    )
    yield from section("network", "Network", of_each(network))
    yield from section("layers", "Layers", of_each(lambda run, _number: layers(run.layers)))
    yield from environment_section(runs)
    yield from reproduction_section(runs)


def _outcome(run: RunContent, _number: int) -> Iterator[str]:
    tone = "ok" if run.is_finished else "warning"
    yield f'<p>{safe(run.subject)}. <span class="word {tone}">{safe(run.status)}</span></p>'
    if run.headline:
        yield '<dl class="headline">'
        yield from (
            f"<div><dt>{safe(name)}</dt><dd>{safe(value)}</dd></div>"
            for name, value in run.headline
        )
        yield "</dl>"
    yield from notes(run.problems)
    missing = run.missing()
    if missing:
        rows = tuple(missing)
        yield from table(Table("Not measured", ("what", "why"), rows), kind="settings")


def _left_out(what: str, size: int) -> NotMeasured:
    return NotMeasured(f"{what} takes {size / 1e6:.1f} MB, which would make this page too large.")


def _without_graph(run: RunContent) -> RunContent:
    if isinstance(run.graph, NotMeasured):
        return run
    return replace(run, graph=_left_out("the drawing", len(run.graph.encode())))


def _without_heat_map(run: RunContent) -> RunContent:
    if not isinstance(run.layers, LayerNumbers) or run.layers.heat_map is None:
        return run
    left_out = _left_out("the heat map over the steps", len(run.layers.heat_map))
    verdict = (*run.layers.verdict, left_out.reason)
    return replace(run, layers=replace(run.layers, heat_map=None, verdict=verdict))


def _without_pictures(run: RunContent) -> RunContent:
    if isinstance(run.answers, NotMeasured) or isinstance(run.answers.worst, NotMeasured):
        return run
    reason = NotMeasured("their pictures would make this page too large.")
    return replace(run, answers=replace(run.answers, worst=reason))
