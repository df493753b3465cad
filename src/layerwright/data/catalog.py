"""From whatever a user calls data to `Data`."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from layerwright.data.batch_parts import describe
from layerwright.data.cifar10 import load_cifar10
from layerwright.data.diabetes import load_diabetes
from layerwright.data.digits import load_digits
from layerwright.data.expressions import load_expressions
from layerwright.data.facts import Facts
from layerwright.data.from_dataset import holds_batches, split_from_dataset
from layerwright.data.from_loader import split_from_loader
from layerwright.data.from_stream import split_from_stream
from layerwright.data.from_tensors import split_from_tensors
from layerwright.data.from_texts import (
    are_texts,
    is_text_folder,
    split_from_texts,
    splits_from_text_folder,
)
from layerwright.data.image_folder import splits_from_folder
from layerwright.data.imdb import load_imdb
from layerwright.data.mnist import load_mnist
from layerwright.data.partition import carve_validation, limited
from layerwright.data.scenes import load_scenes
from layerwright.data.splits import Batching, Data, DatasetSplit, Split, StreamSplit
from layerwright.data.text_split import TextSplit
from layerwright.data.vocabulary import TextOptions, Vocabulary, build_vocabulary
from layerwright.errors import DataError, OptionError


@dataclass(frozen=True)
class BuiltIn:
    """A built-in data set.

    Args:
        summary: one line for people who choose.
        load: takes the data directory, or None, and returns train and test split.
    """

    summary: str
    load: Callable[[str | Path | None], Data]


DATASETS: dict[str, BuiltIn] = {
    "digits": BuiltIn(
        "1,797 handwritten digits, 8x8, in the package", lambda _data_dir: load_digits()
    ),
    "mnist": BuiltIn("70,000 handwritten digits, 28x28", load_mnist),
    "cifar10": BuiltIn("60,000 photographs of ten kinds, 3x32x32", load_cifar10),
    "imdb": BuiltIn("50,000 film reviews, half of them positive", load_imdb),
    "scenes": BuiltIn(
        "4,000 scenes of one to four digits, 40x40, detection", lambda _data_dir: load_scenes()
    ),
    "expressions": BuiltIn(
        "11,000 expressions on digits, as trees, and their values",
        lambda _data_dir: load_expressions("trees"),
    ),
    "expression-sequences": BuiltIn(
        "the same, as the symbols that write them",
        lambda _data_dir: load_expressions("sequences"),
    ),
    "diabetes": BuiltIn(
        "442 patients, ten measurements, regression", lambda _data_dir: load_diabetes()
    ),
}
_ROLES = ("train", "validation", "test")


def load_data(
    spec: Any,
    *,
    data_dir: str | Path | None = None,
    validation: float = 0.1,
    seed: int = 0,
    limit: int | None = None,
    batch_size: int | None = None,
    image_size: int | None = None,
    text_options: Mapping[str, Any] | None = None,
    vocabulary: Vocabulary | None = None,
) -> Data:
    """Load data and split it.

    | `spec`                          | what it means                                         |
    | ------------------------------- | ----------------------------------------------------- |
    | "digits", "mnist", ...          | a built-in data set, see `DATASETS`                   |
    | another text, or a Path         | a folder with one subfolder of images for each class, |
    |                                 | or of texts (.txt), or with `train`, `val` and `test` |
    |                                 | folders of them                                       |
    | `(inputs, targets)`             | tensors or arrays; `((a, b), targets)` for two inputs |
    | `(texts, targets)`              | a list of str, and a target for each                  |
    | a map-style Dataset             | gives `(input, ..., target)`                          |
    | a DataLoader                    | is rebuilt so that it can be replayed, where possible |
    | a list                          | of batches, in this order, or of samples              |
    | an IterableDataset, an iterator | trains, and cannot be replayed                        |
    | `{"train": ..., "test": ...}`   | any of these for each split, "validation" too         |
    | `Data`                          | is returned as it is                                  |

    Args:
        spec: see the table; a name wins over a folder of that name, `./mnist` is the folder.
        data_dir: folder with local copies of the built-in data sets.
        validation: the share of the training split that is carved off for validation, in [0, 1),
            stratified by class; not where `spec` has a validation split of its own.
        seed: draws that split and `limit`. It is not the seed of a run: left alone, runs with
            different seeds are compared on the same split.
        limit: learn from only this many samples, stratified; validation and test stay whole.
        batch_size: samples per batch, for an IterableDataset that gives samples.
        image_size: for a folder: scale images to this many pixels, cut to the middle square.
        text_options: for texts: the fields of `TextOptions`.
        vocabulary: for texts: what the numbers mean, such as that of a trained network; None
            builds one of the training split, without validation, after `limit`.

    Raises:
        OptionError: an unknown name, or an impossible share or limit.
        DataError: the data is missing, damaged or unsuitable.
        MissingExtraError: the extra "data" is needed.
    """
    if isinstance(spec, Data):
        return spec
    if not 0 <= validation < 1 or (limit is not None and limit < 1):
        raise OptionError(
            f"load_data expected validation in [0, 1) and limit from 1, received "
            f"validation={validation} and limit={limit}."
        )
    if isinstance(spec, str) and spec in DATASETS:
        data = DATASETS[spec].load(data_dir)
    elif isinstance(spec, str | Path):
        folder = _folder(spec)
        texts = is_text_folder(folder)
        data = _assembled(
            folder.name,
            splits_from_text_folder(folder) if texts else splits_from_folder(folder, image_size),
        )
    elif isinstance(spec, Mapping):
        data = _assembled("data", _given_splits(spec, batch_size))
    else:
        data = _assembled("data", {"train": _split(spec, batch_size, shuffles=True)})
    if data.validation is None and validation:
        data = _with_validation(data, validation, seed)
    data = data if limit is None else _with_limit(data, limit, seed)
    return _with_vocabulary(data, text_options, vocabulary)


def _folder(spec: str | Path) -> Path:
    folder = Path(spec).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if isinstance(spec, Path) or "/" in spec or "\\" in spec:
        raise DataError(
            f"data expected a folder of images, received {str(spec)!r}, which is no folder. "
            "Fix: correct the path."
        )
    near = get_close_matches(spec, DATASETS, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else "Fix: choose one of these, or correct it."
    raise OptionError(
        f"data expected {', '.join(DATASETS)} or a folder of images or texts, "
        f"received {spec!r}. {hint}"
    )


def _given_splits(
    spec: Mapping[Any, Any], batch_size: int | None
) -> dict[str, tuple[Split, Facts]]:
    for name in spec:
        if name not in _ROLES:
            near = get_close_matches(str(name), _ROLES, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else "Fix: rename it."
            raise OptionError(f"data expected the splits {', '.join(_ROLES)}, got {name!r}. {hint}")
    if "train" not in spec:
        raise DataError(
            f"data expected a split 'train', received {', '.join(spec) or 'none'}. Fix: add it."
        )
    return {
        name: _split(value, batch_size, shuffles=name == "train")
        for name, value in spec.items()
        if value is not None
    }


def _split(spec: Any, batch_size: int | None, *, shuffles: bool) -> tuple[Split, Facts]:
    """Make one split of whatever it is given as."""
    if isinstance(spec, tuple) and len(spec) == 2:
        return split_from_texts(*spec) if are_texts(spec[0]) else split_from_tensors(*spec)
    if isinstance(spec, DataLoader):
        return split_from_loader(spec, shuffles=shuffles)
    if isinstance(spec, IterableDataset):
        return split_from_stream(spec, batch_size=batch_size)
    if isinstance(spec, list) and spec:
        order_kept = Batching(shuffle=False)
        whole = holds_batches(spec)
        return split_from_dataset(
            spec, prebatched=whole, batching=order_kept if whole else Batching()
        )
    is_plain = isinstance(spec, str | bytes | tuple | Tensor | np.ndarray | Mapping)
    if not is_plain and hasattr(spec, "__getitem__") and hasattr(spec, "__len__"):
        return split_from_dataset(spec)
    if not is_plain and isinstance(spec, Iterable):
        return split_from_stream(spec, batch_size=batch_size)
    raise DataError(
        "data expected a name, a folder, (inputs, targets), a Dataset, a DataLoader or an iterator "
        f"of batches, received {describe(spec)}. Fix: pass one of these."
    )


def _assembled(name: str, splits: Mapping[str, tuple[Split, Facts]]) -> Data:
    """Put splits together and see that they fit each other."""
    facts = splits["train"][1]
    for role, (_, other) in splits.items():
        for what in ("input_shape", "target_shape", "task"):
            ours, theirs = getattr(facts, what), getattr(other, what)
            if None not in (ours, theirs) and ours != theirs:
                raise DataError(
                    f"the {role} split expected {what} {ours} as the train split has it, "
                    f"received {theirs}. Fix: prepare both splits alike."
                )
    counts = [other.num_classes for _, other in splits.values() if other.num_classes is not None]
    reasons = [split.reason for split, _ in splits.values() if isinstance(split, StreamSplit)]
    return Data(
        name,
        facts.task,
        splits["train"][0],
        splits["validation"][0] if "validation" in splits else None,
        splits["test"][0] if "test" in splits else None,
        input_shape=facts.input_shape,
        num_classes=max(counts) if counts else None,
        class_names=facts.class_names,
        unreplayable=reasons[0] if reasons else None,
        target_shape=facts.target_shape,
        notes=tuple(dict.fromkeys(note for _, other in splits.values() for note in other.notes)),
    )


def _with_validation(data: Data, share: float, seed: int) -> Data:
    train = data.train
    if isinstance(train, StreamSplit) or _is_drawn(train):
        note = "No validation split is carved off: the order of the training data is not ours."
        return replace(data, notes=(*data.notes, note))
    rest, carved = carve_validation(train, share, seed)
    if carved is not None and not isinstance(carved, TextSplit):
        carved = replace(carved, batching=replace(carved.batching, shuffle=None, drop_last=None))
    return replace(data, train=rest, validation=carved)


def _with_limit(data: Data, limit: int, seed: int) -> Data:
    train = data.train
    if isinstance(train, StreamSplit) or _is_drawn(train):
        raise DataError(
            f"limit={limit} expected training samples that can be chosen, received "
            f"{type(train).__name__}. Fix: limit the data before it is passed in."
        )
    return replace(data, train=limited(train, limit, seed))


def _with_vocabulary(
    data: Data, options: Mapping[str, Any] | None, vocabulary: Vocabulary | None
) -> Data:
    """Give texts their final numbers; refuse options for texts where there are none."""
    if not isinstance(data.train, TextSplit):
        if options:
            raise OptionError(
                f"text_options expected texts, received {dict(options)!r} for the data "
                f"{data.name!r}. Fix: leave them out."
            )
        return data
    chosen = TextOptions.from_mapping(options or {})
    train = data.train
    if vocabulary is None:
        vocabulary = build_vocabulary(train.texts, train.vocabulary.words, chosen)
    recoded: dict[str, Any] = {
        role: split.recoded(vocabulary)
        for role in _ROLES
        if isinstance(split := getattr(data, role), TextSplit)
    }
    return replace(data, **recoded)


def _is_drawn(split: Split) -> bool:
    return isinstance(split, DatasetSplit) and (split.sampler is not None or split.prebatched)
