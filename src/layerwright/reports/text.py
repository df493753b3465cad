"""The report in a terminal: findings first, root causes only, then what ran and what did not."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from layerwright.reports.characters import printable
from layerwright.reports.root_causes import Cause, causes
from layerwright.reports.source import path_from_here, source_line
from layerwright.reports.wording import (
    counted,
    counts_in_words,
    crash_words,
    seconds_in_words,
    skip_reasons,
    subject_place,
    totals,
    verdict,
    xpass_words,
)

if TYPE_CHECKING:
    from layerwright.contract.finding import Finding, Report, Result

_NARROWEST = 40
_KEY_WIDTH = 11  # "reproduce" and two spaces
_STYLES = {
    "error": "bold red",
    "failed": "bold red",
    "not judged": "bold red",
    "warning": "bold yellow",
    "xpassed": "bold yellow",
    "note": "bold cyan",
    "ok": "bold green",
    "passed": "green",
    "skipped": "dim",
    "xfailed": "dim",
}


def render_text(
    reports: Sequence["Report"], *, colour: bool = False, width: int = 80, verbose: bool = False
) -> str:
    """Return reports for a terminal; a layer without findings takes three lines at most.

    Args:
        reports: one for each layer that was checked.
        colour: use the terminal's colours, whatever its environment says.
        width: columns of the terminal, 40 at least; only code runs over them, so that it can be
            copied.
        verbose: list every rule with its outcome and time.

    Returns:
        The text, without a newline at its end.
    """
    terminal = _Terminal(colour=colour, width=max(width, _NARROWEST))
    for report in reports:
        _show_report(terminal, report, verbose=verbose)
        terminal.line()
    if len(reports) != 1:
        terminal.line(totals(reports))
    return terminal.text


class _Terminal:
    """What is printed, line by line; nothing in it is read as markup."""

    def __init__(self, *, colour: bool, width: int) -> None:
        self.width = width
        self._printed = StringIO()
        self._console = Console(
            file=self._printed,
            width=width,
            force_terminal=colour,
            force_jupyter=False,
            color_system="standard" if colour else None,
            no_color=not colour,
            legacy_windows=False,
        )

    @property
    def text(self) -> str:
        """All that was printed, without spaces at the ends of lines."""
        lines = self._printed.getvalue().split("\n")
        return "\n".join(line.rstrip() for line in lines).rstrip("\n")

    def show(self, text: Text) -> None:
        """Print a text, wrapped at the width."""
        self._console.print(text)

    def num_lines(self, text: Text) -> int:
        """Return how many lines a text takes."""
        return len(text.wrap(self._console, self.width))

    def line(self, *parts: str | tuple[str, str]) -> None:
        """Print a line from texts and (text, style) pairs, wrapped at the width."""
        self.show(_text(*parts))

    def code(self, *parts: str | tuple[str, str]) -> None:
        """Print a line that is not wrapped."""
        self._console.print(_text(*parts), soft_wrap=True)

    def row(self, key: str, value: Text, indent: int = 2) -> None:
        """Print a key and its value, the value's lines below each other."""
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_column(width=_KEY_WIDTH + indent - 1)
        grid.add_column(overflow="fold")
        grid.add_row(Text(" " * indent + key, style="dim"), value)
        self._console.print(grid)


def _text(*parts: str | tuple[str, str]) -> Text:
    pairs = [(part, "") if isinstance(part, str) else part for part in parts]
    return Text.assemble(*((printable(text), style) for text, style in pairs))


def _show_report(terminal: _Terminal, report: "Report", *, verbose: bool) -> None:
    roots = causes(report)
    crashed = [result for result in report.results if result.outcome == "error"]
    unexpected = [result for result in report.results if result.outcome == "xpassed"]
    clean = report.ok and not (roots or crashed or unexpected or verbose)
    _show_headline(terminal, report, cropped=clean)
    for note in report.notes:
        terminal.line(("note: ", _STYLES["note"]), note)
    for cause in roots:
        terminal.line()
        _show_finding(terminal, cause)
        _show_consequences(terminal, cause)
    if roots:
        terminal.line()
    for result in crashed:
        terminal.line(crash_words(result))
    for result in unexpected:
        terminal.line(xpass_words(result))
    if verbose:
        for result in report.results:
            _show_result(terminal, result)
    _show_summary(terminal, report, cropped=clean)


