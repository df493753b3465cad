"""IMDB: 50,000 film reviews, half of them positive."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from layerwright.data.cache import cached_tensors
from layerwright.data.parquet_archive import SPLITS, ParquetArchive, Source, open_archive
from layerwright.data.splits import Data
from layerwright.data.text_split import TextSplit
from layerwright.data.token_sequences import TokenSequences
from layerwright.data.vocabulary import FIRST_WORD, Vocabulary
from layerwright.data.vocabulary_file import words_as_tensor, words_from_tensor
from layerwright.data.words import number_words
from layerwright.errors import DataError


@dataclass(frozen=True)
class TextArchive(ParquetArchive):
    """A data set of labelled texts, in a train and a test split.

    Args:
        name: of the data set, and of its folder in a data directory.
        repository: on the Hugging Face hub.
        revision: the full commit hash there.
        config: the configuration there.
        text_column: holds the texts.
        class_names: one for each value of the column "label".
    """

    text_column: str
    class_names: tuple[str, ...]


IMDB = TextArchive(
    name="imdb",
    repository="stanfordnlp/imdb",
    revision="e6281661ce1c48d982bc483cf8a173c1bbeb5d31",
    config="plain_text",
    text_column="text",
    class_names=("negative", "positive"),
)


def load_imdb(data_dir: str | Path | None = None, archive: TextArchive = IMDB) -> Data:
    """Load IMDB: 25,000 reviews to train on and 25,000 to test on, of other films.

    Reviews are split into words once, afterwards they come from the cache. The numbers of words
    are provisional: they cover both splits. `load_data` replaces them by a vocabulary of what is
    trained on.

    Args:
        data_dir: holds `imdb/train.parquet` and `imdb/test.parquet`; None looks at
            LAYERWRIGHT_DATA_DIR and then asks the Hugging Face hub.
        archive: another data set of the same form.

    Raises:
        DataError: files are missing or damaged, or the hub cannot be reached.
        MissingExtraError: the extra "data" is not installed.

    Reference:
        Maas, Daly, Pham, Huang, Ng, Potts (2011), "Learning word vectors for sentiment analysis",
        https://aclanthology.org/P11-1015
    """
    source = open_archive(archive, data_dir, archive.text_column)
    cached = cached_tensors(archive.name, source.identity, lambda: _split_words(archive, source))
    vocabulary = Vocabulary(words_from_tensor(cached.tensors["words"]))
    train, test = (
        TextSplit(
            TokenSequences(cached.tensors[f"{split}_tokens"], cached.tensors[f"{split}_offsets"]),
            cached.tensors[f"{split}_labels"],
            vocabulary,
        )
        for split in SPLITS
    )
    return Data(
        archive.name,
        "classification",
        train,
        test=test,
        num_classes=len(archive.class_names),
        class_names=archive.class_names,
        target_shape=(),
        notes=cached.notes,
    )


def _split_words(archive: TextArchive, source: Source) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    known: dict[str, int] = {}
    for split in SPLITS:
        labels: list[int] = []
        texts = number_words(_texts(archive, source, split, labels), known, first=FIRST_WORD)
        if not labels:
            raise DataError(
                f"the {split} split of {archive.name} expected texts, received none. "
                "Fix: fetch the file again."
            )
        tensors[f"{split}_tokens"], tensors[f"{split}_offsets"] = texts.tokens, texts.offsets
        tensors[f"{split}_labels"] = torch.tensor(labels)
    return {**tensors, "words": words_as_tensor(tuple(known))}


def _texts(archive: TextArchive, source: Source, split: str, labels: list[int]) -> Iterator[str]:
    """Yield the texts of a split, and append their labels."""
    for text, label, place in source.rows(split):
        if not isinstance(text, str) or label not in range(len(archive.class_names)):
            raise DataError(
                f"{place} expected a text and a label below {len(archive.class_names)}, received "
                f"{type(text).__name__} and {label}. Fix: use the files of {archive.name}."
            )
        labels.append(label)
        yield text
