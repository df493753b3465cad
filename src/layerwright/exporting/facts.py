"""What travels inside an exported file: how to feed the network and how to read its answers.

Torch is not needed: a file's facts are read where only onnxruntime is installed.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from layerwright.errors import ExportError

KEY = "layerwright"  # of the metadata in ONNX and safetensors
EXTRA_FILE = "layerwright.json"  # of the extra files in a .pt2
_FORMAT = 1
_TASKS = ("classification", "binary", "regression", "detection", None)


def as_text(facts: Mapping[str, Any]) -> str:
    """Return facts as one line of JSON."""
    return json.dumps({"format": _FORMAT, **facts}, sort_keys=True, ensure_ascii=False)


def from_text(text: str | None, path: Path) -> dict[str, Any]:
    """Read what `as_text` wrote; a file without facts, which others made, has none.

    Raises:
        ExportError: the facts are damaged, or of a later version.
    """
    if text is None:
        return {}
    try:
        facts = json.loads(text)
        form = facts.pop("format")
        ok = form != _FORMAT or _is_sound(facts)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ExportError(
            f"{path} expected facts of its network as JSON, and they are damaged. "
            "Fix: export it again."
        ) from error
    if form != _FORMAT:
        raise ExportError(
            f"{path} expected facts of format {_FORMAT}, received {form!r}. "
            "Fix: use the version of layerwright that wrote it."
        )
    if not ok:
        raise ExportError(
            f"{path} expected facts of its network, received values of another kind. "
            "Fix: export it again."
        )
    return dict(facts)


def _is_sound(facts: Mapping[str, Any]) -> bool:
    """Look at the values that `predict` computes with."""
    names, shape = facts.get("class_names"), facts.get("input_shape")
    normalization, vocabulary = facts.get("normalization"), facts.get("vocabulary")
    return (
        facts.get("task") in _TASKS
        and (names is None or _all_of(names, str))
        and (shape is None or (_all_of(shape, int) and all(size > 0 for size in shape)))
        and (
            normalization is None
            or (
                _all_of(normalization["mean"], float | int)
                and _all_of(normalization["std"], float | int)
                and isinstance(normalization["scale"], float | int)
            )
        )
        and (
            vocabulary is None
            or (
                _all_of(vocabulary["words"], str)
                and all(_all_of(keys, int) for keys in vocabulary["keys"])
                and isinstance(vocabulary["max_length"], int | None)
            )
        )
    )


def _all_of(values: Any, kind: Any) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, kind) and not isinstance(value, bool) for value in values
    )
