"""What a training run leaves in the hands of its caller."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from layerwright.data.vocabulary import Vocabulary
from layerwright.training.recipe import Recipe


@dataclass(frozen=True)
class Run:
    """A finished, stopped or interrupted training run.

    Attributes:
        network: the network, with the weights that were best on validation if the run finished.
        recipe: what was asked for, resolved.
        dir: the run folder; None when nothing was written.
        status: "finished", "stopped early" or "interrupted".
        step: optimizer steps done.
        epoch: epochs done.
        history: one row an epoch: epoch, step, lr, train and validation values.
        best: the row that was best on validation; None without a validation split.
        test: values on the test split, touched once at the end; None before that.
        data_facts: the data's name, task, input_shape, num_outputs, class_names, normalization.
        vocabulary: what the tokens of texts mean; None for other data.
        started_from: what came of `start_from`: its source, and the names of what was loaded,
            other_shape, missing and unused; None without it.
        watched: what passed each layer at some steps, as in watch.jsonl; None without `watch`.
    """

    network: nn.Module
    recipe: Recipe
    dir: Path | None
    status: str
    step: int
    epoch: int
    history: list[dict[str, Any]]
    best: dict[str, Any] | None
    test: dict[str, Any] | None
    data_facts: dict[str, Any]
    vocabulary: Vocabulary | None = None
    started_from: dict[str, Any] | None = None
    watched: list[dict[str, Any]] | None = None
