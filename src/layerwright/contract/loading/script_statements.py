"""Which statements of a script define something, and which are its work.

The principle: a definition is kept, and so is an assignment whose value can be had without reading,
writing or computing anything of weight. Judged is what a call really calls, looked up in the names
that are bound already, and not how it is spelt.
"""

import ast
import builtins
import re
import symtable
import types
from collections.abc import Iterator, Mapping
from typing import Any

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
IMPORTS = (ast.Import, ast.ImportFrom)
ASSIGNMENTS = (ast.Assign, ast.AnnAssign, ast.AugAssign)
LOOPS = (ast.For, ast.AsyncFor, ast.While)

# Builtins that act on the world; all others may be called.
_ACTING = {"open", "input", "exec", "eval", "print", "exit", "quit", "compile", "breakpoint",
           "__import__", "setattr", "delattr", "help"}  # fmt: skip
# Modules all of whose functions and classes only make values.
_HARMLESS = {
    "abc", "argparse", "cmath", "collections", "collections.abc", "_collections", "contextlib",
    "copy", "dataclasses", "datetime", "decimal", "enum", "fractions", "functools", "_functools",
    "genericpath", "itertools", "math", "numbers", "ntpath", "operator", "_operator", "platform",
    "posixpath", "re", "statistics", "string", "types", "typing", "typing_extensions", "uuid",
    "_collections_abc",
}  # fmt: skip
# Single functions and classes of modules that can do more.
_SINGLE = {
    ("logging", "getLogger"), ("os", "getenv"), ("os", "getcwd"), ("posix", "getcwd"),
    ("os", "cpu_count"), ("posix", "cpu_count"), ("os", "fspath"), ("posix", "fspath"),
    ("torch", "device"), ("torch", "finfo"), ("torch", "iinfo"), ("torch", "Size"),
    ("torch.cuda", "is_available"), ("torch.cuda", "device_count"),
    ("torch.backends.mps", "is_available"), ("numpy", "array"), ("numpy", "asarray"),
}  # fmt: skip
_PATH_READING = {"cwd", "home", "resolve", "absolute", "expanduser", "exists", "is_file", "is_dir"}
# Of torch, these read, write, draw from the global generators or change the process.
_TORCH_ACTING = (
    "torch.hub", "torch.serialization", "torch.utils", "torch.distributed", "torch.random",
    "torch.multiprocessing", "torch.cuda", "torch.onnx", "torch.export",
)  # fmt: skip
_COMPREHENSIONS = {"listcomp", "setcomp", "dictcomp", "genexpr"}


def is_main_guard(node: ast.stmt) -> bool:
    """Tell whether a statement is `if __name__ == "__main__":`."""
    if not isinstance(node, ast.If) or not isinstance(node.test, ast.Compare):
        return False
    sides = [node.test.left, *node.test.comparators]
    return any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides)


def is_text(node: ast.stmt) -> bool:
    """Tell whether a statement says nothing: a docstring, `...` or `pass`."""
    return isinstance(node, ast.Pass) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )


def has_loop(node: ast.AST) -> bool:
    """Tell whether a statement loops, outside of functions and classes."""
    if isinstance(node, LOOPS):
        return True
    return not isinstance(node, DEFINITIONS) and any(
        has_loop(child) for child in ast.iter_child_nodes(node)
    )


def only_defines(node: ast.stmt) -> bool:
    """Tell whether a block such as `try: import x` does nothing but import and define."""
    if isinstance(node, (*IMPORTS, *DEFINITIONS)) or is_text(node):
        return True
    if isinstance(node, ast.Assign | ast.AnnAssign):
        acting = ast.Call | ast.Await
        stored = [part for part in ast.walk(node) if isinstance(getattr(part, "ctx", 0), ast.Store)]
        return all(isinstance(part, ast.Name | ast.Tuple) for part in stored) and not any(
            isinstance(part, acting) for part in ast.walk(node)
        )
    if isinstance(node, ast.Try):
        inner = [*node.body, *node.orelse, *node.finalbody]
        handlers = [part for handler in node.handlers for part in handler.body]
        return all(map(only_defines, inner)) and not any(map(has_loop, handlers))
    if isinstance(node, ast.If | ast.With):
        return all(map(only_defines, [*node.body, *getattr(node, "orelse", [])]))
    return False


class Names:
    """The names of a module that a statement binds, and those that it needs.

    Attributes:
        bound: names that it binds.
        changed: names whose content it changes, as in `table["a"] = 1`.
        early: names that must be bound when it runs.
        late: names that the bodies of its functions use.
    """

    def __init__(self, node: ast.stmt, *, annotations: bool = True) -> None:
        future = "" if annotations else "from __future__ import annotations\n"
        table = symtable.symtable(future + ast.unparse(node), "<statement>", "exec")
        self.early: set[str] = set()
        self.late: set[str] = set()
        self._collect(table, self.early)
        self.bound = {
            item.get_name()
            for item in table.get_symbols()
            if item.is_assigned() or item.is_imported()
        } - {"annotations"}
        self.changed = {
            target.id
            for part in ast.walk(node)
            if isinstance(part, ast.Subscript | ast.Attribute) and isinstance(part.ctx, ast.Store)
            for target in [_root(part)]
            if isinstance(target, ast.Name)
        }

    def _collect(self, table: symtable.SymbolTable, names: set[str]) -> None:
        top = table.get_type() == "module"
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (top or symbol.is_global()):
                names.add(symbol.get_name())
        for child in table.get_children():
            now = child.get_type() == "class" or child.get_name() in _COMPREHENSIONS
            self._collect(child, names if now else self.late)


