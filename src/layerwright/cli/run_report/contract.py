"""The contract on a run's network, in a process of its own as `layerwright check` has it."""

import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from layerwright.cli.check import report_of_death, value_of
from layerwright.cli.checked_layers import CheckRequest
from layerwright.cli.named_objects import named_object
from layerwright.cli.project_config import project_config
from layerwright.contract.case import Case
from layerwright.contract.check import check_with
from layerwright.contract.finding import Report
from layerwright.contract.loading.child import Worker, report_progress
from layerwright.contract.suppression import Config
from layerwright.errors import LayerwrightError
from layerwright.random_numbers import seed_all
from layerwright.reports.run_page.content import NotMeasured
from layerwright.targets import constructor_arguments, resolve_network
from layerwright.training.losses import resolve_loss

TIME_LIMIT_S = 120.0
_MEMORY_LIMIT_BYTES = 8 * 2**30


@dataclass(frozen=True, kw_only=True)
class NetworkRequest:
    """A run's network; it travels to the child process.

    Attributes:
        network: built-in name or file.py:Net.
        options: keyword arguments of its constructor.
        sizes: what the data says: input_shape, num_classes, num_outputs, vocabulary_size.
        inputs: some samples, as the network was fed them.
        target: theirs; None where the loss does not join in.
        loss: built-in name or file.py:name; None for the one of the task.
        task: of the data.
        config: of pyproject.toml.
    """

    network: str
    options: dict[str, Any]
    sizes: dict[str, Any]
    inputs: tuple[Any, ...]
    target: Any
    loss: str | None
    task: str | None
    config: Config


def contract_on(
    folder: Path,
    network: str,
    options: dict[str, Any],
    facts: dict[str, Any],
    inputs: tuple[Any, ...],
    target: Any,
    loss: str | None,
) -> Report | NotMeasured:
    """Check the class of a run's network, built anew as the run built it, on samples of its data.

    Args:
        folder: the run's.
        network: built-in name or file.py:Net.
        options: keyword arguments of the network's constructor.
        facts: what the run knows of its data.
        inputs: some samples.
        target: theirs.
        loss: built-in name, file.py:name, or None for that of the task.
    """
    shape, num_outputs = facts.get("input_shape"), facts.get("num_outputs")
    sizes = {
        "input_shape": tuple(shape) if shape else None,
        "num_classes": num_outputs,
        "num_outputs": num_outputs,
        "vocabulary_size": facts.get("vocabulary_size"),
    }
    task = facts.get("task")
    try:
        request = NetworkRequest(
            network=network,
            options=options,
            sizes=sizes,
            inputs=inputs,
            target=None if task == "detection" else target,  # its loss belongs to one network
            loss=loss,
            task=task,
            config=project_config(),
        )
        with Worker() as worker:
            outcome = worker.run(
                check_network,
                request,
                time_limit_s=TIME_LIMIT_S,
                memory_limit_bytes=_MEMORY_LIMIT_BYTES,
            )
        if outcome.ended in {"returned", "raised"}:
            report: Report = value_of(outcome, network)
            return report
    except LayerwrightError as error:
        return NotMeasured(str(error))
    own = ["--network", network] if ":" in network else []
    command = shlex.join(["layerwright", "report", str(folder), *own])
    return report_of_death(network, outcome, CheckRequest(target=network, command=command))


def check_network(request: NetworkRequest) -> Report:
    """Check the network that a request describes; runs in the child."""
    seed_all(0)
    maker = resolve_network(request.network)
    if not isinstance(maker, nn.Module):
        maker = partial(maker, **constructor_arguments(maker, request.sizes, request.options))
    loss: Any = None
    if request.target is not None:
        spec = None if request.loss is None else named_object(request.loss)
        loss = resolve_loss(spec, request.task).function
    case = Case(
        maker,
        request.inputs,
        loss=loss,
        target=request.target if loss is not None else None,
        name=request.network.rsplit(":", maxsplit=1)[-1],
    )
    return check_with(
        case,
        request.config,
        notes=("the network is built anew, with the run's options, and fed samples of its data",),
        on_rule=lambda rule: report_progress(f"{rule.id} {rule.name}"),
    )
