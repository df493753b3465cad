"""DST003 ranks-run-different."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from layerwright.contract.evidence.rank_processes import Ended, in_ranks
from layerwright.contract.evidence.rank_training import STEPS, train
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.source import Place, place_of_parameter
from layerwright.contract.torch_compat.dispatch import OpCall, OpRecorder


@dataclass
class _Steps:
    """What a rank did: filled while it trains, so that an error leaves what came before it."""

    collectives: list[tuple[str, Place]] = field(default_factory=list)  # in words, and where
    used: list[frozenset[str]] = field(default_factory=list)  # with a gradient, step by step
    raised: str = ""
    place: Place = field(default_factory=Place)

    def note_error(self, raised: LayerRaised) -> None:
        """Keep what was raised, in words, and where."""
        self.raised, self.place = raised.words, raised.place


@rule(
    "DST003",
    "ranks-run-different",
    promise="all processes that train the layer together wait for each other at the same places",
    family="distribution",
    tier="full",
    needs=("ranks", "parameters"),
    requires=("DST001",),
    excused_by=("data_dependent_shape",),
    since="0.1",
)
def ranks_run_different(probe: Probe) -> Iterator[Finding]:
    """Trains the layer in several real processes, each with data of its own.

    The collective operations that its passes call are compared, and so is which parameters get a
    gradient. Where that differs, DistributedDataParallel is tried.

    ## Why is this bad
    A process that waits for another one in `all_reduce`, or for the gradient of a parameter, waits
    for ever if the other has taken another branch. The job stands still until a time limit, half an
    hour by default, ends it, and none of the messages names the layer.

    ## Bad
    ```python
    import torch.distributed as dist


    class Centered(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x):
            mean = x.detach().mean(0)
            if dist.is_initialized() and (x[:, 0] > 0).all():
                dist.all_reduce(mean)
                mean = mean / dist.get_world_size()
            return self.linear(x - mean)


    x = torch.tensor([[3.0, -1.0, -1.0], [2.0, -1.0, -1.0]])
    case = Case(Centered, inputs=(x,), traits={"mixes_batch": True})
    ```

    ## Good
    ```python
    import torch.distributed as dist


    class Centered(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x):
            mean = x.detach().mean(0)
            if dist.is_initialized():
                dist.all_reduce(mean)
                mean = mean / dist.get_world_size()
            return self.linear(x - mean)


    x = torch.tensor([[3.0, -1.0, -1.0], [2.0, -1.0, -1.0]])
    case = Case(Centered, inputs=(x,), traits={"mixes_batch": True})
    ```

    ## How to fix
    Call collectives whatever the data is, in the same order, with the same shapes. Let the ranks
    agree first on what depends on data: reduce the condition, or draw it from a generator that has
    the same seed everywhere. Multiply an unused branch by zero, or wrap with
    `find_unused_parameters=True`.

    ## Limits
    It runs with `--ranks 2` only, on Linux, on the CPU, with gloo. A warning in place of an error
    where DistributedDataParallel alone fails, as it can be told that parameters may go unused. A
    branch that neither the example inputs nor the same values in other places take is not seen.

    ## References
    - https://github.com/pytorch/pytorch/issues/43259: parameters that were not used in the loss
    """
    with OpRecorder():
        torch.zeros(())  # what a recorder imports is imported here, and not in each fork
    ranks = [_steps_of(ended) for ended in in_ranks(probe.ranks, lambda rank: _run(probe, rank))]
    if any(item.raised for item in ranks):
        alone = [
            _steps_of(in_ranks(1, lambda _, rank=rank: _run(probe, rank))[0])  # type: ignore[misc]
            for rank in range(probe.ranks)
        ]
        if reason := next((item.raised for item in alone if item.raised), ""):
            probe.skip(f"a process that is alone in its group raised {reason}")
    apart = _first_difference(ranks)
    raised = next((item for item in ranks if item.raised), None)
    if apart or raised:
        yield _different_collectives(probe, ranks, apart or _number_of_calls(ranks), raised)
        return
    yield from _different_parameters(probe, ranks)


def _run(probe: Probe, rank: int) -> _Steps:
    """Train the plain layer, and note what the other ranks must do as well."""
    layer, steps = probe.layer(training=True), _Steps()
    recorder = OpRecorder()

    def note() -> None:
        named = layer.named_parameters()
        steps.used.append(frozenset(name for name, item in named if item.grad is not None))
        for item in layer.parameters():
            item.grad = None

    try:
        with recorder:
            train(probe, rank, layer, after_backward=note)
    except RuntimeError as error:  # a backward pass may wait for the others too
        steps.note_error(LayerRaised(error))
    except LayerRaised as raised:
        steps.note_error(raised)
    calls = (call for call in recorder.calls if "c10d" in call.namespace)
    steps.collectives = [(_in_words(call), call.place) for call in calls]
    return steps


def _in_words(call: OpCall) -> str:
    name = call.name.split("::")[1].split(".")[0].rstrip("_")
    shapes = ", ".join(str(tuple(item.shape)) for item in call.tensors_in if _is_sent(item))
    return f"{name} of {shapes}"


def _is_sent(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided


def _steps_of(ended: Ended) -> _Steps:
    steps: _Steps = ended.value if ended.value is not None else _Steps(raised=ended.words)
    return steps


def _number_of_calls(ranks: list[_Steps]) -> int:
    return min(len(item.collectives) for item in ranks)


def _first_difference(ranks: list[_Steps]) -> int | None:
    """Return the number of the first collective that is not the same in all ranks."""
    called = [[words for words, _ in item.collectives] for item in ranks]
    for number in range(max(map(len, called))):
        if len({tuple(words[number : number + 1]) for words in called}) > 1:
            return number
    return None


def _different_collectives(
    probe: Probe, ranks: list[_Steps], number: int, raised: _Steps | None
) -> Finding:
    told = []
    place = raised.place if raised else Place()
    for rank, steps in enumerate(ranks):
        if steps.raised:
            at = f"at `{steps.place.text}` " if steps.place.text else ""
            told.append(f"rank {rank} waited {at}in vain, which raised {_short(steps.raised)}")
        elif number < len(steps.collectives):
            told.append(f"rank {rank} called {steps.collectives[number][0]}")
            place = place if place.file else steps.collectives[number][1]
        else:
            told.append(f"rank {rank} called no other collective in {STEPS} steps")
    place = place if place.file else probe.place()
    return Finding(
        where=f"training, collective {number + 1}",
        expected=f"the same collectives in all {len(ranks)} ranks, in the same order",
        found="; ".join(dict.fromkeys(told)),
        fix="call collectives whatever the data is; let the ranks agree on what depends on it",
        file=place.file,
        line=place.line,
    )


def _short(words: str) -> str:
    """Return the first sentence of an error, without gloo's own file names and addresses."""
    return re.sub(r"\s*\[[^\]]*\](:\d+)?", "", words).split(". ")[0][:120]


