"""What a user switches off: comments in the source, and [tool.layerwright] of pyproject.toml."""

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

from layerwright.contract.traits import Traits
from layerwright.errors import OptionError
from layerwright.names import nearest

_COMMENT = re.compile(r"#\s*layerwright:\s*ignore\b\s*(?:\[(?P<ids>[^\]]*)\])?\s*(?P<reason>.*)")
_KEYS = ("select", "ignore", "rules", "traits", "expect-failures")


@dataclass(frozen=True)
class Ignore:
    """One comment `# layerwright: ignore[GRD001, input-mutated] reason`.

    Attributes:
        line: where the comment stands, from 1.
        first: the first line that it speaks for.
        last: the last line that it speaks for.
        rules: ids or names of rules, as they are written.
        reason: what follows the brackets; may be empty.
    """

    line: int
    first: int
    last: int
    rules: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Config:
    """The table [tool.layerwright] of a pyproject.toml.

    Attributes:
        file: the file that was read; None if there is none.
        select: ids, prefixes of ids or names of the rules to run; None means all.
        ignore: the same for the rules to leave out.
        rules: modules that hold rules of the user's own.
        traits: by class, what its layers do on purpose.
        expected_failures: by class, the rule that is known to fail and the reason.
    """

    file: Path | None = None
    select: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    traits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    expected_failures: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def traits_of(self, cls: type) -> dict[str, Any]:
        """Return the traits that the table gives a class; later entries win."""
        return _merged(cls, self.traits)

    def expected_failures_of(self, cls: type) -> dict[str, str]:
        """Return the rules that the table expects to fail on a class, with their reasons."""
        return _merged(cls, self.expected_failures)


