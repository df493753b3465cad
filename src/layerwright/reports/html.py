"""The report as one HTML page that needs no network, no script and no mouse."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from layerwright.reports.characters import printable
from layerwright.reports.root_causes import Cause, causes
from layerwright.reports.source import path_from_here, source_line
from layerwright.reports.wording import (
    OUTCOMES,
    counted,
    counts_in_words,
    crash_words,
    outcome_words,
    seconds_in_words,
    skip_reasons,
    totals,
    verdict,
    xpass_words,
)

if TYPE_CHECKING:
    from layerwright.contract.finding import Finding, Report, Result

# The policy makes a browser refuse whatever a text could smuggle in: nothing is loaded or run.
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
<body>
<header>
<h1>{heading}</h1>
<p class="quiet">{versions}</p>
</header>
<main>
{body}
</main>
</body>
</html>
"""


def render_html(reports: Sequence["Report"]) -> str:
    """Return reports as one HTML page.

    Args:
        reports: one for each layer that was checked.

    Returns:
        The page, with its style inside and a newline at its end.
    """
    parts = [] if len(reports) == 1 else [f"<p>{_safe(totals(reports))}</p>"]
    if len(reports) > 1:
        parts += ['<nav aria-label="Layers"><ul class="layers">']
        parts += [_layer_link(report, number) for number, report in enumerate(reports)]
        parts += ["</ul></nav>"]
    for number, report in enumerate(reports):
        parts += _report(report, number)
    title = f"{reports[0].subject}: {verdict(reports[0])}" if len(reports) == 1 else "layers"
    versions = reports[0].versions if reports else {}
    return _PAGE.format(
        title=_safe(f"layerwright check, {title}"),
        style=Path(__file__).with_name("report.css").read_text(encoding="utf-8"),
        heading="layerwright check",
        versions=_safe(", ".join(f"{name} {version}" for name, version in versions.items())),
        body="\n".join(parts),
    )


def _safe(text: object) -> str:
    """Return a text as HTML shows it literally, in elements and in attributes."""
    return escape(printable(text))


def _word(word: str, tone: str = "") -> str:
    return f'<span class="word {_safe(tone or word)}">{_safe(word)}</span>'


def _tone(report: "Report") -> str:
    if not report.ok:
        return "error"
    return (report.findings[0].severity or "error") if report.findings else "ok"


def _layer_link(report: "Report", number: int) -> str:
    return (
        f'<li><a href="#layer-{number}">{_safe(report.subject)}</a> '
        f"{_word(verdict(report), _tone(report))}</li>"
    )


def _report(report: "Report", number: int) -> Iterator[str]:
    yield f'<section class="report" id="layer-{number}">'
    yield f"<h2>{_safe(report.subject)}</h2>"
    if report.file is not None:
        line = "" if report.line is None else f":{report.line}"
        yield f'<p class="place">{_safe(path_from_here(report.file) + line)}</p>'
    yield from report_body(report, number)
    yield "</section>"


def report_body(report: "Report", number: int, level: int = 3) -> Iterator[str]:
    """Yield what a report says, without its heading.

    Args:
        report: on one layer.
        number: of the report on its page.
        level: of the headings.
    """
    words = verdict(report) + ("" if report.judged else " (no rule could say anything)")
    counts = f"{counts_in_words(report.counts)} in {seconds_in_words(report.seconds)}"
    yield f"<p>{_word(words, _tone(report))}</p>"
    yield f"<p>{_safe(counts)}, {_safe(report.tier)} tier, seed {report.seed}</p>"
    if report.inputs:
        yield f"<p>Inputs: <code>{_safe(', '.join(report.inputs))}</code></p>"
    yield from (f'<p class="remark note">{_safe(note)}</p>' for note in report.notes)
    for cause in causes(report):
        yield from _finding(cause, level)
    for result in report.results:
        if result.outcome == "error":
            yield f'<p class="remark error">{_safe(crash_words(result))}</p>'
        elif result.outcome == "xpassed":
            yield f'<p class="remark xpassed">{_safe(xpass_words(result))}</p>'
    reasons = skip_reasons(report.results)
    if reasons:
        yield f"<h{level}>Skipped</h{level}>"
        yield '<ul class="reasons">'
        yield from (
            f"<li>{counted(number, 'rule')}: {_safe(reason)}</li>" for reason, number in reasons
        )
        yield "</ul>"
    yield from _results(report, number)


def _finding(cause: Cause, level: int) -> Iterator[str]:
    finding = replace(cause.finding, where=cause.where)
    severity = finding.severity or "error"
    yield f'<article class="finding {_safe(severity)}">'
    yield f'<h{level}>{_word(severity)} <span class="id">{_safe(finding.rule_id)}</span> '
    yield f"{_safe(finding.rule_name)}</h{level}>"
    yield "<dl>"
    yield from _row("promise", _safe(finding.promise))
    yield from _row("where", _where(finding))
    yield from _row("expected", _safe(finding.expected))
    yield from _row("found", _safe(finding.found))
    yield from _row("fix", _safe(finding.fix))
    if finding.explained_by:
        yield from _row("explained", f"by {_safe(finding.explained_by)}")
    if finding.reproduce:
        yield from _row("reproduce", f'<pre tabindex="0">{_safe(finding.reproduce)}</pre>')
    yield from _row("page", f"<code>layerwright rule {_safe(finding.rule_id)}</code>")
    yield "</dl>"
    names = Counter(f"{item.rule_id} {item.rule_name}" for item in cause.consequences)
    for name, number in names.items():
        several = f" ({number} findings)" if number > 1 else ""
        yield f'<p class="quiet">also: {_safe(name + several)}, explained by '
        yield f"{_safe(finding.rule_id)}</p>"
    yield "</article>"


def _row(key: str, value: str) -> tuple[str, str]:
    return f"<dt>{key}</dt>", f"<dd>{value}</dd>"


def _where(finding: "Finding") -> str:
    if finding.file is None:
        return _safe(finding.where)
    line = "" if finding.line is None else f":{finding.line}"
    place = f'<span class="place">{_safe(path_from_here(finding.file) + line)}</span>'
    source = source_line(finding.file, finding.line)
    shown = f'<pre tabindex="0">{finding.line} | {_safe(source)}</pre>' if source else ""
    return f"{_safe(finding.where)}, {place}{shown}"


def _results(report: "Report", number: int) -> Iterator[str]:
    """Yield all results, folded, with a filter that needs no script."""
    yield f"<details><summary>Every rule ({len(report.results)})</summary>"
    yield '<fieldset class="filter"><legend>Show</legend>'
    choices = {
        "all": "all",
        **{name: outcome_words(name, report.counts[name]) for name in OUTCOMES},
    }
    for name, words in choices.items():
        if name == "all" or report.counts[name]:
            checked = " checked" if name == "all" else ""
            yield f'<label><input type="radio" name="show-{number}" value="{name}"{checked}> '
            yield f"{words}</label>"
    yield '</fieldset><ul class="results">'
    yield from (_result(result) for result in report.results)
    yield "</ul></details>"


def _result(result: "Result") -> str:
    why = f'<span class="why quiet">{_safe(result.reason)}</span>' if result.reason else ""
    return (
        f'<li class="{_safe(result.outcome)}">{_word(result.outcome)}'
        f'<span><span class="id">{_safe(result.rule_id)}</span> {_safe(result.rule_name)} '
        f'<span class="quiet">{_safe(result.family)}</span></span>'
        f'<span class="quiet">{seconds_in_words(result.seconds)}</span>{why}</li>'
    )
