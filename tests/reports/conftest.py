"""Findings, results and reports made by hand: no rule and no layer is involved."""

import pytest

from layerwright.contract.finding import Finding, Report, Result


def _finding(**changes):
    fields = {
        "rule_id": "GRD001",
        "rule_name": "wrong-gradient",
        "severity": "error",
        "where": "weight",
        "expected": "2.31846 at entry [3]",
        "found": "1.15923 at entry [3]",
        "fix": "multiply the gradient by 2",
        "promise": "Backward is the derivative of forward.",
    }
    return Finding(**{**fields, **changes})


def _result(outcome="passed", **changes):
    fields = {"rule_id": "PUR001", "rule_name": "input-mutated", "family": "purity"}
    if outcome in {"failed", "xfailed"}:
        finding = changes.setdefault("findings", (_finding(),))[0]
        fields |= {"rule_id": finding.rule_id, "rule_name": finding.rule_name}
    return Result(**{**fields, "outcome": outcome, **changes})


def _report(*results, **changes):
    fields = {"subject": "Scale", "inputs": ("x: (4, 16) float32",), "seconds": 0.42}
    return Report(**{**fields, "results": results, **changes})


@pytest.fixture(scope="session")
def finding():
    """Return a function that makes a finding with the fields that are given."""
    return _finding


@pytest.fixture(scope="session")
def result():
    """Return a function that makes a result of an outcome; a failed one has a finding."""
    return _result


@pytest.fixture(scope="session")
def report():
    """Return a function that makes a report of results."""
    return _report


@pytest.fixture(scope="session")
def every_outcome():
    """A report in which each outcome occurs, one finding follows from another and nothing lacks."""
    cause = _finding(rule_id="REG001", rule_name="unregistered-module", file="m.py", line=3)
    follows = _finding(rule_id="SER003", rule_name="state-lost", explained_by="REG001")
    warning = _finding(rule_id="PRF004", rule_name="up-cast", severity="warning")
    return _report(
        _result(),
        _result("failed", findings=(cause,), family="structure", seconds=0.02),
        _result("failed", findings=(follows,), family="serialization"),
        _result("failed", findings=(warning,), family="dtype"),
        _result("skipped", reason="no second instance can be built", rule_id="CON001"),
        _result("xfailed", reason="known", rule_id="NUM001", rule_name="over-flow"),
        _result("xpassed", reason="issue 12.", rule_id="NUM002", rule_name="under-flow"),
        _result("error", reason="KeyError: 'x'", rule_id="CMP001", rule_name="graph-break"),
        file="m.py",
        line=1,
        versions={"layerwright": "0.1.0", "torch": "2.13.0", "python": "3.11.9"},
        notes=("the last 14 lines did not run",),
    )
