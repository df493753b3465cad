"""A rule's page: its docstring, with a fixed set of headings and two examples that run."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from layerwright.contract.case import Case
from layerwright.contract.needs import IN_WORDS
from layerwright.contract.rule import Rule
from layerwright.contract.traits import traits
from layerwright.errors import OptionError

REQUIRED = ("Why is this bad", "Bad", "Good", "How to fix")
OPTIONAL = ("Limits", "References")

_CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Page:
    """What a rule's docstring says.

    Attributes:
        summary: what the rule does; the docstring's first paragraph.
        sections: the text below each heading.
    """

    summary: str
    sections: Mapping[str, str]

    def example(self, heading: str) -> Case:
        """Run the code below "Bad" or "Good", and return the `case` that it defines.

        `torch`, `nn`, `F`, `Case` and `traits` are there without an import.
        """
        found = _CODE.search(self.sections[heading])
        if found is None:
            raise OptionError(f"the section {heading!r} expected a block of Python code.")
        names = {
            "__name__": "layerwright_example",
            "torch": torch,
            "nn": nn,
            "F": torch.nn.functional,
            "Case": Case,
            "traits": traits,
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            exec(compile(found[1], f"<{heading} example>", "exec"), names)  # noqa: S102 - our own page
        case = names.get("case")
        if not isinstance(case, Case):
            raise OptionError(f"the section {heading!r} expected to define a Case named case.")
        return case


def domain_of(rule: Rule) -> str:
    """Return what must hold of a layer before the rule judges it, in words; "" if nothing must."""
    return "; ".join(IN_WORDS[need] for need in rule.needs)


def page_of(rule: Rule) -> Page:
    """Return a rule's page, as far as it is written: rules of users need no complete one."""
    summary, *parts = _split(rule)
    bodies = (body.strip() for body in parts[1::2])
    return Page(summary.strip(), dict(zip(parts[::2], bodies, strict=True)))


def require_complete(rule: Rule) -> None:
    """Hold the page of one of our rules to its form.

    Raises:
        OptionError: the docstring lacks a heading, or has one that is not allowed or twice.
    """
    headings, page = _split(rule)[1::2], page_of(rule)
    for heading in headings:
        if heading not in REQUIRED + OPTIONAL:
            raise OptionError(f"{rule.id} has the heading {heading!r}, which no page has.")
        if headings.count(heading) > 1 or not page.sections[heading]:
            raise OptionError(f"{rule.id} expected the heading {heading!r} once, with text.")
    for heading in REQUIRED:
        if heading not in page.sections:
            raise OptionError(f"{rule.id} expected the heading {heading!r} on its page.")
    if not page.summary:
        raise OptionError(f"{rule.id} expected a first line that says what it does.")


def _split(rule: Rule) -> list[str]:
    """Return the text before the first heading, and then each heading and its text in turn."""
    return re.split(r"^## (.+)$", inspect.cleandoc(rule.doc), flags=re.MULTILINE)
