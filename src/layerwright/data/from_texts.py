"""A user's own texts: in memory, or a folder with one subfolder of .txt files for each class."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from layerwright.data.class_folders import class_folders, split_folders
from layerwright.data.facts import Facts
from layerwright.data.from_tensors import split_from_tensors
from layerwright.data.image_folder import SUFFIXES as IMAGE_SUFFIXES
from layerwright.data.input_arrays import read_text
from layerwright.data.text_split import TextSplit
from layerwright.data.vocabulary import FIRST_WORD, Vocabulary
from layerwright.data.words import number_words
from layerwright.errors import DataError

SUFFIX = ".txt"


def are_texts(value: Any) -> bool:
    """Tell texts from other inputs: a list or tuple of str, with at least one."""
    return (
        isinstance(value, list | tuple)
        and len(value) > 0
        and all(isinstance(item, str) for item in value)
    )


def split_from_texts(texts: Sequence[str], targets: Any) -> tuple[TextSplit, Facts]:
    """Make a split of texts. The numbers of words are provisional, as those of `load_imdb`.

    Args:
        texts: any number of texts; one may be empty.
        targets: as `split_from_tensors` takes them.

    Raises:
        DataError: there is not one target for each text, or targets are not numbers.
    """
    with_targets, facts = split_from_tensors(torch.zeros(len(texts)), targets)
    known: dict[str, int] = {}
    tokens = number_words(texts, known, first=FIRST_WORD)
    split = TextSplit(tokens, with_targets.targets, Vocabulary(tuple(known)))
    return split, replace(facts, input_shape=None)


def is_text_folder(root: Path) -> bool:
    """Tell a folder of texts from one of images, which may hold notes: .txt files and no images."""
    classes = [child for child in split_folders(root)["train"].iterdir() if child.is_dir()]
    found = {path.suffix.lower() for folder in classes for path in folder.rglob("*")}
    return SUFFIX in found and found.isdisjoint(IMAGE_SUFFIXES)


def splits_from_text_folder(root: Path) -> dict[str, tuple[TextSplit, Facts]]:
    """Make splits of a folder, of its train, validation and test subfolders where it has them.

    Args:
        root: holds one subfolder of .txt files (UTF-8) for each class, or `train`, `val` and
            `test` that do.

    Raises:
        DataError: texts are missing or damaged, or splits have different classes.
    """
    roots = split_folders(root)
    classes = tuple(folder.name for folder in class_folders(roots["train"], "texts"))
    return {split: _labelled(folder, classes) for split, folder in roots.items()}


def _labelled(root: Path, classes: tuple[str, ...]) -> tuple[TextSplit, Facts]:
    texts: list[str] = []
    labels: list[int] = []
    for folder in class_folders(root, "texts"):
        if folder.name not in classes:
            raise DataError(
                f"{root} expected the classes {', '.join(classes)}, received a folder "
                f"{folder.name!r}. Fix: give every split the same classes."
            )
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() == SUFFIX)
        if not files:
            raise DataError(
                f"the class folder {folder} expected texts ({SUFFIX}), received none. "
                "Fix: add texts or remove the folder."
            )
        texts += [read_text(path) for path in files]
        labels += [classes.index(folder.name)] * len(files)
    split, facts = split_from_texts(texts, labels)
    return split, replace(facts, num_classes=len(classes), class_names=classes)
