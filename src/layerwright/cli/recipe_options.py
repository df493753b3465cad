"""The options of `layerwright train`: one for each field of a Recipe."""

import ast
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from layerwright.cli.named_objects import named_data, named_object
from layerwright.errors import OptionError

Repeated = Annotated[tuple[str, ...] | None, Parameter(negative=())]


@dataclass(frozen=True, kw_only=True)
class RecipeOptions:
    """What a person said on the command line; None means nothing, so that the recipe decides.

    Args:
        network: built-in network, or file.py:Net.
        network_options: name=value, an argument of the network's constructor; repeatable.
        data: built-in data set, folder of images or texts with one subfolder a class, or
            file.py:name.
        data_dir: folder with local copies of the built-in data sets.
        image_size: scale a folder's images to this many pixels, cut to the middle square.
        text_options: ngrams=N, min_count=N or max_length=N, how texts become tokens; repeatable.
        validation: share of the training split that is held out for validation, such as 0.1.
        limit: use only this many training samples.
        augment: crop, flip or rotate, applied to each training batch; repeatable.
        workers: processes that load data which does not fit in memory.
        loss: built-in loss, or file.py:name.
        label_smoothing: share of each class target that all classes get alike, such as 0.1.
        mixup: train on mixtures of two samples, with shares from Beta(MIXUP, MIXUP), such as 0.2.
        l1: strength of an L1 penalty on the weights.
        metrics: built-in metric, or file.py:name; repeatable.
        epochs: passes over the training split.
        batch_size: samples per forward pass.
        accumulate: forward passes per optimizer step.
        optimizer: built-in optimizer, or file.py:name.
        optimizer_options: name=value, a further argument of the optimizer; repeatable.
        lr: learning rate, at its peak where the schedule changes it.
        schedule: built-in schedule, or file.py:name.
        weight_decay: L2 strength; weights decay, while biases, gains and embeddings do not.
        init: built-in initialisation recipe, or file.py:name.
        start_from: run folder or .safetensors file whose weights the network starts with, where
            they fit; without a network named, the run's own is taken.
        freeze: pattern of parameters that are not trained, such as "features.*"; repeatable.
        lr_factors: pattern=factor that multiplies the learning rate of these parameters, such as
            "features.*=0.1"; repeatable.
        clip_norm: largest total gradient norm.
        patience: stop after this many epochs without improvement on validation.
        monitor: validation metric that selects the best checkpoint.
        precision: float32, or bfloat16 for autocast.
        compile: run the network through torch.compile.
        sync_batch_norm: under torchrun, batch norm sees the whole batch (the default), or each
            process's part of it.
        shard: under torchrun, each process keeps a part of the weights and of the optimizer's state
            (FSDP2) in place of a copy.
        device: auto, cpu, cuda, cuda:1, mps.
        seed: decides initial weights, data order, dropout and augmentation.
        checkpoint_every: seconds such as 30s, or steps such as 200steps.
        nan_guard: stop before a non-finite loss or gradient reaches the weights.
        tensorboard: write TensorBoard events into the run folder.
        watch: record what passes each layer into the run folder, with a heat map, and say which
            layer is the first that dies or explodes.
        watch_every: steps between two records; default: about 100 records in the run.
    """

    network: str | None = None
    network_options: Annotated[Repeated, Parameter(name="--network-option")] = None
    data: str | None = None
    data_dir: Path | None = None
    image_size: int | None = None
    text_options: Annotated[Repeated, Parameter(name="--text-option")] = None
    validation: float | None = None
    limit: int | None = None
    augment: Repeated = None
    workers: int | None = None
    loss: str | None = None
    label_smoothing: float | None = None
    mixup: float | None = None
    l1: float | None = None
    metrics: Annotated[Repeated, Parameter(name="--metric")] = None
    epochs: int | None = None
    batch_size: int | None = None
    accumulate: int | None = None
    optimizer: str | None = None
    optimizer_options: Annotated[Repeated, Parameter(name="--optimizer-option")] = None
    lr: float | None = None
    schedule: str | None = None
    weight_decay: float | None = None
    init: str | None = None
    start_from: Annotated[str | None, Parameter(name="--from")] = None
    freeze: Repeated = None
    lr_factors: Annotated[Repeated, Parameter(name="--lr-factor")] = None
    clip_norm: float | None = None
    patience: int | None = None
    monitor: str | None = None
    precision: str | None = None
    compile: bool | None = None
    sync_batch_norm: bool | None = None
    shard: bool | None = None
    device: str | None = None
    seed: int | None = None
    checkpoint_every: str | None = None
    nan_guard: bool | None = None
    tensorboard: bool | None = None
    watch: bool | None = None
    watch_every: int | None = None

    def given(self) -> dict[str, Any]:
        """Return the fields of a Recipe that were given, with what "file.py:name" names loaded.

        Raises:
            OptionError: a name=value pair is none.
            TargetError: a "file.py:name" leads nowhere.
        """
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        given = {name: value for name, value in values.items() if value is not None}
        for name in ("network", "loss", "optimizer", "schedule", "init"):
            if name in given:
                given[name] = named_object(given[name])
        if "metrics" in given:
            given["metrics"] = tuple(named_object(metric) for metric in given["metrics"])
        if "data" in given:
            given["data"] = named_data(given["data"])
        if "data_dir" in given:
            given["data_dir"] = str(given["data_dir"].resolve())  # a resume may start elsewhere
        for name in ("network_options", "optimizer_options", "text_options"):
            if name in given:
                flag = "--" + name.removesuffix("s").replace("_", "-")
                given[name] = dict(read_pair(flag, text) for text in given[name])
        if "lr_factors" in given:
            given["lr_factors"] = dict(read_factor(text) for text in given["lr_factors"])
        return given


def read_pair(flag: str, text: str) -> tuple[str, Any]:
    """Read "name=value"; the value is a Python literal, or else the text itself.

    Raises:
        OptionError: there is no "=", or no Python name before it.
    """
    name, equals, value = text.partition("=")
    name = name.strip().replace("-", "_")
    if not equals or not name.isidentifier():
        raise OptionError(f"{flag} expected name=value, received {text!r}. Fix: {flag} hidden=64")
    try:
        return name, ast.literal_eval(value.strip())
    except (ValueError, SyntaxError):
        return name, value


def read_factor(text: str) -> tuple[str, float]:
    """Read "pattern=factor".

    Raises:
        OptionError: there is no pattern, or no number after the last "=".
    """
    pattern, _, number = text.rpartition("=")
    try:
        if pattern.strip():
            return pattern.strip(), float(number)
    except ValueError:
        pass
    raise OptionError(
        f"--lr-factor expected pattern=number, received {text!r}. Fix: --lr-factor 'conv1.*=0.1'"
    )
