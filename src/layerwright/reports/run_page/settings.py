"""The sections of what was asked for, of the machine, and of how to train the run again."""

from collections.abc import Iterator, Mapping, Sequence

from layerwright.reports.run_page.content import RunContent, Table
from layerwright.reports.run_page.curves import run_letter
from layerwright.reports.run_page.elements import notes, safe, section, table
from layerwright.reports.wording import counted

_ABSENT = "not recorded"


def configuration_section(runs: Sequence[RunContent]) -> Iterator[str]:
    """Yield the options, side by side and with the differences marked where there are two runs."""
    return section("configuration", "Configuration", _configuration(runs))


def environment_section(runs: Sequence[RunContent]) -> Iterator[str]:
    """Yield what the machine was."""
    body = _compared("Environment that trained", [run.environment for run in runs])
    return section("environment", "Environment", body)


def reproduction_section(runs: Sequence[RunContent]) -> Iterator[str]:
    """Yield the command that trains each run again, and what it must meet."""
    return section("reproduce", "How to reproduce", _reproduction(runs))


def _configuration(runs: Sequence[RunContent]) -> Iterator[str]:
    options = [run.configuration for run in runs]
    if len(runs) > 1:
        names = _differing(options)
        number = "No option differs" if not names else f"{counted(len(names), 'option')} not alike"
        yield f"<p>{number}{safe(': ' + ', '.join(names) if names else '')}.</p>"
        yield from _compared("Resolved recipes", options)
        return
    chosen: dict[str, str] = {}
    rest: dict[str, str] = {}
    for name, value in options[0].items():
        (chosen if name in runs[0].chosen else rest)[name] = value
    yield from _compared("What was chosen", [chosen])
    yield f"<details><summary>The other options, at their defaults ({len(rest)})</summary>"
    yield from _compared("Defaults", [rest])
    yield "</details>"


def _reproduction(runs: Sequence[RunContent]) -> Iterator[str]:
    for place, run in enumerate(runs):
        if len(runs) > 1:
            yield f"<h3>{run_letter(place)}: {safe(run.name)}</h3>"
        yield f'<pre class="command" tabindex="0">{safe(run.command)}</pre>'
        yield from notes(run.command_notes)
    yield from _compared("What the same weights need", [run.identity for run in runs])


def _compared(caption: str, values: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Yield a table with a column for each run; rows that differ are marked in words too."""
    differing = _differing(values)
    names = list(dict.fromkeys([*differing, *(name for one in values for name in one)]))
    if len(values) == 1:
        pairs = tuple((name, values[0][name]) for name in names)
        yield from table(Table(caption, ("name", "value"), pairs), kind="settings")
        return
    rows = tuple(
        (name, *(one.get(name, _ABSENT) for one in values), "differs" if name in differing else "")
        for name in names
    )
    letters = tuple(run_letter(place) for place in range(len(values)))
    marked = {place for place, name in enumerate(names) if name in differing}
    yield from table(
        Table(caption, ("name", *letters, "same?"), rows), marked=marked, kind="settings"
    )


def _differing(values: Sequence[Mapping[str, str]]) -> list[str]:
    names = dict.fromkeys(name for one in values for name in one)
    return [name for name in names if len({one.get(name, _ABSENT) for one in values}) > 1]
