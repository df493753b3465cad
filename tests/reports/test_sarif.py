"""The report as SARIF 2.1.0; section numbers are those of the OASIS standard."""

import json
from pathlib import Path

import pytest

from layerwright.reports import render

# Object: the properties that it must have, and those that it may have and we use.
SHAPES = {
    "log": ({"version", "runs"}, {"$schema"}),  # 3.13
    "run": ({"tool"}, {"invocations", "results", "columnKind"}),  # 3.14
    "driver": ({"name"}, {"version", "rules"}),  # 3.19
    "invocation": ({"executionSuccessful"}, {"toolExecutionNotifications"}),  # 3.20
    "result": (
        {"message"},
        {"ruleId", "ruleIndex", "level", "locations", "partialFingerprints", "suppressions",
         "properties"},
    ),  # 3.27
    "location": (set(), {"physicalLocation", "logicalLocations"}),  # 3.28
    "physicalLocation": ({"artifactLocation"}, {"region"}),  # 3.29
    "rule": (
        {"id"}, {"name", "shortDescription", "help", "defaultConfiguration"}
    ),  # 3.49
    "suppression": ({"kind"}, {"justification"}),  # 3.35
    "notification": ({"message"}, {"level"}),  # 3.58
}  # fmt: skip
LEVELS = {"none", "note", "warning", "error"}


def fits(kind, thing):
    """Demand that an object has all properties that it must have, and no unknown one."""
    required, optional = SHAPES[kind]
    assert required <= set(thing) <= required | optional, kind
    return thing


