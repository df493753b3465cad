"""From files to the arrays that an exported network takes, as its run did; torch is not needed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from layerwright.data.input_arrays import (
    Array,
    check_is_file,
    read_array,
    read_pixels,
    read_text,
)
from layerwright.data.word_splitting import split_words
from layerwright.errors import DataError, ShapeError

_FULL_INTENSITY = 255.0  # of a pixel in an image file
_PADDING, _UNKNOWN, _FIRST_WORD = 0, 1, 2  # as in layerwright.data.vocabulary


def samples_of(path: Path, facts: Mapping[str, Any]) -> Array:
    """Read one file as samples that are ready for the network.

    Args:
        path: an image, or a `.npy` or `.npz` array that holds one sample or several.
        facts: of the exported file.

    Returns:
        Normalised samples, `(n, ...)`.

    Raises:
        DataError: the file is missing or cannot be read.
        ShapeError: it does not fit the network.
    """
    check_is_file(path)
    shape = facts.get("input_shape")
    if path.suffix in {".npy", ".npz"}:
        return normalised(read_array(path, shape), facts)
    if shape is None:
        raise ShapeError(
            f"{path} is an image, and the exported file does not say how to scale one. "
            "Fix: export the run instead of a bare network, or give an array file (.npy)."
        )
    return normalised(read_pixels(path, shape), facts, scale=_FULL_INTENSITY)


def normalised(values: Array, facts: Mapping[str, Any], scale: float | None = None) -> Array:
    """Normalise raw integer pixels as in training, to the same bits; leave other values alone.

    Args:
        values: `(n, C, ...)`.
        facts: of the exported file.
        scale: the raw value that means full intensity; None takes the training data's own.
    """
    if values.dtype != np.uint8:
        return values.astype(np.float32) if values.dtype.kind == "f" else values
    pixels = values.astype(np.float32)
    rule = facts.get("normalization")
    if rule is None:
        return pixels
    if scale:
        pixels = pixels * np.float32(rule["scale"] / scale)
    shape = (-1, *[1] * (values.ndim - 2))
    mean = np.asarray(rule["mean"], dtype=np.float64)
    std = np.asarray(rule["std"], dtype=np.float64)
    shift = (mean * rule["scale"]).astype(np.float32).reshape(shape)
    factor = (1.0 / (std * rule["scale"])).astype(np.float32).reshape(shape)
    return (pixels - shift) * factor


def tokens_of(files: Sequence[Path], vocabulary: Mapping[str, Any]) -> list[Array]:
    """Read texts, one from each file, as the tokens and lengths that the network takes.

    Returns:
        Tokens, int64, `(N, L)`, padded with 0, and lengths, int64, `(N,)`.

    Raises:
        DataError: a file is missing, or is no text in UTF-8.
    """
    for file in files:
        check_is_file(file)
    numbers = {word: place for place, word in enumerate(vocabulary["words"], _FIRST_WORD)}
    keys = [np.asarray(level, dtype=np.int64) for level in vocabulary["keys"]]
    rows = []
    for file in files:
        found = [numbers.get(word, _UNKNOWN) for word in split_words(read_text(file))]
        limit = vocabulary["max_length"]
        words = np.asarray(found if limit is None else found[-limit:], dtype=np.int64)
        rows.append(_with_ngrams(words, keys, len(numbers)) if keys else words)
    lengths = np.asarray([len(row) for row in rows], dtype=np.int64)
    tokens = np.full((len(rows), int(lengths.max(initial=0))), _PADDING, dtype=np.int64)
    for place, row in enumerate(rows):
        tokens[place, : len(row)] = row
    return [tokens, lengths]


def fitting(values: Array, name: str) -> Array:
    """Bring values to the dtype that the file's input has, where nothing is lost.

    Raises:
        DataError: whole numbers stand where there should be others, or the other way round.
    """
    wanted = np.dtype(name)
    if values.dtype == wanted:
        return values
    if values.dtype.kind == wanted.kind or (values.dtype.kind in "iu" and wanted.kind in "iu"):
        return values.astype(wanted)
    raise DataError(f"the network expected values of {name}, received {values.dtype}.")


def _with_ngrams(words: Array, keys: list[Array], num_words: int) -> Array:
    """Return the set of the numbers of a text's known words and n-grams, sorted."""
    places = np.where(words >= _FIRST_WORD, words, -1)
    numbers, first = [places], _FIRST_WORD + num_words
    for n, level in enumerate(keys, 2):
        count = max(len(words) - n + 1, 0)
        before, last = places[:count], words[n - 1 :]
        exists = (before >= 0) & (last >= _FIRST_WORD)
        wanted = np.where(exists, before * (num_words + _FIRST_WORD) + last, -1)
        place = np.searchsorted(level, wanted).clip(max=max(len(level) - 1, 0))
        known = exists & (level[place] == wanted) if len(level) else np.zeros(count, dtype=bool)
        places = np.where(known, place, -1)
        numbers.append(np.where(known, place + first, -1))
        first += len(level)
    together = np.unique(np.concatenate(numbers))
    return together[together >= 0]
