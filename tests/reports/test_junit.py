"""The report as JUnit XML."""

from xml.etree import ElementTree as ET

from layerwright.reports import render


def parse(*reports, **options):
    """Render and return the root element."""
    text = render(reports, "junit", **options)
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n')
    return ET.fromstring(text)


def tags(root):
    """Return each case's name and what it holds."""
    return {
        case.get("name"): [(child.tag, child.get("message")) for child in case]
        for case in root.iter("testcase")
    }


def test_every_outcome(every_outcome):
    """Errors of a layer are failures; crashes are errors; expected failures are skipped."""
    root = parse(every_outcome)
    crash = (
        "layerwright's own rule CMP001 graph-break crashed: KeyError: 'x'. "
        "This is our bug, not the layer's."
    )
    found = "weight: expected 2.31846 at entry [3]; found 1.15923 at entry [3]"
    assert tags(root) == {
        "PUR001 input-mutated": [],
        "REG001 unregistered-module": [("failure", found.replace("weight", "weight (m.py:3)"))],
        "SER003 state-lost": [("failure", found)],
        "PRF004 up-cast": [("system-out", None)],
        "CON001 input-mutated": [("skipped", "no second instance can be built")],
        "NUM001 over-flow": [("skipped", "expected failure: known")],
        "NUM002 under-flow": [("system-out", None)],
        "CMP001 graph-break": [("error", crash)],
    }
    suite = root.find("testsuite")
    for element in (root, suite):
        counts = [element.get(key) for key in ("tests", "failures", "errors", "skipped", "time")]
        assert counts == ["8", "2", "1", "2", "0.420"]
    case = suite.find("testcase[@name='REG001 unregistered-module']")
    assert case.get("classname") == "Scale.structure"
    assert (case.get("file"), case.get("line"), case.get("time")) == ("m.py", "1", "0.020")
    assert case.find("failure").get("type") == "error"
    assert "  fix        multiply the gradient by 2" in case.find("failure").text
    assert suite.find("system-out").text == "the last 14 lines did not run"
    properties = {item.get("name"): item.get("value") for item in suite.iter("property")}
    assert properties["inputs"] == "x: (4, 16) float32"
    assert properties["torch"] == "2.13.0"


def test_strict(every_outcome, finding, result, report):
    """Warnings are failures when the caller is strict; notes never are."""
    (failure,) = parse(every_outcome, strict=True).iterfind(".//*[@name='PRF004 up-cast']/failure")
    assert failure.get("type") == "warning"
    note = report(result("failed", findings=(finding(severity="note"),)))
    assert parse(note, strict=True).get("failures") == "0"


def test_not_judged(result, report):
    """A layer that no rule could judge has a case of its own: skips alone would look green.

    It fails if no layer could be judged, as the command does, and is skipped beside others.
    """
    blind = report(result("skipped", reason="slow"))
    message = "not judged: no rule could say anything of this layer"
    root = parse(blind)
    assert tags(root)["layer is judged"] == [("failure", message)]
    assert [root.get(key) for key in ("tests", "failures", "skipped")] == ["2", "1", "1"]
    root = parse(blind, report(result()))
    assert tags(root)["layer is judged"] == [("skipped", message)]
    assert [root.get(key) for key in ("tests", "failures", "skipped")] == ["3", "0", "2"]


def test_several_findings(finding, result, report):
    """All findings of a rule are told in its one failure."""
    findings = (finding(where="weight"), finding(where="bias"))
    (failure,) = parse(report(result("failed", findings=findings))).iter("failure")
    assert failure.text.count("error: GRD001 wrong-gradient") == 2


def test_several_layers(every_outcome, report, result):
    """Each layer has a suite, and the root adds them up."""
    root = parse(every_outcome, report(result(), subject="Shift"))
    assert [suite.get("name") for suite in root] == ["Scale", "Shift"]
    assert (root.get("tests"), root.get("time")) == ("9", "0.840")


def test_illegal_characters(finding, result, report):
    """Characters that XML forbids arrive as their escape."""
    text = "a\x00b\x1bc\ud800d\uffffe<&\"'\u4f60"
    whole = report(result("failed", findings=(finding(found=text),)), subject=text)
    root = parse(whole)
    shown = "a\\x00b\\x1bc\\ud800d\\uffffe<&\"'\u4f60"
    assert root.find("testsuite").get("name") == shown
    assert shown in root.find(".//failure").text
