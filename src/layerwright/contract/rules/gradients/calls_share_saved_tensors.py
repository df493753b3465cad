"""GRD012 calls-share-saved-tensors."""

from collections.abc import Iterator

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.gradient_passes import sent_back, widest
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.trees import Inputs, is_float


@rule(
    "GRD012",
    "calls-share-saved-tensors",
    promise="a second call leaves what the first one saved for its backward pass",
    family="gradients",
    needs=("forward", "deterministic"),
    explains=("GRD002", "TRN006", "CMP008"),
    since="0.1",
)
def calls_share_saved_tensors(probe: Probe) -> Iterator[Finding]:
    """Calls a layer twice, runs backward of the first call, and compares with a call alone.

    ## Why is this bad
    Siamese networks, recurrences and weight sharing call a layer several times before backward.
    What is kept on the module, the class or in a common buffer then belongs to the last call.

    ## Bad
    ```python
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            Square.x = x.detach()
            return x * x

        @staticmethod
        def backward(ctx, grad_output):
            return 2 * grad_output * Square.x


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
    Save tensors with `ctx.save_for_backward`, and allocate work space in each call.

    ## Limits
    A layer whose second equal call answers otherwise keeps a state (a cache, a stream); when only
    its backward raises, that is taken for the nature of a state.
    """
    reasons = []
    for training in (True, False):
        mode = "training" if training else "eval"
        try:
            layer, inputs, alone = widest(probe, training=training)
        except LayerRaised as raised:
            reasons.append(f"a backward pass in {mode} mode raised {raised.words}")
            continue
        layer, first = probe.layer(training=training), _again(inputs)
        output = probe.call(layer, first)
        second = _second(probe, inputs)
        if probe.attempt(lambda layer=layer, second=second: probe.call(layer, second)).raised:  # type: ignore[misc]
            probe.call(layer, _again(inputs))
        attempt = probe.attempt(
            lambda layer=layer, first=first, output=output: sent_back(probe, layer, first, output)  # type: ignore[misc]
        )
        if attempt.raised:
            if _has_state(probe, training=training):
                reasons.append("its answers depend on earlier calls, so that it keeps a state")
                continue
            words: str | None = f"raised {attempt.raised.words}"
        else:
            found = attempt.output
            words = difference(
                [*_values(alone.inputs), *_values(alone.parameters)],
                [*_values(found.inputs), *_values(found.parameters)],
                tolerance=1e-3,
            )
        if words:
            yield Finding(
                where=f"backward, after a second call in {mode} mode",
                expected="the gradients of the first call, as without a second one",
                found=f"backward of the first call: {words}",
                fix="keep what backward needs in ctx.save_for_backward, or in fresh tensors",
                file=probe.place().file,
                line=probe.place().line,
            )
            return
    if len(reasons) == 2:
        probe.skip(reasons[0])


def _values(found: object) -> list[object]:
    return list(getattr(found, "values", list)())


def _again(inputs: Inputs) -> Inputs:
    """Return fresh leaves with the same values."""
    return inputs.map(lambda item: item.detach().clone().requires_grad_(item.requires_grad))


def _second(probe: Probe, like: Inputs) -> Inputs:
    """Return other inputs whose tensors require gradients where those of `like` do."""
    other = probe.other_inputs(probe.seed + 1)
    for one, two in zip(like.tensors(), other.tensors(), strict=True):
        if is_float(two.tensor):
            two.tensor.requires_grad_(one.tensor.requires_grad)
    return other


def _has_state(probe: Probe, *, training: bool) -> bool:
    """Tell whether a call answers otherwise after a call with other inputs."""
    layer = probe.layer(training=training)
    first = probe.attempt(lambda: probe.call(probe.layer(training=training)))
    probe.attempt(lambda: probe.call(layer, probe.other_inputs(probe.seed + 1)))
    second = probe.attempt(lambda: probe.call(layer))
    if first.raised or second.raised:
        return True
    return difference(first.output, second.output, tolerance=1e-3) is not None
