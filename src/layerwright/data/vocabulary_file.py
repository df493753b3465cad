"""A vocabulary as a file beside a run: numbers and text only, nothing that could be executed."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from layerwright.data.vocabulary import Vocabulary
from layerwright.errors import DataError

FILE_NAME = "vocabulary.safetensors"
_VERSION = 1


def save_vocabulary(vocabulary: Vocabulary, folder: Path) -> None:
    """Write `vocabulary.safetensors` into a folder.

    Raises:
        OSError: it cannot be written.
    """
    tensors = {"words": words_as_tensor(vocabulary.words)}
    tensors |= {f"keys_{n}": keys for n, keys in enumerate(vocabulary.keys, 2)}
    header = {"version": str(_VERSION), "max_length": json.dumps(vocabulary.max_length)}
    aside = folder / f"{FILE_NAME}.tmp"
    aside.write_bytes(save(tensors, header))
    aside.replace(folder / FILE_NAME)


def load_vocabulary(folder: Path) -> Vocabulary:
    """Read `vocabulary.safetensors` from a folder.

    Raises:
        DataError: the file is missing or damaged.
    """
    path = folder / FILE_NAME
    try:
        content = path.read_bytes()
        tensors = load(content)
        size = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + size])["__metadata__"]
        keys = tuple(tensors[f"keys_{n}"] for n in range(2, len(tensors) + 1))
        words = words_from_tensor(tensors["words"])
        return Vocabulary(words, keys, json.loads(header["max_length"]))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} expected the vocabulary of a run, received damaged or no content "
            f"({error}). Fix: train again, or copy the file from the original run."
        ) from error


def words_as_tensor(words: tuple[str, ...]) -> Tensor:
    """Return words, none of which holds a line break, as bytes of UTF-8: uint8, shape `(B,)`."""
    content = bytearray("\n".join(words).encode())
    return torch.frombuffer(content, dtype=torch.uint8) if content else torch.empty(0).byte()


def words_from_tensor(content: Tensor) -> tuple[str, ...]:
    """Return the words that `words_as_tensor` was given."""
    text = content.numpy().tobytes().decode()
    return tuple(text.split("\n")) if text else ()
