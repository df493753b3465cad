"""GRD004 gradient-overwritten."""

from collections.abc import Iterator

from torch import Tensor

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.replaying import Replay, replays
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule


@rule(
    "GRD004",
    "gradient-overwritten",
    promise="backward leaves the gradient that it receives, and the tensors of forward, untouched",
    family="gradients",
    needs=(),
    explains=("GRD002", "GRD003", "GRD005", "GRD012"),
    since="0.1",
)
def gradient_overwritten(probe: Probe) -> Iterator[Finding]:
    """Compares gradients and arguments before and after each custom backward formula.

    ## Why is this bad
    Autograd hands one gradient tensor to several branches. A residual connection beside the layer
    then receives what the layer wrote, and all earlier layers get wrong gradients.

    ## Bad
    ```python
    class Scale(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 3 * x

        @staticmethod
        def backward(ctx, grad_output):
            return grad_output.mul_(3)


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
            return 3 * x

        @staticmethod
        def backward(ctx, grad_output):
            return grad_output * 3


    class ScaleLayer(nn.Module):
        def forward(self, x):
            return Scale.apply(x)


    case = Case(ScaleLayer, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Use the operator without the trailing underscore, or write into `grad_output.clone()`.

    ## References
    - https://github.com/pytorch/pytorch/issues/81417: a request that torch itself finds this
    - https://github.com/linkedin/Liger-Kernel/issues/254
    """
    seen: set[str] = set()
    for replay in replays(probe):
        attempt = probe.attempt(lambda replay=replay: _written(replay))  # type: ignore[misc]
        if attempt.raised or replay.name in seen:
            continue
        for what, words in attempt.output[:1]:
            seen.add(replay.name)
            yield Finding(
                where=f"backward of {replay.name}, {what}",
                expected="the same values after backward as before",
                found=words,
                fix=f"write into a clone of {what}, or use the out-of-place operator",
                file=replay.place.file,
                line=replay.place.line,
            )


def _written(replay: Replay) -> list[tuple[str, str]]:
    leaves = replay.leaves()
    given = replay.given(leaves)
    outputs = replay.outputs(given)
    sent = [weight.clone() for weight in replay.weights(outputs)]
    watched: list[tuple[str, Tensor]] = [("grad_output", item) for item in sent]
    watched += [
        (f"argument {replay.labels[place]}", item)
        for place, item in enumerate(given)
        if isinstance(item, Tensor)
    ]
    watched += [("an output of forward", item) for item in outputs]
    before = [item.detach().clone() for _, item in watched]
    replay.gradients(leaves, outputs, sent)
    found = []
    for (what, item), old in zip(watched, before, strict=True):
        words = difference(old, item, exact=True)
        if words:
            found.append((what, words))
    return found
