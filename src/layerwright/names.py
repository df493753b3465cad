"""Names: look a built-in one up, find the nearest, read the one of a user's own object."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import partial
from typing import Any, TypeVar

from layerwright.errors import OptionError

T = TypeVar("T")


def look_up(kind: str, name: str, known: Mapping[str, T]) -> T:
    """Return what `known` holds under `name`.

    Args:
        kind: what the name stands for, such as "optimizer"; the message begins with it.
        name: the name to look up, spelt exactly.
        known: the built-in names and what they mean.

    Raises:
        OptionError: `known` has no such name; the message holds the nearest name and all names.
    """
    if isinstance(name, str) and name in known:
        return known[name]
    near = nearest(name, known)
    hint = f" Did you mean {near!r}?" if near else ""
    raise OptionError(f"unknown {kind} {name!r}.{hint} Known: {', '.join(sorted(known))}.")


def nearest(name: object, known: Mapping[str, object]) -> str | None:
    """Return the known name that `name` was probably meant to be; case and `_` do not count."""
    plain = {candidate.lower().replace("_", "-"): candidate for candidate in known}
    matches = get_close_matches(str(name).lower().replace("_", "-"), plain, n=1)
    return plain[matches[0]] if matches else None


def name_of(spec: Any) -> str:
    """Return a callable's name as it stands in the user's code."""
    if isinstance(spec, partial):
        return name_of(spec.func)
    name = getattr(spec, "__name__", None)
    return name if isinstance(name, str) else type(spec).__name__
