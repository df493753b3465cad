"""GRD011 unused-output-breaks-backward."""

from collections.abc import Iterator

import torch
from torch import Tensor

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.replaying import Replay, replays
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule


@rule(
    "GRD011",
    "unused-output-breaks-backward",
    promise="backward works when the loss uses some of the outputs only",
    family="gradients",
    needs=(),
    since="0.1",
)
def unused_output_breaks_backward(probe: Probe) -> Iterator[Finding]:
    """Sends gradients into each single output of a Function that has several.

    ## Why is this bad
    With `ctx.set_materialize_grads(False)` an output that no loss uses sends None. A formula that
    computes with it raises, in the first training script that drops that output.

    ## Bad
    ```python
    class SinCos(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(x)
            return x.sin(), x.cos()

        @staticmethod
        def backward(ctx, grad_sin, grad_cos):
            (x,) = ctx.saved_tensors
            return grad_sin * x.cos() - grad_cos * x.sin()


    class SinCosLayer(nn.Module):
        def forward(self, x):
            return SinCos.apply(x)


    case = Case(SinCosLayer, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class SinCos(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin(), x.cos()

        @staticmethod
        def backward(ctx, grad_sin, grad_cos):
            (x,) = ctx.saved_tensors
            return grad_sin * x.cos() - grad_cos * x.sin()


    class SinCosLayer(nn.Module):
        def forward(self, x):
            return SinCos.apply(x)


    case = Case(SinCosLayer, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Test each gradient for None, or leave `set_materialize_grads` alone: autograd then sends zeros.
    """
    seen: set[str] = set()
    for replay in replays(probe):
        if replay.name in seen:
            continue
        attempt = probe.attempt(lambda replay=replay: _broken(replay))  # type: ignore[misc]
        if attempt.raised or attempt.output is None:
            continue
        seen.add(replay.name)
        used, count, words = attempt.output
        yield Finding(
            where=f"backward of {replay.name}",
            expected="for None what it returns for a gradient of zeros",
            found=f"with a gradient for output {used} of {count} only, backward {words}",
            fix="test each incoming gradient for None, or do not turn set_materialize_grads off",
            file=replay.place.file,
            line=replay.place.line,
        )


def _broken(replay: Replay) -> tuple[int, int, str] | None:
    count = sum(output.requires_grad for output in replay.run(replay.leaves()))
    if count < 2:
        return None
    for used in range(count):
        expected = _alone(replay, used, zeros=True)
        try:
            actual = _alone(replay, used, zeros=False)
        except Exception as error:  # noqa: BLE001 - a backward formula may raise anything
            return used, count, f"raised {LayerRaised(error).words}"
        words = difference(_filled(replay, expected), _filled(replay, actual), tolerance=1e-4)
        if words:
            return used, count, f"differs: {words}"
    return None


def _alone(replay: Replay, used: int, *, zeros: bool) -> list[Tensor | None]:
    leaves = replay.leaves()
    outputs = [output for output in replay.run(leaves) if output.requires_grad]
    sent = [
        weight if place == used else torch.zeros_like(weight) if zeros else None
        for place, weight in enumerate(replay.weights(outputs))
    ]
    return replay.gradients(leaves, outputs, sent)


def _filled(replay: Replay, found: list[Tensor | None]) -> list[Tensor]:
    """Return gradients with zeros for None, which means the same."""
    return [
        torch.zeros_like(replay.args[place]) if item is None else item
        for place, item in zip(replay.wanted, found, strict=True)
    ]
