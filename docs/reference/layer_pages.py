"""The layers' and networks' pages: one a source file and two indexes, from their docstrings."""

import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

from docstring_parser.common import DocstringMeta, DocstringParam, DocstringRaises
from docstring_parser.google import DEFAULT_SECTIONS, GoogleParser, Section, SectionType
from latex2mathml.converter import convert

import layerwright.layers
import layerwright.networks
from layerwright.errors import OptionError

_PARSER = GoogleParser(
    [*DEFAULT_SECTIONS, Section("Reference", "reference", SectionType.SINGULAR)], title_colon=True
)
_FORMULA = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
_HOME = re.compile(r"(?:layerwright|collections)(?:[.]\w+)*[.]")  # in front of annotations
_BOUND = "abstract_"  # modules that only subclasses use


def layer_pages() -> dict[str, str]:
    """Return the Markdown of the pages of layers and networks, by path.

    Raises:
        OptionError: a formula or an argument's description cannot be read.
    """
    pages = {}
    lists: dict[str, list[str]] = {"layers": [], "networks": []}
    for module in _modules():
        members = list(_documented(module))
        if not members:
            continue
        kind, *path = module.__name__.split(".")[1:]
        title = ", ".join(member.__name__ for member in members)
        pages[f"{kind}/{'/'.join(path)}.md"] = "\n\n".join(
            [f"# {title}", *(_page(member, alone=len(members) == 1) for member in members)]
        )
        family = f"\n## {path[0]}\n" if kind == "layers" else ""
        if family and family not in lists[kind]:
            lists[kind] += [family, "| layer | does |\n| - | - |"]
        summary = (inspect.getdoc(members[0]) or "").partition("\n")[0].replace("|", "\\|")
        lists[kind].append(f"| [{title}]({'/'.join(path)}.md) | {summary} |")
    head = "\n| network | does |\n| - | - |"
    pages["layers/index.md"] = "\n".join(["# Layers", *lists["layers"]]) + "\n"
    pages["networks/index.md"] = "\n".join(["# Networks", head, *lists["networks"]]) + "\n"
    return pages


def sources() -> dict[str, str]:
    """Return the path of the page of each source file that has one."""
    return {
        f"src/{module.__name__.replace('.', '/')}.py": "/".join(module.__name__.split(".")[1:])
        + ".md"
        for module in _modules()
        if any(_documented(module))
    }


def _modules() -> Iterator[ModuleType]:
    for package in (layerwright.layers, layerwright.networks):
        for item in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not item.ispkg and not item.name.rpartition(".")[2].startswith(_BOUND):
                yield import_module(item.name)


def _documented(module: ModuleType) -> Iterator[Callable[..., Any]]:
    """What a module offers to users: its classes and functions whose docstring has an example."""
    for name, value in vars(module).items():
        own = getattr(value, "__module__", None) == module.__name__ and not name.startswith("_")
        if own and callable(value) and "\nExample:" in (inspect.getdoc(value) or ""):
            yield value


def _page(member: Callable[..., Any], *, alone: bool) -> str:
    """Return the text of one class or function."""
    name, signature = member.__name__, _signature(member)
    said = _PARSER.parse(inspect.getdoc(member) or "")
    parts = [] if alone else [f"## {name}"]
    parts += [said.short_description or "", f"```python\n{signature}\n```"]
    parts.append(_in_mathml(name, _with_whole_rows(said.long_description or "")))
    level = "##" if alone else "###"
    for heading, items in _sections(said.meta):
        parts += [f"{level} {heading}", items]
    module = inspect.getmodule(member)
    path = module.__name__.replace(".", "/") if module else "?"
    parts.append(f"Source: `src/{path}.py`")
    return "\n\n".join(part for part in parts if part) + "\n"


def _signature(member: Callable[..., Any]) -> str:
    """Return how it is called, one argument a line, annotations as they were written."""
    arguments = inspect.signature(member).parameters.values()
    rows = []
    star = False
    for argument in arguments:
        if argument.kind is argument.KEYWORD_ONLY and not star:
            rows.append("    *,")
        star = star or argument.kind in (argument.KEYWORD_ONLY, argument.VAR_POSITIONAL)
        rows.append(f"    {_HOME.sub('', str(argument))},")
    module = inspect.getmodule(member)
    home = f"from {module.__name__ if module else '?'} import {member.__name__}\n\n"
    return home + "\n".join([f"{member.__name__}(", *rows, ")"]) if rows else home + "()"


def _sections(items: list[DocstringMeta]) -> Iterator[tuple[str, str]]:
    arguments = [item for item in items if isinstance(item, DocstringParam)]
    errors = [item for item in items if isinstance(item, DocstringRaises)]
    for heading, members, names in (
        ("Arguments", arguments, [item.arg_name for item in arguments]),
        ("Errors", errors, [str(item.type_name) for item in errors]),
    ):
        rows = [
            f"- `{name}`: {_one_line(item.description)}"
            for name, item in zip(names, members, strict=True)
        ]
        if rows:
            yield heading, "\n".join(rows)
    for item in items:
        text = item.description or ""
        if item.args[0] == "examples":
            yield "Example", f"```pycon\n{text}\n```"
        elif item.args[0] == "returns":
            yield "Returns", _one_line(text)
        elif item.args[0] == "reference":
            yield "Reference", re.sub(r"(https?://[^\s,;]+?)(?=[.,;]?(\s|$))", r"<\1>", text)


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _with_whole_rows(text: str) -> str:
    """Join a table's row with the one below it that has no first cell: it goes on there."""
    rows: list[str] = []
    for line in text.splitlines():
        first, *cells = line.strip().strip("|").split("|")
        if line.startswith("|") and not first.strip() and rows:
            above = rows.pop().strip().strip("|").split("|")
            pairs = zip(above, [first, *cells], strict=True)
            rows.append(f"|{'|'.join(f'{a.rstrip()} {b.strip()}' for a, b in pairs)}|")
        else:
            rows.append(line)
    return "\n".join(rows)


def _in_mathml(name: str, text: str) -> str:
    """Return the text with its formulas as MathML, which browsers draw without a script."""

    def formula(found: re.Match[str]) -> str:
        whole = " ".join(found[1].split())
        lines = whole.split(r"\qquad")
        if r"\begin" in whole or any(line.count("{") != line.count("}") for line in lines):
            lines = [whole]
        drawn = "".join(convert(line.strip(" ,"), display="block") for line in lines)
        if lost := re.search(r">\\[a-zA-Z]+<", drawn):
            raise OptionError(f"the formula of {name} has {lost[0][1:-1]}, which is not known.")
        return f'\n<div style="overflow-x: auto">{drawn}</div>\n'

    return _FORMULA.sub(formula, text)
