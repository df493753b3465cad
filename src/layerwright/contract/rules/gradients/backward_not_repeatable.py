"""GRD005 backward-not-repeatable."""

from collections.abc import Iterator

from torch import Tensor

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.replaying import Replay, replays
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.torch_compat.functions import is_function_node
from layerwright.random_numbers import seed_all


@rule(
    "GRD005",
    "backward-not-repeatable",
    promise="a second backward pass through a retained graph gives what the first one gave",
    family="gradients",
    needs=(),
    since="0.1",
)
def backward_not_repeatable(probe: Probe) -> Iterator[Finding]:
    """Runs each custom backward formula twice with `retain_graph=True` and one seed.

    ## Why is this bad
    Two losses that share a layer, and every per-loss gradient, run backward twice. A formula that
    uses up what forward saved returns other numbers the second time.

    ## Bad
    ```python
    class Scale(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.factor = 2.0
            return 2.0 * x

        @staticmethod
        def backward(ctx, grad_output):
            factor, ctx.factor = ctx.factor, 1.0
            return factor * grad_output


    class ScaleLayer(nn.Module):
        def forward(self, x):
            return Scale.apply(x)


    case = Case(ScaleLayer, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Scale(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.factor = 2.0
            return 2.0 * x

        @staticmethod
        def backward(ctx, grad_output):
            return ctx.factor * grad_output


    class ScaleLayer(nn.Module):
        def forward(self, x):
            return Scale.apply(x)


    case = Case(ScaleLayer, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Read from ctx, never write it in backward; autograd frees saved tensors by itself. A second
    backward that raises is a warning.

    ## Limits
    A Function that deletes attributes of its ctx in backward frees memory on purpose.
    """
    seen: set[str] = set()
    for replay in replays(probe):
        attempt = probe.attempt(lambda replay=replay: _twice(replay))  # type: ignore[misc]
        if attempt.raised or attempt.output is None or replay.name in seen:
            continue
        seen.add(replay.name)
        words, raised = attempt.output
        yield Finding(
            where=f"backward of {replay.name}",
            expected="the same gradients from two passes through one retained graph",
            found=f"the second pass: {words}",
            fix="leave ctx and the saved tensors as they are in backward",
            severity="warning" if raised else "error",
            file=replay.place.file,
            line=replay.place.line,
        )


def _twice(replay: Replay) -> tuple[str, bool] | None:
    leaves = replay.leaves()
    outputs = replay.run(leaves)
    kept = _kept(outputs)
    sent: list[Tensor | None] = list(replay.weights(outputs))
    seed_all(replay.seed)
    first = [
        None if item is None else item.clone() for item in replay.gradients(leaves, outputs, sent)
    ]
    seed_all(replay.seed)
    fresh: list[Tensor | None] = list(replay.weights(outputs))
    try:
        second = replay.gradients(leaves, outputs, fresh)
    except Exception as error:  # noqa: BLE001 - a backward formula may raise anything
        freed = kept - _kept(outputs)
        return None if freed else (f"raised {LayerRaised(error).words}", True)
    words = difference(first, second)
    return (words, False) if words else None


def _kept(outputs: list[Tensor]) -> set[str]:
    """Return the attributes that hold something on the nodes of the Function."""
    nodes = [output.grad_fn for output in outputs if is_function_node(output.grad_fn)]
    return {name for node in nodes for name, value in vars(node).items() if value is not None}
