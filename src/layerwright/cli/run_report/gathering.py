"""From a run's folder to all that its page shows."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from layerwright.cli.named_objects import named_data, named_object
from layerwright.cli.run_report.command_line import chosen_options, command_line
from layerwright.cli.run_report.contract import contract_on
from layerwright.cli.run_report.inspected import graph_of, layers_of, summary_of
from layerwright.cli.run_report.recorded import (
    as_text,
    configuration_of,
    curves_of,
    headline_of,
    identity_of,
)
from layerwright.cli.run_report.samples import class_name, samples_of
from layerwright.errors import DataError, LayerwrightError
from layerwright.reports.run_page.content import (
    Answers,
    Confusion,
    NotMeasured,
    RunContent,
)
from layerwright.training.devices import resolve_device
from layerwright.training.evaluate import Evaluation, prepared
from layerwright.training.evaluation import evaluation_mode
from layerwright.training.progress import format_value
from layerwright.training.run_config import own_object
from layerwright.training.run_record import RunRecord, read_run
from layerwright.training.split_answers import answers_on

_NUM_CHECKED = 4  # samples that the contract is checked on
_NUM_TRACED = 64


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line asks for.

    Attributes:
        network: the user's own, file.py:Net.
        data: other data, or the user's own, file.py:name.
        data_dir: where the built-in data sets lie now.
        loss: the user's own, file.py:name.
        split: to evaluate; None for the test split of a finished run, else the validation split.
        device: where to evaluate.
        with_contract: whether to check the network.
    """

    network: str | None = None
    data: str | None = None
    data_dir: str | None = None
    loss: str | None = None
    split: str | None = None
    device: str = "auto"
    with_contract: bool = True


@dataclass(frozen=True)
class _Own:
    """What a person named, loaded: their mistakes end the command."""

    network: Any
    data: Any
    loss: Any


def gathered(folder: Path, request: Request) -> RunContent:
    """Read a run, evaluate its network again, check it and look into it.

    Whatever fails on the way, because a checkpoint is damaged or data is not there, is said on the
    page in its place.

    Args:
        folder: the run's.
        request: what the command line asks for.

    Raises:
        RunFolderError: it is no run folder, or its config.json is damaged.
        TargetError: what a person named leads nowhere.
        OptionError: an option does not fit.
    """
    record = read_run(folder)
    resolve_device(request.device)
    own = _Own(
        None if request.network is None else named_object(request.network),
        None if request.data is None else named_data(request.data),
        None if request.loss is None else named_object(request.loss),
    )
    resolved, facts = record.config["resolved"], record.config["data"]
    command, command_notes = command_line(record.config)
    content = RunContent(
        name=folder.resolve().name,
        subject=f"{resolved.get('network')} on {facts.get('name')}",
        status=record.status,
        is_finished=record.finished,
        headline=tuple(headline_of(record)),
        problems=record.problems,
        curves=tuple(curves_of(record)),
        configuration=configuration_of(record.config),
        chosen=chosen_options(record.config),
        environment={name: as_text(value) for name, value in record.environment.items()},
        answers=NotMeasured(""),
        contract=NotMeasured(""),
        summary=NotMeasured(""),
        graph=NotMeasured(""),
        layers=NotMeasured(""),
        command=command,
        command_notes=command_notes,
        identity=identity_of(record),
    )
    try:
        return _with_network(content, record, request, own)
    except LayerwrightError as error:
        missing = NotMeasured(str(error))
        return replace(
            content,
            answers=missing,
            contract=missing,
            summary=missing,
            graph=missing,
            layers=missing,
        )


