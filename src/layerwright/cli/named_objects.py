"""What a person named with "file.py:name", where a built-in name would stand too."""

import inspect
from typing import Any

from layerwright.errors import OptionError


def named_object(text: str) -> Any:
    """Load "file.py:name" or "pkg.mod:name"; leave a built-in name as it is.

    Raises:
        TargetError: the file, module or name does not exist, or importing it failed.
    """
    from layerwright.targets import is_object_spec, load_object

    return load_object(text) if is_object_spec(text) else text


def named_data(text: str) -> Any:
    """Load data that a person named; a class or function is called for it, without arguments.

    Raises:
        OptionError: the class or function needs arguments.
        TargetError: the file, module or name does not exist, or importing it failed.
    """
    found = named_object(text)
    if not callable(found) or (hasattr(found, "__getitem__") and not inspect.isclass(found)):
        return found
    if needed := required_arguments(found):
        raise OptionError(
            f"{text} expected data, or a function without arguments that returns it; it needs "
            f"{', '.join(needed)}. Fix: write a function that calls it."
        )
    return found()


def required_arguments(maker: Any) -> list[str]:
    """Name the arguments without which a class or function cannot be called."""
    optional = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    return [
        name
        for name, item in inspect.signature(maker).parameters.items()
        if item.default is item.empty and item.kind not in optional
    ]
