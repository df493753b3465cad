"""Answers of an exported file for files of samples; torch is needed for .pt2 alone."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from layerwright.data.input_arrays import Array
from layerwright.errors import ExportError, ShapeError
from layerwright.exporting.opened_file import OpenedFile, open_exported
from layerwright.exporting.preprocessing import fitting, samples_of, tokens_of

BATCH_SIZE = 256


def predict_files(
    exported: Path, files: Sequence[Path], batch_size: int = BATCH_SIZE
) -> list[dict[str, Any]]:
    """Run files through an exported network.

    Args:
        exported: the .onnx or .pt2 file.
        files: images, arrays or texts, as the run was trained on.
        batch_size: samples per call.

    Returns:
        A row for each sample: `sample` and either `class` and `probability`, or `output`.

    Raises:
        ExportError: the file is refused, or fails on these samples.
        DataError: a sample cannot be read.
        ShapeError: a sample does not fit the network, or not the others.
    """
    opened = open_exported(exported)
    if opened.facts.get("task") == "detection":
        raise ExportError(
            f"{exported} expected to answer with classes or values, and finds objects: their boxes "
            "are computed by the network's own class, which is not in the file. "
            "Fix: predict with the run."
        )
    names, inputs = _inputs(opened, files)
    if len(inputs) != len(opened.input_types):
        raise ShapeError(
            f"{exported} expected {len(opened.input_types)} inputs, and files of samples give "
            f"{len(inputs)}. Fix: call it from Python, with layerwright.exporting.opened_file."
        )
    given = [fitting(*pair) for pair in zip(inputs, opened.input_types, strict=True)]
    outputs = _in_batches(opened, given, batch_size, exported)
    return list(_rows(names, outputs, opened.facts))


def _inputs(opened: OpenedFile, files: Sequence[Path]) -> tuple[list[str], list[Array]]:
    vocabulary = opened.facts.get("vocabulary")
    if vocabulary is not None:
        return list(map(str, files)), tokens_of(files, vocabulary)
    parts = [samples_of(file, opened.facts) for file in files]
    for file, part in zip(files, parts, strict=True):
        if part.shape[1:] != parts[0].shape[1:] or part.ndim == 0:
            raise ShapeError(
                f"predict expected samples of one shape, received {parts[0].shape[1:]} in "
                f"{files[0]} and {part.shape[1:]} in {file}. Fix: predict them apart."
            )
    names = [
        str(file) if len(part) == 1 else f"{file}[{index}]"
        for file, part in zip(files, parts, strict=True)
        for index in range(len(part))
    ]
    return names, [np.concatenate(parts)]


def _in_batches(
    opened: OpenedFile, inputs: Sequence[Array], size: int, exported: Path
) -> list[Array]:
    found = []
    for start in range(0, len(inputs[0]), size):
        try:
            found.append(opened.run([values[start : start + size] for values in inputs]))
        except Exception as error:
            raise ExportError(
                f"{exported} fails on samples of shape {inputs[0].shape[1:]}: "
                f"{str(error).strip()[:300]}"
            ) from error
    arrays = [[np.asarray(output) for output in outputs] for outputs in found]
    return [np.concatenate(parts) for parts in zip(*arrays, strict=True)]


def _rows(
    names: Sequence[str], outputs: Sequence[Array], facts: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    task, known = facts.get("task"), facts.get("class_names")
    chances = _chances(outputs[0], task) if task in {"classification", "binary"} else None
    for place, name in enumerate(names):
        if chances is None:
            values = [output[place].tolist() for output in outputs]
            yield {"sample": name, "output": values[0] if len(values) == 1 else values}
            continue
        best = int(chances[place].argmax())
        label = known[best] if known else str(best)
        yield {"sample": name, "class": label, "probability": float(chances[place][best])}


def _chances(output: Array, task: str | None) -> Array:
    """Return the probability of each class, `(N, C)`."""
    values = output.astype(np.float32)
    if task == "binary":
        logits = values.reshape(len(values))
        chance = np.exp(-np.logaddexp(np.float32(0), -logits))
        return np.stack([1 - chance, chance], axis=1)
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