def _with_network(
    content: RunContent, record: RunRecord, request: Request, own: _Own
) -> RunContent:
    own_network = own_object(record.config["recipe"].get("network"))
    own_data = own_object(record.config["recipe"].get("data"))
    if own_data is not None and request.data is None:
        raise DataError(
            f"the run trained on your own data ({own_data}), and nothing in a run folder is "
            "imported. Fix: name it again with --data file.py:name."
        )
    if own_network is None:
        own = replace(own, network=None)  # it belongs to the other one of two runs
    evaluation = _prepared(record, request, own)
    answers = _answers(evaluation, record, request)
    inputs, target = next(batch := evaluation.batches.epoch(0))
    batch.close()
    recipe = record.config["recipe"]
    network = request.network if own_network is not None else str(recipe["network"])
    checked = NotMeasured("it was left out with --no-contract.")
    few = tuple(tensor[:_NUM_CHECKED].cpu() for tensor in inputs)
    own_loss = own_object(recipe.get("loss"))
    loss = request.loss or (recipe.get("loss") if own_loss is None else None)
    with evaluation_mode(evaluation.network):
        one = tuple(tensor[:1] for tensor in inputs)
        some = tuple(tensor[:_NUM_TRACED] for tensor in inputs)
        return replace(
            content,
            answers=answers,
            summary=summary_of(evaluation.network, one),
            graph=graph_of(evaluation.network, one),
            layers=layers_of(
                record.path, evaluation.network, some, target[:_NUM_TRACED], evaluation.loss
            ),
            contract=checked
            if not request.with_contract or network is None
            else contract_on(
                record.path,
                network,
                recipe.get("network_options") or {},
                record.config["data"],
                few,
                None if own_loss is not None and loss is None else target[:_NUM_CHECKED].cpu(),
                loss,
            ),
        )


def _prepared(record: RunRecord, request: Request, own: _Own) -> Evaluation:
    """Take the split that was asked for, or test, or validation; the test split is for the end."""
    splits = ("test", "validation", "train") if record.finished else ("validation", "train")
    return prepared(
        record.path,
        own.data,
        split=request.split or splits,
        network=own.network,
        loss=own.loss,
        data_dir=request.data_dir,
        device=request.device,
    )


def _answers(evaluation: Evaluation, record: RunRecord, request: Request) -> Answers | NotMeasured:
    split = evaluation.split
    try:
        found = answers_on(evaluation)
    except LayerwrightError as error:
        return NotMeasured(str(error))
    own_loss = own_object(record.config["recipe"].get("loss"))
    other_data = request.data is not None and own_object(record.config["recipe"]["data"]) is None
    recorded = {} if other_data else _recorded(record, split)
    notes = [f"evaluated on other data than the run's: {request.data}"] if other_data else []
    values = dict(found.values)
    if own_loss is not None and request.loss is None:
        del values["loss"]
        notes.append(
            f"the loss was your own ({own_loss}), and is not measured. Fix: --loss file.py:name"
        )
    rows = []
    for name, value in values.items():
        if not isinstance(value, float):
            continue
        then = recorded.get(name)
        known = format_value(name, then) if isinstance(then, float) else ""
        rows.append((name, format_value(name, value), known))
        if isinstance(then, float) and not math.isclose(value, then, rel_tol=1e-3, abs_tol=1e-6):
            notes.append(f"{name} is not what the run recorded: other data, versions or precision?")
    if split == "train":
        notes.append("the network was trained on these very samples")
    names = record.config["data"].get("class_names")
    confusion: Confusion | NotMeasured = NotMeasured(
        f"it is for classes, and the task is {evaluation.task or 'unknown'}."
    )
    if found.confusion:
        confusion = Confusion(
            tuple(class_name(names, place) for place in range(len(found.confusion))),
            tuple(map(tuple, found.confusion)),
        )
    return Answers(
        split=split,
        num_samples=found.num_samples,
        values=tuple(rows),
        notes=tuple(notes),
        confusion=confusion,
        pairs=found.pairs,
        worst=NotMeasured(found.reason)
        if found.worst is None or not found.worst
        else samples_of(found.worst, evaluation.trained, evaluation.task),
    )


def _recorded(record: RunRecord, split: str) -> Mapping[str, Any]:
    """Return the run's own values on a split, of the weights that the page evaluates."""
    if split == "test":
        return record.test or {}
    if split == "validation" and record.best is not None:
        return dict(record.best.get("validation", {}))
    return {}
