"""`layerwright rule`: the page of one rule."""

import json
import sys

import pytest

from layerwright.cli.app import main


@pytest.mark.parametrize("name", ["PUR001", "pur001", "input-mutated"])
def test_a_page_has_everything_about_the_rule(capsys, name):
    """By id or name: promise, severity, since when, why, bad, good, the cure, its family."""
    assert main(["rule", name]) == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    assert lines[0] == "PUR001 input-mutated"
    assert "Promise: forward leaves the caller's tensors untouched." in lines
    assert "A breach is an error. Since 0.1, stable." in lines
    assert "Judges a layer if: forward runs on the example inputs in eval mode." in lines
    assert "Traits that excuse a layer: inplace." in lines
    headings = [line[3:] for line in lines if line.startswith("## ")]
    assert headings[:4] == ["Why is this bad", "Bad", "Good", "How to fix"]
    assert "PUR002 output-overwritten" in lines[-1]


def test_a_slow_rule_says_so(capsys):
    """It runs in the full tier only."""
    assert main(["rule", "BAT009"]) == 0
    assert "A breach is a note, runs with --tier full." in capsys.readouterr().out


def test_a_rule_about_several_processes_says_so(capsys):
    """Neither tier brings it."""
    assert main(["rule", "DST003"]) == 0
    assert "A breach is an error, runs with --ranks 2." in capsys.readouterr().out


def test_a_preview_rule_says_how_to_run_it(capsys):
    """No tier brings it."""
    assert main(["rule", "DST002"]) == 0
    shown = capsys.readouterr().out
    assert "A breach is a warning, runs with --select DST002. Since 0.1, preview." in shown


def test_json_holds_the_facts_and_the_sections(capsys):
    """One object."""
    assert main(["rule", "GRD001", "--json"]) == 0
    page = json.loads(capsys.readouterr().out)
    assert (page["id"], page["name"], page["severity"]) == ("GRD001", "wrong-gradient", "error")
    assert {"promise", "family", "tier", "since", "status", "summary"} < set(page)
    assert "class " in page["sections"]["Bad"]


@pytest.mark.parametrize("name", ["RUN001", "process-ends", "RUN002", "import-fails"])
def test_what_goes_wrong_outside_of_the_rules_has_a_page(capsys, name):
    """A process that dies, an import that fails."""
    assert main(["rule", name]) == 0
    shown = capsys.readouterr().out
    assert name in shown.splitlines()[0]
    assert "## How to fix" in shown
    assert main(["rule", name, "--json"]) == 0
    assert name in json.loads(capsys.readouterr().out).values()


@pytest.mark.parametrize(
    ("name", "hint"),
    [("wrong-gradeint", "wrong-gradient"), ("GRD01", "GRD0"), ("XYZ999", "rules")],
)
def test_an_unknown_rule_is_wrong_usage(capsys, name, hint):
    """With the nearest one."""
    assert main(["rule", name]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert name in shown.err
    assert hint in shown.err


def test_a_rule_of_ones_own_has_a_page(capsys, tmp_path, monkeypatch):
    """The module stands beside the project file that names it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    headings = ["Why is this bad", "Bad", "Good", "How to fix"]
    page = "".join(f"    ## {heading}\n    Text of {heading}.\n\n" for heading in headings)
    (tmp_path / "page_rules.py").write_text(
        "from layerwright.contract import rule\n"
        "@rule('OWN002', 'output-not-small', promise='outputs stay small',\n"
        "      family='own', since='1')\n"
        f'def output_not_small(probe):\n    """Measures the output.\n\n{page}    """\n'
        "    return []\n"
    )
    (tmp_path / "pyproject.toml").write_text('[tool.layerwright]\nrules = ["page_rules"]\n')
    assert main(["rule", "output-not-small"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("OWN002 output-not-small\n\nPromise: outputs stay small.")
    assert "## Why is this bad\nText of Why is this bad." in shown
