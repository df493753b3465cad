"""DST004 ranks-drift-apart."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.rank_processes import in_ranks
from layerwright.contract.evidence.rank_training import STEPS, train
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe, detached
from layerwright.contract.rule import rule
from layerwright.contract.source import place_of_parameter

dist: Any = torch.distributed  # what it does not export is typed as absent


@dataclass(frozen=True)
class _After:
    """What a rank has after training: its parameters, and answers to one and the same call."""

    parameters: dict[str, Tensor]
    answer: Any
    again: Any


@rule(
    "DST004",
    "ranks-drift-apart",
    promise="all processes that train the layer together have the same layer after each step",
    family="distribution",
    tier="full",
    needs=("ranks", "parameters"),
    requires=("DST001", "DST003"),
    since="0.1",
)
def ranks_drift_apart(probe: Probe) -> Iterator[Finding]:
    """Trains the layer under DistributedDataParallel in several real processes, and compares them.

    Each has data of its own. Parameters must be equal bit for bit after the steps, and so must the
    answers to one and the same input in eval mode, when all have the buffers of the first.

    ## Why is this bad
    DistributedDataParallel averages gradients, and sends buffers from the first process to the
    others. What forward writes anywhere else, into a parameter or a plain attribute, is another
    value in each process: they train different networks, average gradients of different functions,
    and the checkpoint holds one of them.

    ## Bad
    ```python
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)
            self.scale = nn.Parameter(torch.ones(3))
            self.register_buffer("ready", torch.zeros((), dtype=torch.bool))

        def forward(self, x):
            if self.training and not self.ready:
                with torch.no_grad():
                    self.scale.copy_(1 / x.std(0))
                    self.ready.fill_(True)
            return self.linear(x * self.scale)


    case = Case(Scaled, inputs=(torch.randn(5, 3),))
    ```

    ## Good
    ```python
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return self.linear(x * self.scale)


    case = Case(Scaled, inputs=(torch.randn(5, 3),))
    ```

    ## How to fix
    Change parameters through their gradients and the optimizer only. Average what forward measures
    with `torch.distributed.all_reduce` before it is kept, and keep it in a buffer.

    ## Limits
    It runs with `--ranks 2` only, on Linux, on the CPU, with gloo, and with SGD. Layers whose
    answers in eval mode are random, or depend on earlier calls on purpose, are judged by their
    parameters alone.

    ## References
    - https://docs.pytorch.org/docs/stable/notes/ddp.html: what is exchanged, and when
    """
    ended = in_ranks(probe.ranks, lambda rank: _run(probe, rank))
    if words := next((item.words for item in ended if item.words), ""):
        probe.skip(f"{STEPS} steps under DistributedDataParallel raised {words}")
    first, *others = (item.value for item in ended)
    for rank, other in enumerate(others, start=1):
        names = [
            name
            for name, value in first.parameters.items()
            if difference(value, other.parameters[name], exact=True)
        ]
        if names:
            yield _drifted(probe, names, rank, first, other)
            return
    if probe.traits.stateful or probe.traits.stochastic_in_eval:
        return
    for rank, other in enumerate(others, start=1):
        if any(difference(one.answer, one.again) for one in (first, other)):
            return  # a call changes the next one's answer
        words_apart = difference(first.answer, other.answer)
        if words_apart:
            place = probe.place()
            yield Finding(
                where="forward (eval mode)",
                expected=f"the same answer to the same input in all {probe.ranks} ranks",
                found=f"parameters and buffers are equal after {STEPS} steps, and the answers of "
                f"rank 0 and rank {rank} differ: {words_apart}",
                fix="keep what forward measures in buffers, or average it over the ranks",
                file=place.file,
                line=place.line,
            )
            return


def _drifted(probe: Probe, names: list[str], rank: int, first: _After, other: _After) -> Finding:
    words = difference(first.parameters[names[0]], other.parameters[names[0]], exact=True)
    place = place_of_parameter(probe.subject.layer, names[0])
    more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
    return Finding(
        where=f"{names[0]}{more}",
        expected=f"the same values in all {probe.ranks} ranks after {STEPS} steps",
        found=f"rank 0 and rank {rank} differ: {words}",
        fix="change parameters through gradients and the optimizer only, or average over the "
        "ranks what is written into them",
        file=place.file,
        line=place.line,
    )


def _run(probe: Probe, rank: int) -> _After:
    layer = probe.layer(training=True)
    # Which parameters a step uses is DST003's.
    wrapped = DistributedDataParallel(layer, find_unused_parameters=True)
    train(probe, rank, wrapped, update=layer)
    _take_buffers_of_first(layer)
    layer.eval()
    with torch.no_grad():
        answers = [detached(probe.call(layer)) for _ in range(2)]
    parameters = {name: item.detach().clone() for name, item in layer.named_parameters()}
    return _After(parameters, *answers)


def _take_buffers_of_first(layer: nn.Module) -> None:
    box = [list(layer.buffers())]
    dist.broadcast_object_list(box, src=0)
    with torch.no_grad():
        for buffer, value in zip(layer.buffers(), box[0], strict=True):
            buffer.copy_(value)
