"""Patterns such as "features.*" that choose parameters and buffers by their names."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from layerwright.errors import OptionError
from layerwright.names import nearest


def matches(name: str, pattern: str) -> bool:
    """Whether a pattern means a name: as in a shell, or the module that the name lies below.

    "features.*", "features" and "*.0.weight" all mean "features.0.weight".
    """
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def chosen_by(
    option: str, patterns: Sequence[str], names: Sequence[str], kind: str = "parameters"
) -> dict[str, str]:
    """Return the names that patterns choose, each with the last pattern that does.

    Args:
        option: what the patterns were given as, for the message.
        patterns: at least one name for each.
        names: all that there are, in the order of the result.
        kind: what they are the names of, for the message.

    Raises:
        OptionError: a pattern matches nothing; the message has the nearest one that does.
    """
    for pattern in patterns:
        if not any(matches(name, pattern) for name in names):
            parts = [name.split(".") for name in names]
            places = {
                ".".join(part[:end]): None for part in parts for end in range(1, len(part) + 1)
            }
            near = nearest(pattern.rstrip(".*"), places)
            known = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
            hint = f" Did you mean {near!r}?" if near else ""
            raise OptionError(
                f"{option} expected patterns of names of {kind}, received {pattern!r}, which "
                f"matches none.{hint} Known: {known}."
            )
    chosen = {}
    for name in names:
        for pattern in patterns:
            if matches(name, pattern):
                chosen[name] = pattern
    return chosen
