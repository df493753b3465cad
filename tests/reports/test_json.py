"""The report for machines."""

import copy
import json
from importlib import resources

import jsonschema
import pytest

from layerwright.reports import render

SCHEMA = json.loads(
    resources.files("layerwright.reports").joinpath("report.schema.json").read_text()
)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def objects(schema):
    """Yield every description of an object in the schema."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for value in schema.values():
            yield from objects(value)


def test_schema_is_one():
    """The schema itself is valid, and leaves no key of an object optional or undescribed."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    found = list(objects(SCHEMA))
    assert len(found) == 5
    for schema in found:
        assert schema["additionalProperties"] is False
        assert schema["required"] == list(schema["properties"])


def test_rendered_fits(every_outcome, report):
    """What is rendered fits the schema, keys in the schema's order."""
    content = json.loads(render([every_outcome, report()], "json"))
    VALIDATOR.validate(content)
    VALIDATOR.validate(json.loads(render([], "json")))
    whole = content["reports"][0]
    for part, schema in (
        (content, SCHEMA),
        (whole, SCHEMA["$defs"]["report"]),
        (whole["results"][1], SCHEMA["$defs"]["result"]),
        (whole["results"][1]["findings"][0], SCHEMA["$defs"]["finding"]),
    ):
        assert list(part) == list(schema["properties"])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema_version",), 2),
        (("reports", 0, "ok"), None),
        (("reports", 0, "tier"), "slow"),
        (("reports", 0, "counts", "passed"), -1),
        (("reports", 0, "results", 0, "outcome"), "crashed"),
        (("reports", 0, "results", 1, "rule_id"), "GRD1"),
        (("reports", 0, "results", 1, "findings", 0, "severity"), "fatal"),
        (("reports", 0, "results", 1, "findings", 0, "line"), 0),
        (("reports", 0, "results", 1, "findings", 0, "explained_by"), ""),
        (("reports", 0, "results", 1, "findings", 0, "surprise"), 1),
    ],
)
def test_schema_refuses(path, value, every_outcome):
    """The schema refuses what is never rendered."""
    content = copy.deepcopy(json.loads(render([every_outcome], "json")))
    *parents, last = path
    place = content
    for key in parents:
        place = place[key]
    place[last] = value
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(content)


def test_content(every_outcome):
    """All that a report holds is there, under its own names."""
    content = json.loads(render([every_outcome], "json"))
    assert (content["layerwright"], content["torch"], content["python"]) == (
        "0.1.0",
        "2.13.0",
        "3.11.9",
    )
    (whole,) = content["reports"]
    assert whole["subject"] == "Scale"
    assert (whole["file"], whole["line"], whole["ok"]) == ("m.py", 1, False)
    assert whole["inputs"] == ["x: (4, 16) float32"]
    assert whole["notes"] == ["the last 14 lines did not run"]
    assert whole["counts"] == {
        "passed": 1, "failed": 3, "skipped": 1, "xfailed": 1, "xpassed": 1, "error": 1
    }  # fmt: skip
    outcomes = [result["outcome"] for result in whole["results"]]
    assert outcomes == [result.outcome for result in every_outcome.results]
    assert whole["results"][4]["reason"] == "no second instance can be built"
    assert whole["results"][2]["findings"][0] == {
        "rule_id": "SER003",
        "rule_name": "state-lost",
        "severity": "error",
        "promise": "Backward is the derivative of forward.",
        "where": "weight",
        "file": None,
        "line": None,
        "expected": "2.31846 at entry [3]",
        "found": "1.15923 at entry [3]",
        "fix": "multiply the gradient by 2",
        "reproduce": "",
        "explained_by": "REG001",
    }


def test_texts_are_kept(finding, result, report):
    """Text arrives as it was, control characters included; only lone surrogates are escaped."""
    text = "caf\u00e9 \x1b[0m\r\n\u4f60 {0}"
    whole = report(result("failed", findings=(finding(found=text, fix="\udc80"),)))
    rendered = render([whole], "json")
    assert rendered.isascii()
    found = json.loads(rendered)["reports"][0]["results"][0]["findings"][0]
    assert (found["found"], found["fix"]) == (text, "\\udc80")
