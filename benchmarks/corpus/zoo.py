"""The zoo of broken layers and their sound twins, which lives beside the tests."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from layerwright.contract.case import Case

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "contract"))
import zoo_entry

_entry: Any = zoo_entry  # tests are not annotated


def zoo() -> Iterator[tuple[str, Any]]:
    """Yield the name and the module of every file of the zoo."""
    for path in _entry.entries():
        yield _entry.name_of(path), _entry.load(path)


case_of: Callable[[Any, str], Case] = _entry.case_of
