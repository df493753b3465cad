"""What `layerwright check "file.py:Net(3, bias=False)"` names: a place, a name, arguments."""

import ast
import inspect
import re
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from layerwright.contract.case import Case
from layerwright.errors import OptionError

_TARGET = re.compile(
    r"(?P<place>.+?):(?P<name>[A-Za-z_][\w.]*)(?:\((?P<arguments>.*)\))?", re.DOTALL
)


def split_target(target: str) -> tuple[str, str | None, str | None]:
    """Split "file.py:Net(3, bias=False)" into place, name and arguments."""
    match = _TARGET.fullmatch(target)
    if match is None:
        return target, None, None
    return match["place"], match["name"], match["arguments"]


def with_arguments(maker: Any, written: str | None, target: str) -> Any:
    """Return what builds a layer without arguments, from a class or function and its arguments.

    Args:
        maker: a class, a function or a layer that is built already.
        written: the arguments as they stand in the target; None for none.
        target: place and name, for the message.

    Raises:
        OptionError: the arguments are no literals, or not those that the constructor takes.
    """
    args, kwargs = _literals(written)
    if isinstance(maker, nn.Module):
        if args or kwargs:
            raise OptionError(
                f"{target} expected no arguments, because it is a layer already, received "
                f"({written}). Fix: name its class."
            )
        return maker
    try:
        signature = inspect.signature(maker)
    except (TypeError, ValueError):  # written in C: it tells nothing
        return partial(maker, *args, **kwargs) if args or kwargs else maker
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        wanted = ", ".join(
            f"{item.name}=..."
            for item in signature.parameters.values()
            if item.default is item.empty
            and item.kind in {item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD, item.KEYWORD_ONLY}
        )
        raise OptionError(
            f"{target} takes {signature}, received ({written or ''}): {error}. "
            f'Fix: give its arguments: "{target}({wanted})".'
        ) from None
    return partial(maker, *args, **kwargs) if args or kwargs else maker


def case_names(file: Path) -> list[str]:
    """Return the names that a file assigns a `Case` to; building one is no work to be left out."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # loading it says what is wrong
        return []
    return [
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        for target in node.targets
        if isinstance(target, ast.Name)
        and ast.unparse(node.value.func).rpartition(".")[2] == Case.__name__
    ]


def _literals(text: str | None) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Read "3, bias=False" as literals."""
    if not text or not text.strip():
        return (), {}
    try:
        call: Any = ast.parse(f"f({text})", mode="eval").body
        args = tuple(ast.literal_eval(item) for item in call.args)
        kwargs = {str(item.arg): ast.literal_eval(item.value) for item in call.keywords}
    except (AttributeError, SyntaxError, ValueError):  # no call, no Python, no literal
        raise OptionError(
            f"the target's arguments expected literals such as (3, bias=False), received ({text})."
        ) from None
    return args, kwargs
