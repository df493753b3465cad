"""Everything that decides how a network is trained, in one frozen object."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any

from layerwright.errors import OptionError

# float16 is left out: it needs loss scaling, whose skipped steps would hide non-finite gradients.
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train: data, loss, optimizer, schedule, regularisation and bookkeeping.

    Whatever takes a built-in name also takes the object itself; on the command line it takes
    `file.py:name`.

    Args:
        network: a built-in name, an `nn.Module` class, or an instance.
        network_options: keyword arguments of the network's constructor.
        data: a built-in name, `(inputs, targets)`, `(texts, targets)`, a Dataset, a DataLoader, or
            a folder of images or texts.
        data_dir: folder with local copies of the built-in data sets.
        image_size: scale a folder's images to this many pixels, cut to the middle square.
        text_options: how texts become tokens: `ngrams`, `min_count`, `max_length`; where
            `start_from` is a run that learned from texts, its vocabulary is kept instead.
        validation: the share of the training split that is carved off for validation, in [0, 1).
        limit: use only this many training samples.
        augment: what is done to each training batch, in the order given: "crop", "flip", "rotate".
        workers: number of processes that load data that is not in memory.
        loss: name or callable `(output, target) -> scalar`; None takes the one of the data's task.
        label_smoothing: the share of each target that all classes get alike, in [0, 1); for the
            loss "cross-entropy", in training only.
        mixup: alpha of `mixup`, which trains on what lies between samples; 0 does not. For the
            loss "cross-entropy"; 0.2 is usual.
        l1: strength of an L1 penalty on the weights, which is added to the training loss.
        metrics: names or callables; empty takes the ones of the data's task.
        epochs: passes over the training split.
        batch_size: samples per forward pass.
        accumulate: forward passes per optimizer step.
        optimizer: name or callable `(parameter_groups, lr=...) -> Optimizer`.
        optimizer_options: further keyword arguments of the optimizer.
        lr: the learning rate, at its peak where a schedule changes it.
        schedule: "constant", "cosine", "one-cycle", or a callable `(step, total_steps) -> factor`.
        weight_decay: L2 strength, applied by role: weights decay, biases, gains and embeddings
            do not.
        init: initialisation recipe; "default" leaves what the constructor did, "lsuv" scales by
            the run's first batch.
        start_from: a run folder, a .safetensors file or a `Run` whose weights the network starts
            with, where they fit by name and shape.
        freeze: patterns of parameters that are not trained, such as "features.*"; a batch norm
            whose parameters are frozen keeps its running statistics too.
        lr_factors: by pattern of parameters, what multiplies their learning rate, such as
            `{"features.*": 0.1}`; of several patterns that match, the last one counts.
        clip_norm: the largest total gradient norm; None does not clip.
        patience: stop after this many epochs without improvement on validation; None never does.
        monitor: the validation metric that selects the best checkpoint; None takes the first.
        precision: "float32", or "bfloat16" for autocast.
        compile: run the network through `torch.compile`.
        sync_batch_norm: where several processes train together, batch norm takes its statistics
            over the whole batch, as one process does; otherwise each over its own part.
        shard: where several processes train together, each keeps a part of the weights, gradients
            and optimizer state (FSDP2) in place of a copy.
        device: "auto", "cpu", "cuda", "cuda:1", "mps", ...
        seed: decides initial weights, data order, dropout and augmentation.
        checkpoint_every: "30s" or "200steps", within epochs too.
        nan_guard: stop before a non-finite loss or gradient reaches the weights.
        tensorboard: write TensorBoard events into the run folder.
        watch: record what passes each layer, forward and backward, and how far each step moves
            its weights, and say which layer is the first that dies or explodes.
        watch_every: the steps between two records; None makes about 100 in the run.

    Raises:
        OptionError: a value is impossible; the message says what is possible.
    """

    network: Any = "customnet"
    network_options: Mapping[str, Any] = field(default_factory=dict)
    data: Any = "digits"
    data_dir: str | None = None
    image_size: int | None = None
    text_options: Mapping[str, Any] = field(default_factory=dict)
    validation: float = 0.1
    limit: int | None = None
    augment: tuple[str, ...] = ()
    workers: int = 0
    loss: str | Callable[..., Any] | None = None
    label_smoothing: float = 0.0
    mixup: float = 0.0
    l1: float = 0.0
    metrics: tuple[str | Callable[..., Any], ...] = ()
    epochs: int = 10
    batch_size: int = 64
    accumulate: int = 1
    optimizer: str | Callable[..., Any] = "adam"
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    lr: float = 1e-3
    schedule: str | Callable[[int, int], float] = "constant"
    weight_decay: float = 0.0
    init: str | Callable[..., Any] = "default"
    start_from: Any = None
    freeze: str | tuple[str, ...] = ()
    lr_factors: Mapping[str, float] = field(default_factory=dict)
    clip_norm: float | None = None
    patience: int | None = None
    monitor: str | None = None
    precision: str = "float32"
    compile: bool = False
    sync_batch_norm: bool = True
    shard: bool = False
    device: str = "auto"
    seed: int = 0
    checkpoint_every: str = "30s"
    nan_guard: bool = True
    tensorboard: bool = False
    watch: bool = False
    watch_every: int | None = None

    def __post_init__(self) -> None:
        """Refuse impossible values here, so that every way to a run refuses them alike."""
        for name in ("epochs", "batch_size", "accumulate"):
            _require(name, getattr(self, name), getattr(self, name) >= 1, "a whole number from 1")
        for name in ("image_size", "limit", "patience", "watch_every"):
            value = getattr(self, name)
            _require(name, value, value is None or value >= 1, "a whole number from 1, or None")
        _require("workers", self.workers, self.workers >= 0, "a whole number from 0")
        _require("validation", self.validation, 0 <= self.validation < 1, "a share in [0, 1)")
        _require("lr", self.lr, 0 < self.lr < float("inf"), "a positive number")
        for factor in self.lr_factors.values():
            _require("lr_factors", factor, 0 < factor < float("inf"), "positive numbers")
        if isinstance(self.freeze, str):
            object.__setattr__(self, "freeze", (self.freeze,))
        _require("weight_decay", self.weight_decay, self.weight_decay >= 0, "a number from 0")
        smoothing = self.label_smoothing
        _require("label_smoothing", smoothing, 0 <= smoothing < 1, "a share in [0, 1)")
        for name in ("mixup", "l1"):
            value = getattr(self, name)
            _require(name, value, 0 <= value < float("inf"), "a number from 0")
        clip = self.clip_norm
        _require("clip_norm", clip, clip is None or clip > 0, "a positive number, or None")
        _require("precision", self.precision, self.precision in PRECISIONS, " or ".join(PRECISIONS))
        checkpoint_interval(self.checkpoint_every)
        if self.watch and self.compile:
            raise OptionError(
                "watch expected a network that runs layer by layer, and a compiled one does not. "
                "Fix: leave compile out, or watch."
            )
        if self.watch_every is not None and not self.watch:
            raise OptionError("watch_every expected watch with it. Fix: watch=True, or --watch.")

    def changed(self, **options: Any) -> "Recipe":
        """Return a copy with some options changed.

        Raises:
            OptionError: an option is unknown; the message names the nearest one.
        """
        known = [item.name for item in fields(self)]
        for name in options:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."
                raise OptionError(f"Recipe has no option {name!r}. {hint}")
        return replace(self, **options)


def checkpoint_interval(text: str) -> tuple[float | None, int | None]:
    """Read "30s" or "200steps" as (seconds, None) or (None, steps)."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|steps?)\s*", str(text))
    amount = float(match[1]) if match else 0.0
    if not match or amount <= 0 or (match[2] != "s" and amount != int(amount)):
        raise OptionError(
            f"checkpoint_every expected seconds such as '30s' or steps such as '200steps', "
            f"received {text!r}."
        )
    return (amount, None) if match[2] == "s" else (None, int(amount))


def _require(name: str, value: object, holds: bool, expected: str) -> None:  # noqa: FBT001
    if not holds:
        raise OptionError(f"{name} expected {expected}, received {value!r}.")
