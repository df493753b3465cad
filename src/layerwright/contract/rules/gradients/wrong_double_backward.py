"""GRD002 wrong-double-backward."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from layerwright.contract.comparing import number
from layerwright.contract.evidence.formulas import compare
from layerwright.contract.evidence.numeric_gradients import Difference, directions, product
from layerwright.contract.evidence.replaying import Replay, replays
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule


@rule(
    "GRD002",
    "wrong-double-backward",
    promise="a second derivative is right, or raises",
    family="gradients",
    severity="warning",
    needs=(),
    excused_by=("surrogate_gradient",),
    since="0.1",
)
def wrong_double_backward(probe: Probe) -> Iterator[Finding]:
    """Differentiates each right backward formula once more, and compares with differences.

    ## Why is this bad
    Gradient penalties, meta-learning and Hessian products differentiate backward. A formula that
    uses intermediate results of forward, which carry no graph, gives a second derivative that lacks
    terms, and nothing raises.

    ## Bad
    ```python
    class Exp(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            slope = 2 * x
            ctx.save_for_backward(slope)
            return x * x

        @staticmethod
        def backward(ctx, grad_output):
            (slope,) = ctx.saved_tensors
            return grad_output * slope


    class ExpLayer(nn.Module):
        def forward(self, x):
            return Exp.apply(x)


    case = Case(ExpLayer, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Exp(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad_output):
            (x,) = ctx.saved_tensors
            return grad_output * 2 * x


    class ExpLayer(nn.Module):
        def forward(self, x):
            return Exp.apply(x)


    case = Case(ExpLayer, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Save arguments and outputs, and compute intermediate results again in backward; or put
    `@once_differentiable` above it, which raises instead.

    ## Limits
    Functions whose first derivative is not judged or wrong (GRD001), and those that compute in
    float32 only, are left out. It is a warning: many layers are never differentiated twice.

    ## References
    - https://github.com/pytorch/pytorch/issues/76185
    - https://github.com/pytorch/pytorch/issues/104040
    """
    seen: set[str] = set()
    for replay in replays(probe):
        if replay.name in seen:
            continue
        precise = replay.precise()
        if precise is replay and not _wide(replay):
            continue
        verdict = compare(replay)
        if verdict.excuse or verdict.faults:
            continue
        attempt = probe.attempt(lambda precise=precise: _wrong(precise))  # type: ignore[misc]
        if attempt.raised or attempt.output is None:
            continue
        seen.add(replay.name)
        place, claimed, measured = attempt.output
        label = replay.labels[place]
        yield Finding(
            where=f"backward of {replay.name}, second derivative by {label}",
            expected=f"a slope of {number(measured)} along a random direction of {label}",
            found=f"{number(claimed)}, without an exception",
            fix="save arguments or outputs only, or decorate backward with @once_differentiable",
            file=replay.place.file,
            line=replay.place.line,
        )


def _wide(replay: Replay) -> bool:
    return all(
        arg.dtype in {torch.float64, torch.complex128}
        for place, arg in enumerate(replay.args)
        if place in replay.wanted
    )


def _wrong(replay: Replay) -> tuple[int, float, float] | None:
    """Return an argument, and the slope of the gradient along it by formula and by differences."""
    leaves = replay.leaves()
    outputs = replay.run(leaves)
    sent = [item.requires_grad_() for item in replay.weights(outputs)]
    projected = _gradient_projection(replay, leaves, outputs, sent, create_graph=True)
    if projected.requires_grad:
        try:
            # Not torch.autograd.grad, which walks around a node that would raise.
            projected.backward()
        except Exception:  # noqa: BLE001 - it says that it has no second derivative
            return None
    found = [leaves[place].grad for place in replay.wanted]
    for place, gradient in zip(replay.wanted, found, strict=True):
        at = leaves[place].detach()
        difference = Difference(_projected(replay, place), at)
        for direction in directions(at, 2, replay.seed + 2):
            claimed = 0.0 if gradient is None else product(gradient, direction)
            slope = difference.steady(direction)
            terms = (
                0.0
                if gradient is None
                else float((gradient * direction).abs().square().sum().sqrt())
            )
            gap, size = abs(slope.value - claimed), max(abs(slope.value), terms)
            if slope.smooth and gap > 0.02 * size + 100 * slope.floor:
                return place, claimed, slope.value
    return None


def _projected(replay: Replay, place: int) -> Callable[[Tensor], tuple[float, float]]:
    def function(value: Tensor) -> tuple[float, float]:
        leaves = replay.leaves()
        leaves[place] = value.detach().clone().requires_grad_()
        outputs = replay.run(leaves)
        total = _gradient_projection(replay, leaves, outputs, replay.weights(outputs))
        return float(total), abs(float(total)) + 1.0

    return function


def _gradient_projection(
    replay: Replay,
    leaves: list[Tensor],
    outputs: list[Tensor],
    sent: list[Tensor],
    *,
    create_graph: bool = False,
) -> Tensor:
    """Return the sum of all gradients, each value weighted by a random number."""
    pairs = [(one, two) for one, two in zip(outputs, sent, strict=True) if one.requires_grad]
    found = torch.autograd.grad(
        [output for output, _ in pairs],
        [leaves[place] for place in replay.wanted],
        [weight for _, weight in pairs],
        create_graph=create_graph,
        allow_unused=True,
    )
    total = torch.zeros((), dtype=torch.float64)
    for place, gradient in enumerate(found):
        if gradient is not None:
            (weight,) = directions(gradient.detach(), 1, replay.seed + 7 + place)
            total = total + (gradient * weight.conj()).real.sum().double()
    return total
