"""The rules' pages: one a rule and an index, from the rules' docstrings."""

import re
from itertools import groupby

from layerwright.contract.catalog import catalog
from layerwright.contract.page import domain_of, page_of, require_complete
from layerwright.contract.rule import Rule
from layerwright.errors import OptionError

_RULE = re.compile(r"\b[A-Z]{3}\d{3}\b")
_INDEX_HEAD = ("| rule | promise | severity | runs with |", "| - | - | - | - |")


def rule_pages() -> dict[str, str]:
    """Return the Markdown of all rules' pages, by path.

    Raises:
        OptionError: a page is incomplete, or names an unknown rule.
    """
    rules = {rule.id: rule for rule in catalog()}
    pages = {f"rules/{rule.id}.md": page_in_markdown(rule, rules) for rule in rules.values()}
    return {"rules/index.md": index_in_markdown(rules), **pages}


def sources() -> dict[str, str]:
    """Return the path of the page of each source file that holds a rule."""
    return {_source(rule): f"rules/{rule.id}.md" for rule in catalog()}


def page_in_markdown(rule: Rule, rules: dict[str, Rule]) -> str:
    """Return a rule's page: what its docstring says and what its head knows.

    Raises:
        OptionError: the page is incomplete, or names an unknown rule.
    """
    require_complete(rule)
    page = page_of(rule)
    facts = [
        ("promise", rule.promise),
        ("severity", rule.severity),
        ("runs with", f"`{rule.runs_with}`" if rule.runs_with else "every check"),
        ("judges a layer if", domain_of(rule) or "always"),
        ("excused by", ", ".join(rule.excused_by) or "no trait"),
        ("explains", ", ".join(_link(item, rules) for item in rule.explains) or "nothing"),
        ("requires", ", ".join(_link(item, rules) for item in rule.requires) or "nothing"),
        ("status", f"{rule.status}, since {rule.since}"),
        ("source", f"`{_source(rule)}`"),
    ]
    for name in _RULE.findall(rule.doc):
        if name not in rules and name[:3] in {other[:3] for other in rules}:
            raise OptionError(f"the page of {rule.id} names {name}, which is no rule.")
    related = [
        f"[{other.id} {other.name}]({other.id}.md)"
        for other in rules.values()
        if other.family == rule.family and other is not rule
    ]
    head, *rest = (f"| {key} | {value} |" for key, value in facts)
    lines = [f"# {rule.id} {rule.name}", "", page.summary, "", head, "| --- | --- |", *rest]
    for heading, text in page.sections.items():
        lines += ["", f"## {heading}", "", text]
    if related:
        lines += ["", f"In the same family: {', '.join(related)}."]
    return "\n".join(lines) + "\n"


def index_in_markdown(rules: dict[str, Rule]) -> str:
    """Return the list of all rules, by family."""
    lines = ["# Rules", ""]
    for family, members in groupby(rules.values(), key=lambda rule: rule.family):
        lines += [f"## {family}", "", *_INDEX_HEAD]
        lines += [
            f"| [{rule.id} {rule.name}]({rule.id}.md) | {rule.promise} | {rule.severity} "
            f"| {rule.runs_with or 'every check'}"
            f"{'' if rule.status == 'stable' else f', {rule.status}'} |"
            for rule in members
        ]
        lines.append("")
    return "\n".join(lines)


def _link(name: str, rules: dict[str, Rule]) -> str:
    if name not in rules:
        raise OptionError(f"a rule names {name}, which is no rule.")
    return f"[{name}]({name}.md)"


def _source(rule: Rule) -> str:
    return f"src/{rule.judge.__module__.replace('.', '/')}.py"
