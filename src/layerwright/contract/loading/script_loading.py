"""Loads a script statement by statement: definitions and what they need, or all of it."""

import __future__

import ast
import re
import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import NamedTuple

from layerwright.contract.loading.missing_name import Missing
from layerwright.contract.loading.script_statements import (
    ASSIGNMENTS,
    DEFINITIONS,
    IMPORTS,
    Definition,
    Judge,
    Names,
    has_loop,
    is_main_guard,
    is_text,
    only_defines,
)
from layerwright.errors import TargetError
from layerwright.targets import failure_in_words

_ANNOTATIONS = __future__.annotations.compiler_flag


class LeftOut(NamedTuple):
    """A statement that was not run."""

    line: int
    text: str
    reason: str


class ImportFailure(NamedTuple):
    """An import that failed."""

    module: str
    line: int
    error: str


@dataclass(frozen=True)
class Script:
    """A file whose definitions were loaded.

    Attributes:
        module: holds the definitions; a name that could not be bound holds a `Missing`.
        left_out: the statements that did not run, definitions that failed among them.
        import_failures: the imports that failed.
    """

    module: ModuleType
    left_out: tuple[LeftOut, ...] = ()
    import_failures: tuple[ImportFailure, ...] = ()


@dataclass
class _Left:
    node: ast.stmt
    names: Names
    reason: str
    done: bool = False


