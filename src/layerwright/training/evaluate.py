"""Evaluate a trained network on a split."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from layerwright.data.batches import make_batches
from layerwright.data.catalog import load_data
from layerwright.data.interface import Batches
from layerwright.data.splits import Data, StreamSplit
from layerwright.errors import DataError, OptionError
from layerwright.training.assembly import EVALUATION_BATCH_SIZE
from layerwright.training.devices import resolve_device
from layerwright.training.evaluation import evaluate_batches
from layerwright.training.losses import Loss, resolve_loss
from layerwright.training.metrics import Metric, resolve_metrics
from layerwright.training.run import Run
from layerwright.training.trained_network import TrainedNetwork, trained_network

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation needs.

    Attributes:
        trained: the network, and what its run knows of it.
        network: on the device where it is evaluated.
        batches: of the split, in their order.
        loss: the run's, or the one that was given.
        metrics: likewise.
        task: of the data; None where it is unknown.
        split: its name; "whole" for data that has no splits of its own.
        is_stream: whether samples cannot be had twice.
    """

    trained: TrainedNetwork
    network: nn.Module
    batches: Batches
    loss: Loss
    metrics: list[Metric]
    task: str | None
    split: str
    is_stream: bool


def evaluate(
    run: str | Path | Run | nn.Module | TrainedNetwork,
    data: Any = None,
    *,
    split: str = "test",
    network: Any = None,
    loss: Any = None,
    metrics: Sequence[Any] = (),
    data_dir: str | None = None,
    batch_size: int = EVALUATION_BATCH_SIZE,
    device: str = "auto",
) -> dict[str, Any]:
    """Return loss and metrics of a network on a split, in evaluation mode.

    Args:
        run: a run folder, a Run, a network, or one of which all is known already.
        data: what to evaluate on; None takes the run's own data.
        split: "train", "validation" or "test". Data that has no splits of its own, such as
            `(inputs, targets)`, is evaluated whole.
        network: the user's own network, if `run` is the folder of a run that trained one.
        loss: name or callable; None takes the run's, or that of the data's task.
        metrics: names or callables; empty takes the run's, or those of the data's task.
        data_dir: folder with local copies of the built-in data sets.
        batch_size: samples per forward pass.
        device: where to compute.

    Raises:
        OptionError: an unknown split, or no data to evaluate on.
        DataError: the data has no such split.
    """
    chosen = prepared(
        run,
        data,
        split=split,
        network=network,
        loss=loss,
        metrics=metrics,
        data_dir=data_dir,
        batch_size=batch_size,
        device=device,
    )
    return evaluate_batches(chosen.network, chosen.batches, chosen.loss, chosen.metrics)


def prepared(
    run: str | Path | Run | nn.Module | TrainedNetwork,
    data: Any = None,
    *,
    split: str | Sequence[str] = "test",
    network: Any = None,
    loss: Any = None,
    metrics: Sequence[Any] = (),
    data_dir: str | None = None,
    batch_size: int = EVALUATION_BATCH_SIZE,
    device: str = "auto",
) -> Evaluation:
    """Return all that an evaluation needs; arguments and errors are those of `evaluate`.

    Of several splits that are named, the first one is taken that the data has. `run` may be a
    network of which all is known already.
    """
    wanted = (split,) if isinstance(split, str) else tuple(split)
    for name in wanted:
        if name not in SPLITS:
            raise OptionError(f"split expected {', '.join(SPLITS)}, received {name!r}.")
    trained = run if isinstance(run, TrainedNetwork) else trained_network(run, network)
    options = trained.options
    loaded = _load(trained, data, data_dir)
    whole = data is not None and loaded.test is None and loaded.validation is None
    found = [name for name in wanted if getattr(loaded, name) is not None]
    if not found and not whole:
        raise DataError(f"the data {loaded.name!r} has no {wanted[0]} split. Fix: choose another.")
    chosen = loaded.train if whole else getattr(loaded, found[0])
    where = resolve_device(device)
    task = trained.facts.get("task") or loaded.task
    return Evaluation(
        trained=trained,
        network=trained.network.to(where),
        batches=make_batches(chosen, batch_size=batch_size, shuffle=False, seed=0, device=where),
        loss=resolve_loss(loss or options.get("loss"), task, trained.network),
        metrics=resolve_metrics(
            tuple(metrics) or tuple(options.get("metrics", ())),
            task,
            loaded.num_classes,
            trained.network,
        ),
        task=task,
        split="whole" if whole else found[0],
        is_stream=isinstance(chosen, StreamSplit),
    )


def _load(trained: TrainedNetwork, data: Any, data_dir: str | None) -> Data:
    """Load the run's own data with the run's splits, or other data as it is."""
    options = trained.options
    if data is None:
        data = options.get("data")
        if data is None:
            raise OptionError(
                "evaluate expected data, and neither the call nor the run names any. "
                "Fix: give data=..., such as 'mnist' or (inputs, targets)."
            )
        shares = {"validation": options["validation"], "limit": options["limit"]}
    else:
        named = isinstance(data, str | Path)
        shares = {"validation": options.get("validation", 0.1) if named else 0.0, "limit": None}
    loaded = load_data(
        data,
        data_dir=data_dir or options.get("data_dir"),
        image_size=options.get("image_size"),
        vocabulary=trained.vocabulary,
        **shares,
    )
    shape = trained.facts.get("input_shape")
    if loaded.name == "digits" and shape is not None:
        loaded = loaded.with_image_size(shape[-1])
    return loaded
