"""A .pt2 file is a zip archive with programs in JSON, and torch executes some of what it finds.

torch.export.load unpickles constants without restriction, falls back to unrestricted unpickling of
the sample inputs, evaluates the text of sizes as Python, imports modules that the description of
the inputs names, and takes any function below `torch` for an operator. So the archive is read here
first, by a list of what may be in it; what torch gets to see is a new archive, made of what was
read.
"""

import ast
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from layerwright.errors import ExportError
from layerwright.exporting.refusals import check_content

_MEMBERS = re.compile(
    r"models/model\.json|data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json)|data/sample_inputs/model\.pt"
    r"|extra/[\w.\-]+|archive_format|archive_version|byteorder|version|\.data/\w+"
)
_TARGETS = re.compile(
    r"torch\.ops\.(aten|prims|quantized_decomposed|higher_order)\.\w+(\.\w+)?"
    r"|torch\.sym_\w+|torch\._sym_\w+|math\.(ceil|floor|trunc)"
    r"|_operator\.(add|sub|mul|mod|neg|pow|floordiv|truediv|and_|or_|not_|eq|ne|lt|le|gt|ge|getitem|pos)"
)
_READS_FILES = re.compile(r"torch\.ops\.aten\.from_file\b")
_PLAIN = re.compile(
    r"[\w .,:;@<>/+\-]*"
)  # no quote, bracket or line break: nothing to break out with
_TREES = {None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"}
_FUNCTIONS = {
    "Integer", "Float", "Rational", "Add", "Mul", "Pow", "Max", "Min", "Mod", "And", "Or",
    "Not", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "Equality", "Unequality", "StrictLessThan",
    "LessThan", "StrictGreaterThan", "GreaterThan", "FloorDiv", "ModularIndexing", "Where",
    "PythonMod", "CleanDiv", "CeilDiv", "CeilToInt", "FloorToInt", "TruncToInt", "RoundToInt",
    "IntTrueDiv", "FloatTrueDiv", "ToFloat", "PowByNatural", "FloatPow", "Abs", "floor", "ceiling",
}  # fmt: skip
_SYMBOL = re.compile(r"[suz]\d+")
_LARGEST_JSON = 512 * 2**20


def vetted_archive(path: Path) -> io.BytesIO:
    """Return a .pt2 file's content as a new archive in which nothing can run code.

    Raises:
        ExportError: the file is damaged, or holds something that could.
    """
    check_content(path)
    try:
        members = dict(_members(path))
        _check_program(path, _json(path, members, "models/model.json"))
        for name in ("data/weights/model_weights_config.json",
                     "data/constants/model_constants_config.json"):  # fmt: skip
            _check_payloads(path, _json(path, members, name))
        _check_sample_inputs(path, members["data/sample_inputs/model.pt"])
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ExportError(
            f"{path} is refused: it is no complete archive of torch.export "
            f"({type(error).__name__}: {error})."
        ) from error
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(f"network/{name}", content)
    result.seek(0)
    return result


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the members by their name below the archive's one folder."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(set(names)) != len(names):
                _refuse(path, "two of its members have one name")
            for item in archive.infolist():
                root, _, name = item.filename.partition("/")
                if "aotinductor" in name or name.endswith((".so", ".dll", ".dylib")):
                    _refuse(path, f"it holds machine code ({name}), which runs when it is loaded")
                if "custom_obj" in name or "opaque_obj" in name:
                    _refuse(path, f"it holds a pickled object ({name}), which can run any code")
                if not _MEMBERS.fullmatch(name) or root != names[0].partition("/")[0]:
                    _refuse(path, f"it holds {item.filename!r}, which torch.export does not write")
                yield name, archive.read(item)
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        raise ExportError(f"{path} is refused: its archive is damaged ({error}).") from error


def _json(path: Path, members: dict[str, bytes], name: str) -> Any:
    if len(members[name]) > _LARGEST_JSON:
        _refuse(path, f"{name} is longer than {_LARGEST_JSON} bytes")
    return json.loads(members[name])


def _check_payloads(path: Path, config: Any) -> None:
    """Weights and constants: plain bytes, under plain names."""
    for name, payload in config["config"].items():
        if payload["use_pickle"] is not False:
            _refuse(path, f"the values of {name!r} are a pickle, which can run any code")
        if not re.fullmatch(r"(weight|tensor)_\d+", payload["path_name"]):
            _refuse(path, f"the values of {name!r} are in {payload['path_name']!r}")
        _check_program(path, {"name": name, **payload})


def _check_sample_inputs(path: Path, content: bytes) -> None:
    if not content:
        return
    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except Exception as error:
        raise ExportError(
            f"{path} is refused: its sample inputs hold more than tensors and plain values, and "
            "loading them could run code."
        ) from error


def _check_program(path: Path, value: Any, key: str = "") -> None:
    """Read every text of a program in JSON by what torch will do with it."""
    if isinstance(value, dict):
        for name, item in value.items():
            if not _PLAIN.fullmatch(name):
                _refuse(path, f"a name in its program is {name[:80]!r}")
            if name == "metadata" and isinstance(item, dict):
                item.pop("source_fn_stack", None)
                item.pop("from_node", None)
                item.pop("stack_trace", None)
                item.pop("custom", None)
            if name == "as_custom_obj" or name.startswith("as_script"):
                _refuse(path, "its program takes an object that is no tensor")
            _check_program(path, item, name)
    elif isinstance(value, list):
        for item in value:
            _check_program(path, item, key)
    elif isinstance(value, str):
        _check_text(path, value, key)


def _check_text(path: Path, text: str, key: str) -> None:
    if key in {"target", "as_operator"}:
        if not _TARGETS.fullmatch(text) or _READS_FILES.match(text):
            _refuse(path, f"its program calls {text[:80]!r}, which is no operator of torch's own")
    elif key == "expr_str":
        try:
            tree = ast.parse(text, mode="eval").body
        except SyntaxError:
            tree = None
        if tree is None or not _is_size(tree):
            _refuse(path, f"a size in its program is {text[:80]!r}, which could run code")
    elif key in {"in_spec", "out_spec", "treespec"}:
        if text:
            _check_tree(path, json.loads(text)[1])
    elif not (_PLAIN.fullmatch(text) or key in {"nn_module_stack", "torch_fn"}):
        _refuse(path, f"a text in its program is {text[:80]!r}")


def _check_tree(path: Path, spec: Any) -> None:
    """How inputs and outputs are nested: in tuples, lists and dicts with plain keys alone."""
    if spec["type"] not in _TREES:
        _refuse(path, f"its inputs or outputs hold {spec['type']!r}")
    context = spec["context"]
    if context is not None:
        keys = json.loads(context) if isinstance(context, str) else context
        for item in keys if isinstance(keys, list) else [keys]:
            if isinstance(item, dict) or (isinstance(item, str) and not _PLAIN.fullmatch(item)):
                _refuse(path, f"its inputs or outputs are described by {str(item)[:80]!r}")
    for child in spec["children_spec"]:
        _check_tree(path, child)


def _is_size(node: ast.AST) -> bool:
    """Tell whether an expression is made of symbols, numbers and the functions of sizes."""
    match node:
        case ast.Constant(value=value):
            known = isinstance(value, int | float | bool)
        case ast.Name(id=name):
            known = name in {"true", "false", "oo", "int_oo"} or bool(_SYMBOL.fullmatch(name))
        case ast.Call(func=ast.Name(id="Symbol"), args=[ast.Constant(value=str(name))]):
            known = name.isidentifier() and all(_is_size(word.value) for word in node.keywords)
        case ast.Call(func=ast.Name(id=name)):
            parts = [*node.args, *(keyword.value for keyword in node.keywords)]
            known = name in _FUNCTIONS and all(map(_is_size, parts))
        case ast.UnaryOp():
            known = _is_size(node.operand)
        case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() | ast.FloorDiv()):
            known = _is_size(node.left) and _is_size(node.right)
        case ast.Compare():
            known = all(map(_is_size, [node.left, *node.comparators]))
        case _:
            known = False
    return known


def _refuse(path: Path, reason: str) -> None:
    raise ExportError(f"{path} is refused: {reason}.")