class Loading:
    """The loading of one file, statement by statement."""

    def __init__(self, path: Path, source: bytes, module: ModuleType) -> None:
        self.path, self.module = str(path), module
        self.lines = re.split(r"\r\n|\r|\n", source.decode(errors="replace"))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SyntaxWarning)
                self.tree = ast.parse(source, self.path)
                compile(self.tree, self.path, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            raise TargetError(failure_in_words(self.path, error)) from error
        self.flags = 0
        for node in self.tree.body:
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                for alias in node.names:
                    self.flags |= getattr(__future__, alias.name).compiler_flag
        module.__doc__ = ast.get_docstring(self.tree, clean=False)
        self.judge = Judge(vars(module), Missing)
        self.left: list[_Left] = []
        self.failures: list[ImportFailure] = []
        self.uses: dict[str, set[str]] = {}  # by definition, the names that its functions use
        self.classes: set[str] = set()

    def run_all(self) -> Script:
        """Run the file as `python file.py` does."""
        for node in self.tree.body:
            if is_main_guard(node) and isinstance(node, ast.If):
                node.test = ast.copy_location(ast.Constant(True), node.test)
            try:
                self._execute(node)
            except (Exception, SystemExit) as error:
                raise TargetError(failure_in_words(self.path, error)) from error
        return Script(self.module)

    def load(self, wanted: Iterable[str]) -> Script:
        """Run the definitions and what they need."""
        for node in self.tree.body:
            self._visit(node)
        self._supply(set(wanted))
        self._supply(self._used_by({*self.classes, *wanted}), builds_only=True)
        for left in self.left:
            if not left.done:
                for name in left.names.bound - vars(self.module).keys():
                    self._miss(
                        name,
                        f"it is set by line {left.node.lineno}, which was left out: {left.reason}",
                    )
        left_out = [
            LeftOut(left.node.lineno, self.lines[left.node.lineno - 1].strip(), left.reason)
            for left in self.left
            if not left.done
        ]
        return Script(self.module, tuple(left_out), tuple(self.failures))

    def _visit(self, node: ast.stmt) -> None:
        if is_text(node):
            return
        if isinstance(node, IMPORTS):
            self._import(node)
        elif isinstance(node, DEFINITIONS):
            self._define(node)
        elif is_main_guard(node):
            self._leave(node, "it is the main block")
        elif isinstance(node, ast.If):
            self._choose(node)
        elif (isinstance(node, ast.Try | ast.With) and only_defines(node)) or (
            isinstance(node, getattr(ast, "TypeAlias", ()))  # since Python 3.12
        ):
            self._attempt(node)
        elif isinstance(node, (*ASSIGNMENTS, ast.Expr)):
            reason = self.judge.why_work(node)
            if reason is None:
                self._attempt(node)
            else:
                self._leave(node, reason)
        else:
            self._leave(node, "it loops" if has_loop(node) else "it does something")

    def _choose(self, node: ast.If) -> None:
        """Go into the branch of a condition that is cheap to tell."""
        reason = self.judge.why_costly(node.test)
        if reason is None:
            try:
                code = compile(ast.Expression(node.test), self.path, "eval", self.flags)
                branch = node.body if eval(code, vars(self.module)) else node.orelse  # noqa: S307
            except Exception as error:  # noqa: BLE001 - the user's own code
                reason = f"{type(error).__name__}: {error}"
            else:
                for inner in branch:
                    self._visit(inner)
                return
        self._leave(node, reason)

    def _import(self, node: ast.stmt) -> None:
        try:
            self._execute(node)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - libraries raise what they like
            self._import_failed(node, error)

    def _import_failed(self, node: ast.stmt, error: BaseException) -> None:
        """Record a failed import, once, and bind what it should have bound."""
        written = getattr(node, "module", None) or (
            node.names[0].name if isinstance(node, IMPORTS) else ""
        )
        module = (getattr(error, "name", None) or written) if isinstance(error, ImportError) else ""
        text = f"{type(error).__name__}: {error}"
        level = getattr(node, "level", 0)
        if level:
            module = "." * level + written
            text += ". Fix: give the module, such as pkg.mod:Net, not its file"
        line = node.lineno
        if not isinstance(node, IMPORTS):
            line = next((part.lineno for part in ast.walk(node) if isinstance(part, IMPORTS)), line)
        self.failures.append(ImportFailure(module or written, line, text))
        if isinstance(node, ast.ImportFrom) and node.module in sys.modules:
            found = sys.modules[node.module]  # a part of the names may be there
            for alias in node.names:
                if hasattr(found, alias.name):
                    vars(self.module)[alias.asname or alias.name] = getattr(found, alias.name)
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.split(".")[0]
                if alias.asname is None and root in sys.modules:
                    vars(self.module)[root] = sys.modules[root]
        for name in Names(node).bound - vars(self.module).keys():
            self._miss(name, f"its import in line {line} failed: {text}")

    def _define(self, node: Definition) -> None:
        names = Names(node, annotations=not self.flags & _ANNOTATIONS)
        self._supply(names.early)
        self.uses[node.name] = names.late | names.early
        if isinstance(node, ast.ClassDef):
            self.classes.add(node.name)
        try:
            try:
                self._execute(node)
            except (TargetError, NameError):  # perhaps only an annotation needs what is missing
                self._execute(node, _ANNOTATIONS)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's own code
            reason = f"it could not be defined: {_brief(error)}"
            self.left.append(_Left(node, names, reason))
            self._miss(node.name, f"its definition in line {node.lineno} failed: {_brief(error)}")

    def _attempt(self, node: ast.stmt) -> bool:
        """Run a statement that may fail; say whether it worked."""
        names = Names(node, annotations=not self.flags & _ANNOTATIONS)
        for name in names.bound:
            self.uses.setdefault(name, set()).update(names.late)
        try:
            self._execute(node)
        except (ImportError, SystemExit) as error:
            if not any(isinstance(part, IMPORTS) for part in ast.walk(node)):
                self._leave(node, _brief(error))
            else:
                self._import_failed(node, error)
            return False
        except Exception as error:  # noqa: BLE001 - the user's own code
            self._leave(node, _brief(error))
            return False
        return True

    def _leave(self, node: ast.stmt, reason: str) -> None:
        names = Names(node, annotations=not self.flags & _ANNOTATIONS)
        self.left.append(_Left(node, names, reason))

    def _supply(self, names: set[str], *, builds_only: bool = False) -> None:
        """Run what was left out and binds or changes one of these names, in order."""
        for left in list(self.left):
            if left.done or not (left.names.bound | left.names.changed) & names:
                continue
            if has_loop(left.node) or isinstance(left.node, (*DEFINITIONS, ast.Expr)):
                continue
            if is_main_guard(left.node):
                continue
            left.done = True  # before what it needs, which may be itself
            self._supply(left.names.early, builds_only=builds_only)
            left.done = False
            if builds_only:
                buildable = isinstance(left.node, ASSIGNMENTS)
                if not buildable or self.judge.why_work(left.node, builds=True) is not None:
                    continue
            try:
                self._execute(left.node)
                left.done = True
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's own code
                left.reason = _brief(error)

    def _used_by(self, names: set[str]) -> set[str]:
        """Return the names that definitions use, and the functions that they use, and so on."""
        reached, new = set(names), set(names)
        while new:
            new = set().union(*(self.uses.get(name, set()) for name in new)) - reached
            reached |= new
        return reached

    def _miss(self, name: str, why: str) -> None:
        known = vars(self.module).get(name)
        if known is None or isinstance(known, Missing):
            place = Path(self.path).name
            vars(self.module)[name] = Missing(f"{name} of {place} is not there: {why.rstrip('.')}.")

    def _execute(self, node: ast.stmt, flags: int = 0) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            code: CodeType = compile(
                ast.Module([node], []), self.path, "exec", self.flags | flags, dont_inherit=True
            )
        exec(code, vars(self.module))  # noqa: S102 - running the user's file is what was asked for


def _brief(error: BaseException) -> str:
    text = str(error).strip().split("\n", maxsplit=1)[0]
    return text if isinstance(error, TargetError) else f"{type(error).__name__}: {text}"