def _show_headline(terminal: _Terminal, report: "Report", *, cropped: bool) -> None:
    words = verdict(report)
    style = _STYLES.get(words) or _STYLES["error" if "error" in words else "warning"]
    inputs = ", ".join(report.inputs)
    line = _text((words, style), f": {subject_place(report)}", f" on {inputs}" if inputs else "")
    if not report.judged:
        line.append(" (no rule could say anything)")
    if cropped:
        line.truncate(terminal.width, overflow="ellipsis")
    terminal.show(line)


def _show_finding(terminal: _Terminal, cause: Cause) -> None:
    finding = replace(cause.finding, where=cause.where)
    severity = finding.severity or "error"
    terminal.line(
        (severity, _STYLES[severity]),
        " ",
        (f"{finding.rule_id} {finding.rule_name}", "bold"),
        f"  {finding.place}",
    )
    terminal.row("promise", _text(finding.promise))
    terminal.row("where", _where(finding, terminal.width - _KEY_WIDTH - 2))
    terminal.row("expected", _text(finding.expected))
    terminal.row("found", _text(finding.found))
    terminal.row("fix", _text(finding.fix))
    if finding.explained_by:
        terminal.row("explained", _text(f"by {finding.explained_by}"))
    key = "reproduce"
    for line in finding.reproduce.splitlines():
        terminal.code((f"  {key:<{_KEY_WIDTH}}", "dim"), line)
        key = ""
    terminal.row("page", _text(f"layerwright rule {finding.rule_id}"))


def _where(finding: "Finding", room: int) -> Text:
    """Return the part of the layer, its file and line, and below them that line of the source."""
    if finding.file is None:
        return _text(finding.where)
    line = "" if finding.line is None else f":{finding.line}"
    where = _text(f"{finding.where}, {path_from_here(finding.file)}{line}")
    source = source_line(finding.file, finding.line)
    if source is not None:
        shown = _text((f"> {finding.line} | ", "dim"), source.expandtabs(4))
        shown.truncate(room, overflow="ellipsis")
        where.append("\n").append_text(shown)
    return where


def _show_consequences(terminal: _Terminal, cause: Cause) -> None:
    """Print one line for each rule whose findings the cause explains."""
    names = Counter(f"{item.rule_id} {item.rule_name}" for item in cause.consequences)
    for name, number in names.items():
        several = f" ({number} findings)" if number > 1 else ""
        terminal.line(f"  also: {name}{several}, explained by {cause.finding.rule_id}")


def _show_result(terminal: _Terminal, result: "Result") -> None:
    terminal.line(
        (f"{result.outcome:<8}", _STYLES[result.outcome]),
        f"{result.rule_id} {result.rule_name} ",
        (seconds_in_words(result.seconds), "dim"),
    )
    if result.reason:
        terminal.row("", _text(result.reason), indent=0)


def _show_summary(terminal: _Terminal, report: "Report", *, cropped: bool) -> None:
    """Print the counts with the reasons of skips: in two lines, or one reason a line.

    A cropped summary has two lines at most and counts the reasons that it leaves out.
    """
    groups = skip_reasons(report.results)
    time = f" in {seconds_in_words(report.seconds)}"
    for shown in range(len(groups), -1 if cropped else len(groups) - 1, -1):
        line = _text(counts_in_words(report.counts, _reasons(groups, shown)) + time)
        if terminal.num_lines(line) <= 2:
            terminal.show(line)
            return
    terminal.line(counts_in_words(report.counts) + time)
    for reason, number in groups:
        terminal.row(f"{number} skipped", _text(reason))


def _reasons(groups: Sequence[tuple[str, int]], shown: int) -> str:
    """Return the first reasons with their counts, and how many rules have another one."""
    parts = [f"{number}: {reason}" for reason, number in groups[:shown]]
    left_out = sum(number for _, number in groups[shown:])
    if left_out:
        parts.append(f"{left_out} for {counted(len(groups) - shown, 'other reason')}")
    return "; ".join(parts)
