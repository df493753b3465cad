"""The vocabulary that a run has to keep to, because weights from elsewhere know it."""

from pathlib import Path
from typing import Any

from layerwright.data.vocabulary import Vocabulary
from layerwright.data.vocabulary_file import load_vocabulary
from layerwright.training.run import Run
from layerwright.training.run_folder import read_config


def known_vocabulary(source: Any) -> Vocabulary | None:
    """Return the vocabulary of another run; None where it learned from no texts.

    Args:
        source: a run folder, a `Run`, a file of weights (which says nothing of words), or None.

    Raises:
        DataError: the run's vocabulary is missing or damaged.
        RunFolderError: the folder's config.json cannot be read.
    """
    if isinstance(source, Run):
        return source.vocabulary
    if source is None or not (Path(source) / "config.json").is_file():
        return None
    facts = read_config(Path(source))["data"]
    return load_vocabulary(Path(source)) if facts.get("vocabulary_size") else None
