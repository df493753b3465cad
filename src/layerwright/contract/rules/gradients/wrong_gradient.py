"""GRD001 wrong-gradient."""

from collections.abc import Iterator

from layerwright.contract.comparing import number
from layerwright.contract.evidence.formulas import compare
from layerwright.contract.evidence.replaying import argument_name, replays
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule


@rule(
    "GRD001",
    "wrong-gradient",
    promise="every backward formula is the derivative of its forward",
    family="gradients",
    needs=(),
    explains=("GRD002", "GRD008", "GRD009", "CMP008", "CMP009"),
    excused_by=("surrogate_gradient",),
    since="0.1",
)
def wrong_gradient(probe: Probe) -> Iterator[Finding]:
    """Compares each custom backward formula with central differences in float64.

    Every `autograd.Function` and custom operator that the layer runs, in either mode and however
    deep inside, is run again alone on the arguments that it had there. Torch's own operators cannot
    hold a wrong formula.

    ## Why is this bad
    The optimizer walks in a wrong direction. Training often still works a little, so that the fault
    looks like a bad learning rate.

    ## Bad
    ```python
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad_output):
            (x,) = ctx.saved_tensors
            return grad_output * x


    class SquareLayer(nn.Module):
        def forward(self, x):
            return Square.apply(x)


    case = Case(SquareLayer, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad_output):
            (x,) = ctx.saved_tensors
            return 2 * grad_output * x


    class SquareLayer(nn.Module):
        def forward(self, x):
            return Square.apply(x)


    case = Case(SquareLayer, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Derive the formula again for the argument that is named; the pattern tells where to look. A
    formula that is meant to be something else says so: `@lw.traits(surrogate_gradient=True)`.

    ## Limits
    Not judged: a Function whose forward returns its argument (gradient reversal, clipping), whose
    forward is flat where gradients flow (straight-through, spikes, quantisers), whose backward is
    not linear in what it receives, or that draws other numbers at each call. Values at kinks, and
    arguments for which backward returns None, are left out. Of a large argument 24 values are
    looked at one by one, after two random directions.

    ## References
    - https://docs.pytorch.org/docs/stable/notes/gradcheck.html: how torch tests its own formulas
    """
    found = replays(probe)
    verdicts = [(replay, compare(replay)) for replay in found]
    if found and all(verdict.excuse for _, verdict in verdicts):
        replay, verdict = verdicts[0]
        probe.skip(f"{replay.name}: {verdict.excuse}")
    seen: set[tuple[str, int]] = set()
    for replay, verdict in verdicts:
        for fault in verdict.faults:
            if (replay.name, fault.place) in seen:
                continue
            seen.add((replay.name, fault.place))
            words = f"; {fault.pattern}" if fault.pattern else ""
            at = f" at {list(fault.at)}" if fault.at else ""
            yield Finding(
                where=argument_name(probe, replay, fault.place),
                expected=f"{number(fault.entry.numeric)}{at}, as central differences say",
                found=(
                    f"backward of {replay.name} returns {number(fault.entry.analytic)}{at}, "
                    f"in {replay.mode} mode; {fault.wrong} of {fault.compared} compared values are "
                    f"wrong{words}"
                ),
                fix=(
                    f"derive {replay.name}.backward for {replay.labels[fault.place]} again, "
                    "or declare surrogate_gradient=True"
                ),
                file=replay.place.file,
                line=replay.place.line,
            )