def _different_parameters(probe: Probe, ranks: list[_Steps]) -> Iterator[Finding]:
    """Yield a warning if the ranks use other parameters, and DistributedDataParallel fails."""
    for step, used in enumerate(zip(*(item.used for item in ranks), strict=True)):
        in_some = frozenset.union(*used) - frozenset.intersection(*used)
        names = [
            name
            for name, _ in probe.subject.layer.named_parameters()
            if name in in_some and not probe.traits.may_be_unused(name)
        ]
        if not names:
            continue
        wrapped = in_ranks(len(ranks), lambda rank: _run_wrapped(probe, rank))
        words = next((ended.words for ended in wrapped if ended.words), "")
        if not words:
            return
        with_it = [str(rank) for rank, some in enumerate(used) if names[0] in some]
        more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
        place = place_of_parameter(probe.subject.layer, names[0])
        yield Finding(
            where=f"{names[0]}{more}",
            severity="warning",
            expected="a gradient in all ranks, or in none",
            found=f"in step {step + 1} it got one in rank {', '.join(with_it)} only, and "
            f"DistributedDataParallel raised {_short(words)}",
            fix="let all ranks take the same branch, multiply an unused one by zero, or wrap with "
            "find_unused_parameters=True",
            file=place.file,
            line=place.line,
        )
        return


def _run_wrapped(probe: Probe, rank: int) -> None:
    layer = probe.layer(training=True)
    train(probe, rank, DistributedDataParallel(layer), update=layer)
