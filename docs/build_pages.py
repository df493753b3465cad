"""Writes the rule index and one page a rule, from the rules' docstrings.

    python docs/build_pages.py build/docs

Nothing that it writes is committed. It stops at a page that is incomplete or names a rule that does
not exist.
"""

import re
import sys
from itertools import groupby
from pathlib import Path

from layerwright.contract.catalog import catalog
from layerwright.contract.page import domain_of, page_of, require_complete
from layerwright.contract.rule import Rule
from layerwright.errors import OptionError

_RULE = re.compile(r"\b[A-Z]{3}\d{3}\b")


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
        ("tier", rule.tier),
        ("judges a layer if", domain_of(rule) or "always"),
        ("excused by", ", ".join(rule.excused_by) or "no trait"),
        ("explains", ", ".join(_link(item, rules) for item in rule.explains) or "nothing"),
        ("requires", ", ".join(_link(item, rules) for item in rule.requires) or "nothing"),
        ("status", f"{rule.status}, since {rule.since}"),
        ("source", f"`src/{rule.judge.__module__.replace('.', '/')}.py`"),
    ]
    for name in _RULE.findall(rule.doc):
        if name not in rules and name[:3] in {other[:3] for other in rules}:
            raise OptionError(f"the page of {rule.id} names {name}, which is no rule.")
    related = [
        f"[{other.id} {other.name}]({other.id}.md)"
        for other in rules.values()
        if other.family == rule.family and other is not rule
    ]
    lines = [f"# {rule.id} {rule.name}", "", page.summary, "", "| | |", "| --- | --- |"]
    lines += [f"| {key} | {value} |" for key, value in facts]
    for heading, text in page.sections.items():
        lines += ["", f"## {heading}", "", text]
    if related:
        lines += ["", f"In the same family: {', '.join(related)}."]
    return "\n".join(lines) + "\n"


def index_in_markdown(rules: dict[str, Rule]) -> str:
    """Return the list of all rules, by family."""
    lines = ["# Rules", ""]
    for family, members in groupby(rules.values(), key=lambda rule: rule.family):
        lines += [f"## {family}", "", "| rule | promise | severity | tier |", "| - | - | - | - |"]
        lines += [
            f"| [{rule.id} {rule.name}]({rule.id}.md) | {rule.promise} | {rule.severity} "
            f"| {rule.tier}{'' if rule.status == 'stable' else f', {rule.status}'} |"
            for rule in members
        ]
        lines.append("")
    return "\n".join(lines)


def _link(name: str, rules: dict[str, Rule]) -> str:
    if name not in rules:
        raise OptionError(f"a rule names {name}, which is no rule.")
    return f"[{name}]({name}.md)"


def build(folder: Path) -> int:
    """Write all pages into a folder and return their number."""
    rules = {rule.id: rule for rule in catalog()}
    pages = {f"{rule.id}.md": page_in_markdown(rule, rules) for rule in rules.values()}
    pages["index.md"] = index_in_markdown(rules)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")
    return len(pages)


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "build/docs") / "rules"
    print(f"{build(target)} pages in {target}")