def _root(node: ast.expr) -> ast.expr:
    while isinstance(node, ast.Subscript | ast.Attribute | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node


class Judge:
    """Tells why a statement is work; what calls call is looked up in `namespace`.

    Args:
        namespace: the names that are bound so far.
        missing: the type of what stands for names that could not be bound.
    """

    def __init__(self, namespace: Mapping[str, Any], missing: type) -> None:
        self.namespace, self.missing = namespace, missing

    def why_work(self, node: ast.stmt, *, builds: bool = False) -> str | None:
        """Return why a statement is left out; None if it may run.

        Args:
            node: an assignment or an expression.
            builds: allow what builds tensors and modules of torch.
        """
        if isinstance(node, ast.Expr):
            return self._why_no_set_up(node.value)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            root = _root(target) if isinstance(target, ast.expr) else None
            if root is target or not isinstance(root, ast.Name):
                continue
            if isinstance(self.namespace.get(root.id), types.ModuleType):
                return "it changes another module"
        value = getattr(node, "value", None)
        return None if value is None else self.why_costly(value, builds=builds)

    def why_costly(self, node: ast.expr, *, builds: bool = False) -> str | None:
        """Return why the value of an expression is not to be had for nothing; None if it is."""
        inner = {
            name.id
            for part in ast.walk(node)
            if isinstance(part, ast.comprehension)
            for name in ast.walk(part.target)
            if isinstance(name, ast.Name)
        }
        for part in _evaluated(node):
            if isinstance(part, ast.Await | ast.Yield | ast.YieldFrom):
                return "it waits for something"
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load):
                known = part.id in self.namespace or part.id in inner or hasattr(builtins, part.id)
                if not known:
                    return f"it needs {part.id!r}, which is not bound"
                if isinstance(self.namespace.get(part.id), self.missing):
                    return f"it needs {part.id!r}, which was left out"
            if isinstance(part, ast.Call) and not self._harmless(part.func, builds=builds):
                return f"it calls {ast.unparse(part.func)}"
        return None

    def _harmless(self, function: ast.expr, *, builds: bool) -> bool:
        found = self._looked_up(function)
        if found is None:
            return False
        owner = _home(found)
        name = getattr(found, "__name__", "")
        if owner == "builtins":
            return name not in _ACTING
        if owner.split(".")[0] == "pathlib":
            return isinstance(found, type) or _of_pure_path(found) or name in _PATH_READING
        if owner in _HARMLESS or (owner, name) in _SINGLE:
            return True
        if owner.split(".")[0] != "torch" or owner.startswith(_TORCH_ACTING):
            return False
        return builds and not name.startswith(("set_", "compile", "load", "save"))

    def _looked_up(self, function: ast.expr) -> Any:
        """Return what a call calls, without running anything but harmless expressions."""
        if isinstance(function, ast.Name):
            return self.namespace.get(function.id, getattr(builtins, function.id, None))
        if not isinstance(function, ast.Attribute) or self.why_costly(function.value) is not None:
            return None
        try:
            code = compile(ast.Expression(function.value), "<callee>", "eval")
            owner = eval(code, dict(self.namespace))  # noqa: S307 - the user's own, judged harmless
        except Exception:  # noqa: BLE001 - comprehension variables, wrong code: it is not looked up
            return None
        if isinstance(owner, types.ModuleType | type):
            return getattr(owner, function.attr, None)
        return getattr(type(owner), function.attr, None)

    def _why_no_set_up(self, node: ast.expr) -> str | None:
        """Allow `sys.path.insert`, `table.append`, `parser.add_argument` and registrations."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            found = self._looked_up(node.func)
            home = _home(found) if found is not None else ""
            kept = home == "builtins" and isinstance(found, types.MethodDescriptorType)
            if kept or home == "argparse" or re.match(r"torch\._?library\b", home):
                values = [*node.args, *(keyword.value for keyword in node.keywords)]
                return next(filter(None, map(self.why_costly, values)), None)
        return "it does something and defines nothing"


def _evaluated(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of an expression that are evaluated with it: no bodies of lambdas."""
    yield node
    children = node.args.defaults if isinstance(node, ast.Lambda) else ast.iter_child_nodes(node)
    for child in children:
        yield from _evaluated(child)


def _home(function: Any) -> str:
    """Return the module that a function, class or method comes from."""
    module = getattr(function, "__module__", None)
    owner = getattr(function, "__objclass__", None) or getattr(function, "__self__", None)
    if not isinstance(module, str) and owner is not None:
        if isinstance(owner, types.ModuleType):
            return owner.__name__
        module = (owner if isinstance(owner, type) else type(owner)).__module__
    return module if isinstance(module, str) else ""


def _of_pure_path(function: Any) -> bool:
    qualified = getattr(function, "__qualname__", "")
    return qualified.startswith(("PurePath.", "PurePosixPath.", "PureWindowsPath."))