@lru_cache(maxsize=64)  # the layers of one file are checked one after the other
def ignores_in(source: str) -> tuple[Ignore, ...]:
    """Read the comments of a Python file.

    A comment in the head of a class (its decorators, the `class` line) speaks for the whole class,
    one on a line of its own above all code for the whole file, any other for its own statement.

    Args:
        source: the text of the file.

    Returns:
        The comments, in order; nothing if the file is no valid Python.
    """
    if _COMMENT.search(source) is None:
        return ()
    try:
        tree = ast.parse(source)
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (SyntaxError, ValueError, tokenize.TokenError):
        return ()
    code = [node for node in tree.body if not _is_docstring(node)]
    code_begins = min(map(_first_line, code), default=len(source) + 1)
    heads = {
        (_first_line(node), max(node.body[0].lineno, node.lineno + 1)): node.end_lineno
        or node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    found = []
    for line, first, last, alone, match in _comments(tokens):
        if alone and line < code_begins:
            reach = (1, len(source))
        else:
            inside = [(head, end) for (head, body), end in heads.items() if head <= line < body]
            reach = max(inside, default=(first, last))
        names = [name.strip() for name in (match["ids"] or "").split(",")]
        rules = tuple(name for name in names if name)
        found.append(Ignore(line, *reach, rules, match["reason"].strip()))
    return tuple(found)


def ignore_for(
    rule_id: str, rule_name: str, lines: Iterable[int | None], ignores: Iterable[Ignore]
) -> Ignore | None:
    """Return the comment that switches a rule's finding off, or None.

    Args:
        rule_id: of the finding.
        rule_name: of the finding.
        lines: the finding's line and the line of the layer's class, in the file of `ignores`.
        ignores: what `ignores_in` read.
    """
    places = [line for line in lines if line is not None]
    for ignore in ignores:
        if {rule_id, rule_name} & set(ignore.rules) and any(
            ignore.first <= line <= ignore.last for line in places
        ):
            return ignore
    return None


def notes_on(ignores: Iterable[Ignore], known: Mapping[str, str], file: str) -> tuple[str, ...]:
    """Say which comments have no effect.

    Args:
        ignores: what `ignores_in` read.
        known: the ids of all rules, and their names.
        file: the file's name, for the text.
    """
    words = dict.fromkeys([*known, *known.values()])
    notes = []
    for ignore in ignores:
        if not ignore.rules:
            notes.append(
                f"{file}:{ignore.line} ignores nothing: it expected rules in brackets, such as "
                "# layerwright: ignore[GRD001]."
            )
        for name in ignore.rules:
            if name not in words:
                near = nearest(name, words)
                hint = f" Did you mean {near!r}?" if near else ""
                notes.append(f"{file}:{ignore.line} ignores {name!r}, which is no rule.{hint}")
    return tuple(notes)


def load_config(folder: str | Path) -> Config:
    """Read the nearest pyproject.toml, in a folder or above it.

    Args:
        folder: where to begin.

    Returns:
        Its table [tool.layerwright]; an empty one if there is no file or no table.

    Raises:
        OptionError: the file is no TOML or cannot be read, or an entry is unknown or does not fit.
    """
    start = Path(folder).resolve()
    file = next(
        (
            place / "pyproject.toml"
            for place in (start, *start.parents)
            if (place / "pyproject.toml").is_file()
        ),
        None,
    )
    if file is None:
        return Config()
    document = _read_toml(file)
    tool = document.get("tool", {})
    table = tool.get("layerwright", {}) if isinstance(tool, dict) else {}
    place = f"[tool.layerwright] of {file}"
    if not isinstance(table, dict):
        raise OptionError(f"{place} expected a table, received {table!r}.")
    for key in table:
        if key not in _KEYS:
            near = nearest(key, dict.fromkeys(_KEYS))
            hint = f"Did you mean {near!r}?" if near else f"Known: {', '.join(_KEYS)}."
            raise OptionError(f"{place} has the unknown key {key!r}. {hint}")
    return Config(
        file=file,
        select=_texts(place, "select", table["select"]) if "select" in table else None,
        ignore=_texts(place, "ignore", table.get("ignore", [])),
        rules=_texts(place, "rules", table.get("rules", [])),
        traits={
            name: _traits(place, name, given)
            for name, given in _tables(place, "traits", table).items()
        },
        expected_failures={
            name: _reasons(place, name, given)
            for name, given in _tables(place, "expect-failures", table).items()
        },
    )


def _comments(
    tokens: Iterable[tokenize.TokenInfo],
) -> Iterator[tuple[int, int, int, bool, re.Match[str]]]:
    """Yield our comments: line, first and last line of the statement, alone on its line, text."""
    pending: list[tuple[int, bool, re.Match[str]]] = []
    begun = 0  # the line that the current statement began at; 0 between statements
    for token in tokens:
        if token.type == tokenize.COMMENT:
            if match := _COMMENT.match(token.string):
                alone = not token.line[: token.start[1]].strip()
                pending.append((token.start[0], alone, match))
        elif token.type == tokenize.NEWLINE or (token.type == tokenize.NL and not begun):
            for line, alone, match in pending:
                yield line, begun or line, token.start[0], alone, match
            pending, begun = [], 0
        elif not begun and token.type not in {tokenize.NL, tokenize.INDENT, tokenize.DEDENT}:
            begun = token.start[0]


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _first_line(node: ast.stmt) -> int:
    return min([node.lineno, *(item.lineno for item in getattr(node, "decorator_list", []))])


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{file} cannot be read: {error}.") from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        end = f"at line {len(text.splitlines())}, the end of the document"
        fault = str(error).replace("at end of document", end)
        raise OptionError(f"{file} expected TOML, received: {fault}.") from error


def _merged(cls: type, entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Join the entries whose pattern fits "pkg.mod:Class" or "Class"."""
    names = (f"{cls.__module__}:{cls.__qualname__}", cls.__qualname__)
    merged: dict[str, Any] = {}
    for pattern, entry in entries.items():
        if any(fnmatchcase(name, pattern) for name in names):
            merged |= entry
    return merged


def _texts(place: str, key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise OptionError(f"{place} expected {key} to be a list of texts, received {value!r}.")
    return tuple(value)


def _tables(place: str, key: str, table: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    value = table.get(key, {})
    if not isinstance(value, dict) or not all(isinstance(item, dict) for item in value.values()):
        raise OptionError(
            f'{place} expected {key} to hold one table a class, such as {key}."Net", '
            f"received {value!r}."
        )
    return value


def _traits(place: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Check the traits of a class; TOML has no None, "none" stands for it."""
    values = {
        key.replace("-", "_"): None if value == "none" else value for key, value in given.items()
    }
    try:
        Traits().with_(values)
    except OptionError as error:
        raise OptionError(f'{place}, traits."{name}": {error}') from error
    return values


def _reasons(place: str, name: str, given: Mapping[str, Any]) -> dict[str, str]:
    for rule, reason in given.items():
        if not isinstance(reason, str) or not reason.strip():
            raise OptionError(
                f'{place}, expect-failures."{name}" expected a reason for {rule}, '
                f"received {reason!r}."
            )
    return dict(given)
