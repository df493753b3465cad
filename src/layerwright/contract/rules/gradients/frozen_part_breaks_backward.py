"""GRD013 frozen-part-breaks-backward."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.gradient_passes import sent_back, widest
from layerwright.contract.evidence.replaying import Replay, own_names, replays
from layerwright.contract.finding import Finding
from layerwright.contract.gradients import Gradients
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, Skip, rule
from layerwright.contract.source import Place


@rule(
    "GRD013",
    "frozen-part-breaks-backward",
    promise="freezing one part leaves the gradients of the others as they are",
    family="gradients",
    needs=("train_forward",),
    since="0.1",
)
def frozen_part_breaks_backward(probe: Probe) -> Iterator[Finding]:
    """Takes inputs, parameters and single arguments of Functions out of the graph.

    ## Why is this bad
    Fine-tuning freezes parts, and the first layer's input never requires gradients. A formula that
    computes one gradient in the branch of another then raises, or returns a wrong one.

    ## Bad
    ```python
    class Affine(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, weight):
            ctx.save_for_backward(x, weight)
            return x * weight

        @staticmethod
        def backward(ctx, grad_output):
            x, weight = ctx.saved_tensors
            if ctx.needs_input_grad[0]:
                grad_x = grad_output * weight
                grad_weight = (grad_output * x).sum(0)
            return grad_x, grad_weight


    class AffineLayer(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.rand(3) + 0.5)

        def forward(self, x):
            return Affine.apply(x, self.weight)


    case = Case(AffineLayer, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Affine(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, weight):
            ctx.save_for_backward(x, weight)
            return x * weight

        @staticmethod
        def backward(ctx, grad_output):
            x, weight = ctx.saved_tensors
            return grad_output * weight, (grad_output * x).sum(0)


    class AffineLayer(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.rand(3) + 0.5)

        def forward(self, x):
            return Affine.apply(x, self.weight)


    case = Case(AffineLayer, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Give each gradient a branch of its own: `if ctx.needs_input_grad[1]: grad_weight = ...`, and
    None before it.

    ## Limits
    Parameters and inputs that a Function is given are frozen in the layer itself, too, which may
    leave frozen ones out of the call. A layer whose forward raises while its parameters are frozen
    needs their gradients itself, as an inner loop does, and is skipped.

    ## References
    - https://docs.pytorch.org/docs/stable/notes/extending.html: needs_input_grad
    """
    seen: set[str] = set()
    for replay in replays(probe):
        if replay.name in seen:
            continue
        for frozen, words, place in _broken_parts(probe, replay):
            seen.add(replay.name)
            yield Finding(
                where=f"backward of {replay.name}",
                expected=f"the same gradients when {frozen} requires none",
                found=f"with {frozen} frozen, backward {words}",
                fix="compute each gradient in its own needs_input_grad branch",
                file=place.file,
                line=place.line,
            )
            break
    if not seen:
        yield from _whole_layer(probe)


def _broken_parts(probe: Probe, replay: Replay) -> Iterator[tuple[str, str, Place]]:
    if len(replay.wanted) < 2:
        return
    base = probe.attempt(replay.plain)
    again = probe.attempt(replay.plain)
    if base.raised or again.raised or difference(base.output, again.output):
        return
    expected = dict(zip(replay.wanted, base.output, strict=True))
    subsets: list[tuple[int, ...]] = [(place,) for place in replay.wanted]
    subsets += [
        tuple(other for other in replay.wanted if other != place) for place in replay.wanted
    ]
    for wanted in dict.fromkeys(subsets):
        places = [place for place in replay.wanted if place not in wanted]
        frozen = ", ".join(replay.labels[place] for place in places)
        attempt = probe.attempt(lambda wanted=wanted: _only(replay, wanted))  # type: ignore[misc]
        words, place = None, replay.place
        if attempt.raised:
            words = f"raised {attempt.raised.words}"
            place = attempt.raised.place if attempt.raised.place.file else place
        elif attempt.output is not None:
            differing = difference(
                [expected[place] for place in wanted], attempt.output, tolerance=1e-4
            )
            words = f"returns other gradients: {differing}" if differing else None
        if words and not _layer_bears(probe, replay, places):
            yield frozen, words, place


def _layer_bears(probe: Probe, replay: Replay, places: Sequence[int]) -> bool:
    """Tell whether the layer trains as before while its own tensors at these places are frozen.

    Its forward may hand a Function only what requires gradients.
    """
    frozen = {name for place in places for name in own_names(probe, replay, place)}
    if not frozen:
        return False
    training = replay.mode == "training"
    attempt = probe.attempt(lambda: widest(probe, training=training))
    if attempt.raised:
        return False
    _, given, before = attempt.output
    layer = probe.layer(training=training)
    for name, item in layer.named_parameters():
        item.requires_grad_(item.requires_grad and name not in frozen)
    kept = {item.name for item in given.floats() if item.tensor.requires_grad}
    inputs = probe.inputs()
    for named in inputs.floats():
        wanted = named.name in kept and f"input {named.name}" not in frozen
        named.tensor.requires_grad_(wanted)
    attempt = probe.attempt(lambda: sent_back(probe, layer, inputs, probe.call(layer, inputs)))
    if attempt.raised:
        return False
    now = {**attempt.output.inputs, **attempt.output.parameters}
    old = {**before.inputs, **before.parameters}
    return not any(difference(old[name], now[name], tolerance=1e-3) for name in now)


def _only(replay: Replay, wanted: Sequence[int]) -> list[Tensor | None] | None:
    leaves = replay.leaves(wanted)
    outputs = replay.run(leaves)
    if not any(output.requires_grad for output in outputs):
        return None
    return replay.gradients(leaves, outputs, replay.weights(outputs))


def _whole_layer(probe: Probe) -> Iterator[Finding]:
    """Freeze all parameters, then all inputs; torch's own operators bear both."""
    if probe.deterministic:
        probe.skip(f"two equal calls with one seed give different answers ({probe.deterministic})")
    _, inputs, gradients = widest(probe, training=True)
    for frozen in ("parameters", "inputs"):
        layer = probe.layer(training=True)
        given = inputs.map(lambda item: item.detach().clone().requires_grad_(item.requires_grad))
        if frozen == "parameters":
            for item in layer.parameters():
                item.requires_grad_(False)
        else:
            given = given.map(Tensor.detach)
        forward = probe.attempt(lambda layer=layer, given=given: probe.call(layer, given))  # type: ignore[misc]
        if forward.raised:
            probe.skip(f"forward itself needs gradients of its {frozen}: {forward.raised.words}")
        try:
            found = sent_back(probe, layer, given, forward.output)
        except LayerRaised as raised:
            place = raised.place if raised.place.file else probe.place()
            yield Finding(
                where=f"{frozen} frozen",
                expected="backward works, as it does with nothing frozen",
                found=f"with all {frozen} frozen backward raised {raised.words}",
                fix="ask needs_input_grad or requires_grad before what a gradient needs",
                file=place.file,
                line=place.line,
            )
            return
        except Skip:  # nothing is in the graph any more
            continue
        yield from _compared(probe, frozen, gradients, found)


def _compared(probe: Probe, frozen: str, before: Gradients, now: Gradients) -> Iterator[Finding]:
    old = {**before.inputs, **before.parameters}
    for name, gradient in {**now.inputs, **now.parameters}.items():
        # A reentrant checkpoint sends nothing when no input asks: torch's own, and it warns.
        if gradient is None or old.get(name) is None:
            continue
        words = difference(old[name], gradient, tolerance=1e-3)
        if words:
            yield Finding(
                where=f"{name}, {frozen} frozen",
                expected=f"the same gradient of {name} as with nothing frozen",
                found=words,
                fix="let no gradient depend on whether another one is asked for",
                file=probe.place().file,
                line=probe.place().line,
            )
            return
