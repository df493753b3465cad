"""The report in a terminal."""

import re
from pathlib import Path

import pytest

from layerwright.reports import render

SKIPPED = "no second instance can be built: no value for the argument num_channels"


def plain(text):
    """Return a text without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_finding(finding, result, report, tmp_path, monkeypatch):
    """A finding has a headline, then its keys in a fixed order, with the line of the source."""
    (tmp_path / "models").mkdir()
    file = tmp_path / "models" / "scale.py"
    file.write_text("class Scale:\n    def forward(self, x): return x\n")
    monkeypatch.chdir(tmp_path)
    found = finding(file=str(file), line=2, reproduce="import torch\nprint(1)")
    whole = report(result("failed", findings=(found,)), result(), file=str(file), line=1)
    assert render([whole], "text").splitlines() == [
        "1 error: Scale (scale.py:1) on x: (4, 16) float32",
        "",
        "error GRD001 wrong-gradient  weight (scale.py:2)",
        "  promise    Backward is the derivative of forward.",
        f"  where      weight, {Path('models') / 'scale.py'}:2",
        "             > 2 | def forward(self, x): return x",
        "  expected   2.31846 at entry [3]",
        "  found      1.15923 at entry [3]",
        "  fix        multiply the gradient by 2",
        "  reproduce  import torch",
        "             print(1)",
        "  page       layerwright rule GRD001",
        "",
        "1 passed, 1 failed in 420 ms",
    ]


def test_source_gone(finding, result, report):
    """Without its file a finding still says where it was."""
    whole = report(result("failed", findings=(finding(file="gone/scale.py", line=7),)))
    text = render([whole], "text")
    assert "  where      weight, gone/scale.py:7\n  expected" in text
    assert ">" not in text


def test_consequences(finding, result, report):
    """What another finding explains is one line a rule under it; the counts still hold it."""
    cause = finding(rule_id="REG001", rule_name="unregistered-module")
    follows = finding(rule_id="SER003", rule_name="state-dict-incomplete", explained_by="REG001")
    moved = finding(rule_id="DEV001", rule_name="not-moved", explained_by="SER003")
    whole = report(
        result("failed", findings=(follows, follows)),
        result("failed", findings=(moved,)),
        result("failed", findings=(cause,)),
    )
    text = render([whole], "text")
    assert text.startswith("1 error, 3 that follow: Scale")
    assert text.endswith(
        "  page       layerwright rule REG001\n"
        "  also: SER003 state-dict-incomplete (2 findings), explained by REG001\n"
        "  also: DEV001 not-moved, explained by REG001\n\n"
        "3 failed in 420 ms"
    )
    assert text.count("promise") == 1


def test_unexplained(finding, result, report):
    """A finding whose explanation is not shown is shown in full, and names it."""
    text = render([report(result("failed", findings=(finding(explained_by="REG001"),)))], "text")
    assert "  explained  by REG001\n" in text


@pytest.mark.parametrize("num_reasons", [0, 1, 30])
def test_clean(num_reasons, result, report):
    """A clean report has three lines at most, whatever was skipped, and counts all that was."""
    skips = [result("skipped", reason=f"{SKIPPED} of kind {i}") for i in range(num_reasons)]
    inputs = tuple(f"argument{i}: (2, 3, 8, 8) float32" for i in range(9))
    text = render([report(result(), *skips, inputs=inputs)], "text")
    lines = text.splitlines()
    assert len(lines) <= 3
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("ok: Scale on argument0: (2, 3, 8, 8) float32")
    assert lines[1].startswith("1 passed")
    if num_reasons:
        numbers = re.findall(r"(\d+)(?::| for \d+ other)", " ".join(lines[1:]))
        assert sum(map(int, numbers)) == num_reasons


def test_skip_reasons(result, report, finding):
    """Reasons are grouped, the most frequent first; many of them take one line each."""
    few = [result("skipped", reason="slow")] + [result("skipped", reason="no backward")] * 2
    assert render([report(result(), *few)], "text").splitlines()[1] == (
        "1 passed, 3 skipped (2: no backward; 1: slow) in 420 ms"
    )
    many = [result("skipped", reason=f"{SKIPPED} {i}") for i in range(3)]
    text = render([report(result("failed"), *many)], "text", width=100)
    assert "1 failed, 3 skipped in 420 ms\n" in text
    for i in range(3):
        assert f"  1 skipped  {SKIPPED} {i}" in text


def test_every_outcome_is_counted(every_outcome):
    """No outcome is left out of the summary, and crashes and unexpected passes are told."""
    text = " ".join(render([every_outcome], "text").split())
    assert text.startswith("1 error, 1 warning, 1 that follow: Scale (m.py:1)")
    assert "note: the last 14 lines did not run" in text
    assert (
        "1 passed, 3 failed, 1 skipped (1: no second instance can be built), 1 expected failure, "
        "1 unexpected pass, 1 rule crashed in 420 ms" in text
    )
    assert (
        "layerwright's own rule CMP001 graph-break crashed: KeyError: 'x'. "
        "This is our bug, not the layer's." in text
    )
    assert (
        "NUM002 under-flow passed and was expected to fail (issue 12). "
        "Take it off the expected failures." in text
    )


def test_not_judged(result, report):
    """A layer of which nothing could be said is not called fine."""
    text = render([report(result("skipped", reason="forward fails"))], "text")
    assert text.startswith("not judged: Scale on x: (4, 16) float32 (no rule could say anything)\n")
    assert render([report()], "text").endswith("no rule ran in 420 ms")


def test_verbose(every_outcome):
    """With verbose every rule is listed with its outcome, time and reason."""
    text = render([every_outcome], "text", verbose=True)
    for result in every_outcome.results:
        assert f"{result.outcome:<8}{result.rule_id} {result.rule_name} " in text
    assert "failed  REG001 unregistered-module 20 ms\n" in text
    assert "skipped CON001 input-mutated 0 ms\n           no second instance can be built" in text


def test_totals(every_outcome, result, report):
    """Several reports end with what they come to together."""
    warning = report(result("failed", findings=(every_outcome.results[3].findings[0],)))
    blind = report(result("skipped", reason="slow"))
    text = render([every_outcome, report(result()), warning, blind], "text", width=300)
    assert text.splitlines()[-1] == (
        "4 layers: 2 ok (1 of them with warnings or notes), 1 failed, 1 not judged; rules: "
        "2 passed, 4 failed, 2 skipped, 1 expected failure, 1 unexpected pass, 1 rule crashed "
        "in 1.68 s"
    )
    assert "layers" not in render([every_outcome], "text")
    assert render([], "text") == "no layer was checked"


@pytest.mark.parametrize("width", [10, 40, 80, 120])
def test_width(width, every_outcome, finding, result, report, tmp_path):
    """No line runs over the width, but for code that is there to be copied."""
    file = tmp_path / "long.py"
    file.write_text(f"x = {'long' * 60}\n")
    command = "layerwright check " + "a" * 200
    long = finding(file=str(file), line=1, found="much " * 50, fix="y" * 90, reproduce=command)
    text = render([every_outcome, report(result("failed", findings=(long,)))], "text", width=width)
    lines = text.splitlines()
    over = [line for line in lines if len(line) > max(width, 40)]
    assert over == [f"  reproduce  {command}"]
    assert not [line for line in lines if line.endswith(" ")]
    assert "> 1 | x = longlong" in text


def test_colour(every_outcome, monkeypatch):
    """Colours are the caller's choice, not the environment's, and change no word."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.setenv(name, "1")
        bare = render([every_outcome], "text")
        coloured = render([every_outcome], "text", colour=True)
        assert "\x1b" not in bare
        assert "\x1b[1;31merror\x1b[0m" in coloured
        assert [line.rstrip() for line in plain(coloured).splitlines()] == bare.splitlines()


def test_str(every_outcome):
    """A report in words is its terminal report."""
    assert str(every_outcome) == render([every_outcome], "text")
    assert not str(every_outcome).endswith("\n")
