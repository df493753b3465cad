"""Findings in families."""

from layerwright.reports.root_causes import causes


def families(report):
    """Return the rule ids of each cause and of what it explains."""
    return [
        (cause.finding.rule_id, [item.rule_id for item in cause.consequences])
        for cause in causes(report)
    ]


def failed(report, finding, result, *links):
    """Return a report whose findings have these (id, explained by) links."""
    return report(
        *(result("failed", findings=(finding(rule_id=a, explained_by=b),)) for a, b in links)
    )


def test_alone(report, finding, result):
    """Findings without an explanation stand for themselves, in the report's order."""
    whole = failed(report, finding, result, ("AAA001", None), ("BBB001", None))
    assert families(whole) == [("AAA001", []), ("BBB001", [])]


def test_chain(report, finding, result):
    """An explanation is followed to its end, wherever the findings stand."""
    links = (("CCC001", "BBB001"), ("BBB001", "AAA001"), ("AAA001", None))
    whole = failed(report, finding, result, *links)
    assert families(whole) == [("AAA001", ["CCC001", "BBB001"])]


def test_missing_explanation(report, finding, result):
    """A finding whose explanation is not among the findings stands for itself."""
    expected = result("xfailed", reason="known", findings=(finding(rule_id="AAA001"),))
    follows = result("failed", findings=(finding(rule_id="BBB001", explained_by="AAA001"),))
    assert families(report(expected, follows)) == [("BBB001", [])]


def test_circle(report, finding, result):
    """Findings that explain each other are not lost."""
    whole = failed(report, finding, result, ("AAA001", "BBB001"), ("BBB001", "AAA001"))
    assert families(whole) == [("AAA001", []), ("BBB001", [])]


def test_several_findings_of_the_cause(report, finding, result):
    """What a rule explains is shown once, under its first finding."""
    twice = (finding(rule_id="AAA001", where="a"), finding(rule_id="AAA001", where="b"))
    follows = finding(rule_id="BBB001", explained_by="AAA001")
    whole = report(result("failed", findings=twice), result("failed", findings=(follows,)))
    assert families(whole) == [("AAA001", ["BBB001"]), ("AAA001", [])]


def test_the_same_fault_of_several_parts_is_one_cause(report, finding, result):
    """On one line and in the same words; numbers of their own are not hidden."""
    alike = [finding(where=f"blocks[{place}]", file="m.py", line=3) for place in range(5)]
    other = finding(where="head", file="m.py", line=3, found="2.5 at entry [0]")
    elsewhere = finding(where="tail", file="m.py", line=4)
    whole = report(result("failed", findings=(*alike, other, elsewhere)))
    assert [cause.where for cause in causes(whole)] == [
        "blocks[0], blocks[1], blocks[2] and 2 more",
        "head",
        "tail",
    ]


def test_findings_without_a_line_stand_for_themselves(report, finding, result):
    """They may have nothing in common."""
    whole = report(result("failed", findings=(finding(where="a"), finding(where="b"))))
    assert [cause.where for cause in causes(whole)] == ["a", "b"]
