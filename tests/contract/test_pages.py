"""Every rule's page is complete, and its examples prove it."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from layerwright.contract.catalog import catalog
from layerwright.contract.check import check
from layerwright.contract.page import page_of, require_complete
from layerwright.errors import OptionError

RULES = [
    pytest.param(
        rule, id=f"{rule.id}-{rule.name}", marks=[pytest.mark.slow] * (rule.tier == "full")
    )
    for rule in catalog()
]


@pytest.mark.parametrize("rule", RULES)
def test_the_bad_example_is_reported(rule):
    """By this very rule, and as a root cause."""
    report = check(page_of(rule).example("Bad"), tier=rule.tier, **more(rule))
    found = {finding.rule_id for finding in report.findings if finding.explained_by is None}
    assert rule.id in found, str(report.results)


@pytest.mark.parametrize("rule", RULES)
def test_the_good_example_is_clean(rule):
    """No rule reports anything, not even a note."""
    report = check(page_of(rule).example("Good"), tier=rule.tier, **more(rule))
    assert [str(finding) for finding in report.findings] == []
    assert [result for result in report.results if result.outcome == "error"] == []


def more(rule):
    """Ask for a rule that does not run unless somebody does."""
    if "ranks" in rule.needs:
        return {"ranks": 2}
    return {"select": [rule.id]} if rule.status == "preview" else {}


def test_the_documentation_is_built_from_the_pages(monkeypatch):
    """One page a rule and an index; every rule is in it."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "docs"))
    pages = import_module("reference.rule_pages").rule_pages()
    assert len(pages) == len(catalog()) + 1
    for rule in catalog():
        assert f"[{rule.id} {rule.name}]({rule.id}.md)" in pages["rules/index.md"]
        assert "## How to fix" in pages[f"rules/{rule.id}.md"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("## Why is this bad", "## Why", "'Why', which no page has"),
        ("## How to fix", "## Limits", "'How to fix' on its page"),
        ("## How to fix", "## Good", "'Good' once"),
        ("Compares", "## Limits\nCompares", "a first line"),
    ],
)
def test_an_incomplete_page_is_refused(old, new, words):
    """A heading that is missing, unknown or there twice; no summary."""
    doc = "Compares.\n\n## Why is this bad\nx\n\n## Bad\nx\n\n## Good\nx\n\n## How to fix\nx\n"
    require_complete(documented(doc))
    with pytest.raises(OptionError, match=words):
        require_complete(documented(doc.replace(old, new)))


def documented(doc):
    """Return a rule with this docstring."""

    def judge(_probe):
        return []

    judge.__doc__ = doc
    return replace(catalog()[0], judge=judge)