def run_of(*reports):
    """Render, demand the structure of the standard, and return the only run."""
    log = fits("log", json.loads(render(reports, "sarif")))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    fits("run", run)
    assert set(run["tool"]) == {"driver"}
    rules = fits("driver", run["tool"]["driver"])["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    for rule in rules:
        fits("rule", rule)
        assert rule["shortDescription"]["text"]
        assert rule["defaultConfiguration"]["level"] in LEVELS
    for invocation in run["invocations"]:
        for notification in fits("invocation", invocation)["toolExecutionNotifications"]:
            assert fits("notification", notification)["message"]["text"]
            assert notification["level"] in LEVELS
    for result in run["results"]:
        fits("result", result)
        assert result["message"]["text"]
        assert result["level"] in LEVELS
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert all(isinstance(value, str) for value in result["partialFingerprints"].values())
        for location in result["locations"]:
            fits("location", location)
            if "physicalLocation" in location:
                place = fits("physicalLocation", location["physicalLocation"])
                assert place.get("region", {"startLine": 1})["startLine"] >= 1
        for suppression in result.get("suppressions", []):
            assert fits("suppression", suppression)["kind"] in {"inSource", "external"}
    return run


def test_every_outcome(every_outcome):
    """Findings become results with level, cause and rule; expected failures are suppressed."""
    run = run_of(every_outcome)
    assert run["tool"]["driver"]["version"] == "0.1.0"
    results = {result["ruleId"]: result for result in run["results"]}
    assert set(results) == {"REG001", "SER003", "PRF004", "GRD001"}
    assert results["PRF004"]["level"] == "warning"
    assert results["SER003"]["properties"]["explainedBy"] == "REG001"
    assert "explainedBy" not in results["REG001"]["properties"]
    assert results["GRD001"]["suppressions"] == [{"kind": "external", "justification": "known"}]
    assert "suppressions" not in results["REG001"]
    assert results["REG001"]["message"]["text"] == (
        "Scale, weight: expected 2.31846 at entry [3]; found 1.15923 at entry [3]. "
        "Fix: multiply the gradient by 2."
    )
    rule = run["tool"]["driver"]["rules"][results["REG001"]["ruleIndex"]]
    assert rule == {
        "id": "REG001",
        "name": "unregistered-module",
        "shortDescription": {"text": "Backward is the derivative of forward."},
        "help": {"text": "layerwright rule REG001"},
        "defaultConfiguration": {"level": "error"},
    }


def test_notifications(every_outcome, result, report):
    """What did not run, and why, is told beside the results; a crash is no success."""
    (invocation,) = run_of(every_outcome)["invocations"]
    assert invocation["executionSuccessful"] is False
    told = [
        f"{notification['level']}: {notification['message']['text']}"
        for notification in invocation["toolExecutionNotifications"]
    ]
    unexpected, crash = told[:2]
    assert unexpected == (
        "warning: Scale: NUM002 under-flow passed and was expected to fail (issue 12). "
        "Take it off the expected failures."
    )
    assert crash == (
        "error: Scale: layerwright's own rule CMP001 graph-break crashed: KeyError: 'x'. "
        "This is our bug, not the layer's."
    )
    assert told[2:] == [
        "note: Scale: the last 14 lines did not run",
        "note: Scale: 1 rule skipped: no second instance can be built",
    ]
    assert run_of(report(result()))["invocations"][0]["executionSuccessful"] is True
    blind = report(result("skipped", reason="slow"))
    (invocation,) = run_of(blind)["invocations"]
    assert invocation["executionSuccessful"] is False
    assert invocation["toolExecutionNotifications"][0]["level"] == "error"
    assert run_of(blind, report(result()))["invocations"][0]["executionSuccessful"] is True


@pytest.mark.parametrize(
    ("file", "uri"),
    [
        ("{here}/my models/a#1.py", "my%20models/a%231.py"),
        ("models/a.py", "models/a.py"),
        ("{here}/../a.py", None),
        ("../a.py", None),
        ("/elsewhere/a b.py", "file:///elsewhere/a%20b.py"),
    ],
)
def test_uri(file, uri, finding, result, report, tmp_path, monkeypatch):
    """Files below the working folder get a relative URI, others an absolute one."""
    monkeypatch.chdir(tmp_path)
    found = finding(file=file.format(here=tmp_path), line=7)
    (rendered,) = run_of(report(result("failed", findings=(found,))))["results"]
    place = rendered["locations"][0]["physicalLocation"]
    assert place["region"] == {"startLine": 7}
    assert place["artifactLocation"]["uri"] == (uri or Path(found.file).absolute().as_uri())


def test_place_of_the_class(finding, result, report):
    """A finding without a file lies at the layer's class, or nowhere; a cell is no file."""
    failed = result("failed", findings=(finding(),))
    (rendered,) = run_of(report(failed, file="m.py", line=3))["results"]
    assert rendered["locations"] == [
        {
            "logicalLocations": [{"fullyQualifiedName": "Scale: weight"}],
            "physicalLocation": {
                "artifactLocation": {"uri": "m.py"},
                "region": {"startLine": 3},
            },
        }
    ]
    for changes in ({}, {"file": "<cell 7>", "line": 3}):
        (rendered,) = run_of(report(failed, **changes))["results"]
        assert "physicalLocation" not in rendered["locations"][0]


def test_fingerprints(finding, result, report):
    """A fingerprint survives other numbers and lines, and tells findings apart."""

    def fingerprints(*findings, **changes):
        run = run_of(report(result("failed", findings=findings), **changes))
        return [item["partialFingerprints"]["layerwright/v1"] for item in run["results"]]

    first = fingerprints(finding(file="m.py", line=3))
    assert first == fingerprints(finding(file="m.py", line=9, found="other numbers"))
    others = [
        *fingerprints(finding(file="m.py", where="bias")),
        *fingerprints(finding(file="n.py")),
        *fingerprints(finding(file="m.py", rule_id="GRD002")),
        *fingerprints(finding(file="m.py"), subject="Shift"),
        *fingerprints(finding(file="m.py"), finding(file="m.py"))[1:],
    ]
    assert len({*first, *others}) == 6


def test_level_of_a_rule(finding, result, report):
    """A rule's level is that of its severest finding."""
    findings = (finding(severity="note"), finding(severity="error"), finding(severity="warning"))
    run = run_of(report(result("failed", findings=findings)))
    assert run["tool"]["driver"]["rules"][0]["defaultConfiguration"] == {"level": "error"}
    assert [item["level"] for item in run["results"]] == ["note", "error", "warning"]
