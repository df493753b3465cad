"""GRD007 inplace-without-mark-dirty."""

from collections.abc import Iterator

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.replaying import Replay, replays
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule


@rule(
    "GRD007",
    "inplace-without-mark-dirty",
    promise="a Function that writes an argument in place says so with ctx.mark_dirty",
    family="gradients",
    needs=(),
    explains=("PUR001",),
    since="0.1",
)
def inplace_without_mark_dirty(probe: Probe) -> Iterator[Finding]:
    """Compares the arguments of each Function before and after forward with what it marked.

    ## Why is this bad
    Autograd believes that the argument still holds what it held. Whoever reads it next sees new
    values and sends gradients along the old graph.

    ## Bad
    ```python
    class Halve(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            x.mul_(0.5)
            return x.clone()

        @staticmethod
        def backward(ctx, grad_output):
            return 0.5 * grad_output


    class HalveLayer(nn.Module):
        def forward(self, x):
            return Halve.apply(x + 1.0)


    case = Case(HalveLayer, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Halve(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 0.5

        @staticmethod
        def backward(ctx, grad_output):
            return 0.5 * grad_output


    class HalveLayer(nn.Module):
        def forward(self, x):
            return Halve.apply(x + 1.0)


    case = Case(HalveLayer, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Write out of place, or call `ctx.mark_dirty(x)` and return `x` itself.

    ## Limits
    Arguments that want no gradient, such as running statistics and work space, may be written.

    ## References
    - https://github.com/pytorch/pytorch/issues/5871: a gradient that is None
    """
    seen: set[tuple[str, int]] = set()
    for replay in replays(probe):
        for place in replay.written:
            if place not in replay.wanted or (replay.name, place) in seen:
                continue
            attempt = probe.attempt(lambda replay=replay, place=place: _change(replay, place))  # type: ignore[misc]
            if attempt.raised or not attempt.output:
                continue
            seen.add((replay.name, place))
            label = replay.labels[place]
            yield Finding(
                where=f"forward of {replay.name}, argument {label}",
                expected=f"{label} untouched, or ctx.mark_dirty({label})",
                found=f"forward wrote it without a mark: {attempt.output}",
                fix=f"write out of place, or ctx.mark_dirty({label}) and return it",
                file=replay.place.file,
                line=replay.place.line,
            )


def _change(replay: Replay, place: int) -> str | None:
    leaves = replay.leaves()
    given = replay.given(leaves)
    before = leaves[place].detach().clone()
    replay.outputs(given)
    return difference(before, given[place], exact=True)
