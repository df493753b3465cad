"""Every broken layer of the zoo triggers exactly the rules that its file names; its twin none."""

import pytest
import zoo_entry

ENTRIES = [
    pytest.param(
        path,
        id=zoo_entry.name_of(path),
        marks=[pytest.mark.slow] if getattr(zoo_entry.load(path), "TIER", "") == "full" else [],
    )
    for path in zoo_entry.entries()
]


def crashes(report):
    """Return the rules that crashed themselves."""
    return [result for result in report.results if result.outcome == "error"]


@pytest.mark.parametrize("path", ENTRIES)
def test_a_broken_layer_triggers_what_its_file_names(path):
    """Root causes only: what they explain is shown beneath them."""
    report = zoo_entry.report_of(path, "Broken")
    assert crashes(report) == []
    assert zoo_entry.roots(report) == zoo_entry.load(path).TRIGGERS, "\n".join(
        map(str, report.findings)
    )


@pytest.mark.parametrize("path", ENTRIES)
def test_its_sound_twin_triggers_nothing(path):
    """No error and no warning."""
    report = zoo_entry.report_of(path, "Sound")
    assert crashes(report) == []
    assert [str(item) for item in report.findings if item.severity != "note"] == []
