"""DST002 fsdp-step-fails."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from layerwright.contract.batch import SAME
from layerwright.contract.comparing import difference
from layerwright.contract.finding import Finding
from layerwright.contract.gradients import projection
from layerwright.contract.probe import Probe, detached
from layerwright.contract.rule import LayerRaised, Skip, rule
from layerwright.contract.source import Place, is_users, place_of_parameter
from layerwright.contract.torch_compat.process_group import sharding_of_one
from layerwright.contract.trees import named_tensors

# Two updates, and a call that shows what the second one did.
STEPS = 2
_RATE = 1e-2

_READ = (
    "read parameters as attributes of self inside forward, keep no other reference to them, and "
    "leave it to the optimizer to change them"
)


@dataclass(frozen=True)
class _Training:
    """What some steps gave: the output of each call, the parameters after each, an error."""

    outputs: list[Any]
    parameters: list[dict[str, Tensor]]
    raised: LayerRaised | None = None


@rule(
    "DST002",
    "fsdp-step-fails",
    promise="two training steps under fully_shard are those of the plain layer",
    family="distribution",
    severity="warning",
    tier="full",
    status="preview",
    needs=("forward", "backward", "parameters", "deterministic"),
    since="0.1",
)
def fsdp_step_fails(probe: Probe) -> Iterator[Finding]:
    """Makes two training steps with FSDP2's `fully_shard`, in a group of this process alone.

    The outputs, and the parameters after each step, are compared with those of the plain layer,
    which takes the same steps.

    ## Why is this bad
    FSDP2 replaces each Parameter by a shard, gathers copies of the shards for the time of forward
    and throws the copies away after backward. What forward writes into a weight is lost, and what
    it reads from anywhere else than `self.name` is not trained. Nothing raises: the loss of the
    run on eight devices is another one than that of the run on one.

    ## Bad
    ```python
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)
            self.gate = nn.Parameter(torch.ones(()))

        def forward(self, x):
            return x + self.gate * self.linear(x)


    case = Case(Gated, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)
            self.gate = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return x + self.gate * self.linear(x)


    case = Case(Gated, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Give each parameter one dimension or more, contiguous memory and the dtype of the others. Read
    parameters as attributes of self inside forward, keep no list, view or closure of them.
    Constrain weights by a parametrization (`torch.nn.utils.parametrize`), not by writing into them.

    ## Limits
    The layer is wrapped as one unit: what happens if a part is wrapped too, and called by
    `part.forward`, is PUR007's. Layers that write into a parameter on purpose are reported too, as
    FSDP2 loses what they write: `nn.Embedding(max_norm=...)`, or an initialisation by the first
    batch. So are sparse gradients. There is one process, on the CPU, without mixed precision.

    ## References
    - https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html
    - https://github.com/pytorch/pytorch/pull/132934: why parameters without dimensions are refused
    - https://github.com/komikndr/raylight/issues/5: one in a user's model
    - https://github.com/pytorch/pytorch/issues/144289: what a parameter is, and when
    """
    if any(item.device.type != "cpu" for item in probe.subject.layer.parameters()):
        probe.skip("its parameters are not on the CPU")
    make = _maker(probe)
    plain, again = _train(probe, make()), _train(probe, make())
    if plain.raised:
        probe.skip(f"two steps without fully_shard raised {plain.raised.words}")
    if _first_difference(plain, again):
        probe.skip("two equal trainings without fully_shard differ")
    with sharding_of_one() as shard:
        wrapped = _train(probe, make(), shard)
    where, found, fix = "", "", _READ
    if wrapped.raised:
        where, fix = _unfit(make()) or (f"training step {len(wrapped.outputs) + 1}", _READ)
        found = f"the wrapped layer raised {wrapped.raised.words[:160]}"
    elif first := _first_difference(plain, wrapped):
        where, found = first
        if not _is_plain(plain.outputs[0]):
            probe.skip(f"fully_shard may not see the tensors in a {type(plain.outputs[0])}")
    if not where:
        return
    place = _place_of(probe, where, wrapped.raised)
    yield Finding(
        where=where,
        expected=f"the {STEPS} training steps of the plain layer, under fully_shard",
        found=found,
        fix=fix,
        file=place.file,
        line=place.line,
    )


def _maker(probe: Probe) -> Callable[[], nn.Module]:
    """Return what makes equal layers: built if possible, as a copy cuts views and closures."""
    try:
        probe.rebuild()
    except Skip:
        return lambda: probe.layer(training=True)
    return lambda: probe.rebuild(training=True)


def _train(
    probe: Probe, layer: nn.Module, shard: Callable[[nn.Module], None] | None = None
) -> _Training:
    """Train a layer for some steps, and call it once more."""
    outputs: list[Any] = []
    parameters: list[dict[str, Tensor]] = []

    def steps() -> None:
        if shard is not None:
            shard(layer)
        trained = [item for item in layer.parameters() if item.requires_grad]
        optimizer = torch.optim.SGD(trained, lr=_RATE)
        for step in range(STEPS + 1):
            output = probe.call(layer, seed=probe.seed + step)
            outputs.append(detached(output))
            if step == STEPS:
                return
            loss = projection(output, probe.seed)
            if loss is None:
                probe.skip("no output requires gradients in training mode")
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            parameters.append({name: _whole(item) for name, item in layer.named_parameters()})

    with torch.enable_grad():
        raised = probe.attempt(steps).raised
    return _Training(outputs, parameters, raised)


def _whole(parameter: Tensor) -> Tensor:
    """Return a copy of a parameter; of a shard, what all processes hold together."""
    whole = getattr(parameter, "full_tensor", None)
    return (whole() if callable(whole) else parameter).detach().clone()


def _first_difference(one: _Training, other: _Training) -> tuple[str, str] | None:
    """Return where two trainings part, and how, in words; None if they never do."""
    for step in range(STEPS + 1):
        words = difference(one.outputs[step], other.outputs[step], tolerance=SAME)
        if words:
            return f"the output of training step {step + 1}", words
        if step == STEPS:
            return None
        before, after = one.parameters[step], other.parameters[step]
        for name, tensor in before.items():
            words = difference(tensor, after.get(name), tolerance=SAME)
            if words:
                return name, f"after training step {step + 1} {words}"
    return None


def _is_plain(output: Any) -> bool:
    """Tell whether tensors lie in containers that every torch looks into for them."""
    if isinstance(output, Tensor):
        return True
    if type(output) is dict:
        return all(map(_is_plain, output.values()))
    if type(output) in (list, tuple) or (isinstance(output, tuple) and hasattr(output, "_fields")):
        return all(map(_is_plain, output))
    return not any(named_tensors(output))


def _unfit(layer: nn.Module) -> tuple[str, str] | None:
    """Return a parameter that fully_shard cannot take, and what to do."""
    for name, item in layer.named_parameters():
        if item.dim() == 0:
            return name, "make it a parameter of shape (1,)"
        if not item.is_contiguous():
            return name, "make it contiguous: nn.Parameter(tensor.contiguous())"
    trained = {name: item for name, item in layer.named_parameters() if item.requires_grad}
    usual = Counter(item.dtype for item in trained.values()).most_common(1)
    for name, item in trained.items():
        if item.numel() == 0:
            return name, "leave out parameters without values"
        if item.dtype != usual[0][0]:
            return name, "give all parameters of the layer one dtype"
    return None


def _place_of(probe: Probe, where: str, raised: LayerRaised | None) -> Place:
    """Return the user's line that makes a parameter or raised, or else the layer's class."""
    if where in dict(probe.subject.layer.named_parameters()):
        place = place_of_parameter(probe.subject.layer, where)
        if place != probe.place():
            return place
    if raised is not None and raised.place.file is not None and is_users(raised.place.file):
        return raised.place
    return probe.place()
