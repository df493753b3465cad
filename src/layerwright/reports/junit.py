"""The report as JUnit XML, which build servers read."""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from layerwright.reports.characters import printable
from layerwright.reports.wording import crash_words, verdict, xpass_words

if TYPE_CHECKING:
    from layerwright.contract.finding import Report, Result

_COUNTED = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def render_junit(reports: Sequence["Report"], *, strict: bool = False) -> str:
    """Return reports as JUnit XML: a suite for each layer, a case for each rule.

    A build server shows failures where `layerwright check` exits with 1: for findings of severity
    error, and when no layer at all could be judged. Other findings are output of a case that
    passed. A rule that crashed is an error; an expected failure is skipped, and so is a case of
    its own for each layer that could not be judged beside others that could.

    Args:
        reports: one for each layer that was checked.
        strict: warnings are failures too.

    Returns:
        An XML document with a newline at its end.
    """
    root = ET.Element("testsuites", name="layerwright")
    unjudged = "skipped" if any(report.judged for report in reports) else "failure"
    for report in reports:
        _add_suite(root, report, unjudged, strict=strict)
    for key in ("tests", *_COUNTED):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    root.set("time", _time(sum(report.seconds for report in reports)))
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _add_suite(root: ET.Element, report: "Report", unjudged: str, *, strict: bool) -> None:
    suite = ET.SubElement(root, "testsuite", name=printable(report.subject))
    properties = ET.SubElement(suite, "properties")
    facts = {
        "verdict": verdict(report),
        "inputs": ", ".join(report.inputs),
        "tier": report.tier,
        "seed": str(report.seed),
        **report.versions,
    }
    for name, value in facts.items():
        ET.SubElement(properties, "property", name=printable(name), value=printable(value))
    if not report.judged:
        case = _add_case(suite, report, "layer is judged", "contract", 0.0)
        _add(case, unjudged, "not judged: no rule could say anything of this layer")
    for result in report.results:
        name = f"{result.rule_id} {result.rule_name}"
        case = _add_case(suite, report, name, result.family, result.seconds)
        _add_outcome(case, result, strict=strict)
    if report.notes:
        ET.SubElement(suite, "system-out").text = printable("\n".join(report.notes))
    suite.set("tests", str(len(suite.findall("testcase"))))
    for key, tag in _COUNTED.items():
        suite.set(key, str(len(suite.findall(f"testcase/{tag}"))))
    suite.set("time", _time(report.seconds))


def _add_case(
    suite: ET.Element, report: "Report", name: str, family: str, seconds: float
) -> ET.Element:
    case = ET.SubElement(
        suite,
        "testcase",
        classname=printable(f"{report.subject}.{family}"),
        name=printable(name),
        time=_time(seconds),
    )
    if report.file is not None:
        case.set("file", printable(report.file))
        if report.line is not None:
            case.set("line", str(report.line))
    return case


def _add_outcome(case: ET.Element, result: "Result", *, strict: bool) -> None:
    """Say what a rule came to; a rule that passed has nothing to add."""
    if result.outcome == "failed":
        severities = {finding.severity or "error" for finding in result.findings}
        fails = "error" in severities or (strict and "warning" in severities)
        text = "\n\n".join(str(finding) for finding in result.findings)
        if fails:
            first = result.findings[0]
            message = f"{first.place}: expected {first.expected}; found {first.found}"
            _add(
                case, "failure", message, text, kind="error" if "error" in severities else "warning"
            )
        else:
            ET.SubElement(case, "system-out").text = printable(text)
    elif result.outcome == "error":
        _add(case, "error", crash_words(result), result.reason)
    elif result.outcome == "skipped":
        _add(case, "skipped", result.reason)
    elif result.outcome == "xfailed":
        _add(case, "skipped", f"expected failure: {result.reason}")
    elif result.outcome == "xpassed":
        ET.SubElement(case, "system-out").text = printable(xpass_words(result))


def _add(
    case: ET.Element, tag: str, message: str, text: str | None = None, kind: str | None = None
) -> None:
    element = ET.SubElement(case, tag, message=printable(message))
    if kind is not None:
        element.set("type", kind)
    if text is not None:
        element.text = printable(text)


def _time(seconds: float) -> str:
    return f"{seconds:.3f}"
