"""GRD006 tensor-on-ctx."""

import weakref
from collections.abc import Iterator

import torch
from torch import Tensor

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.replaying import Replay, replays
from layerwright.contract.finding import Finding, Severity
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.torch_compat.functions import is_function_node
from layerwright.contract.trees import Named, named_tensors


@rule(
    "GRD006",
    "tensor-on-ctx",
    promise="a Function keeps its arguments and outputs with save_for_backward",
    family="gradients",
    needs=(),
    explains=("PRF001",),
    since="0.1",
)
def tensor_on_ctx(probe: Probe) -> Iterator[Finding]:
    """Looks for arguments and outputs of a Function among the attributes of its ctx.

    ## Why is this bad
    An output on ctx is a reference cycle: the graph, with all that it saved, stays in memory after
    its last use. An argument on ctx escapes autograd's check: when it is written in place before
    backward, the gradient is wrong and nothing raises.

    ## Bad
    ```python
    class Exp(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.y = x.exp()
            return ctx.y

        @staticmethod
        def backward(ctx, grad_output):
            return grad_output * ctx.y


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
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, grad_output):
            (y,) = ctx.saved_tensors
            return grad_output * y


    class ExpLayer(nn.Module):
        def forward(self, x):
            return Exp.apply(x)


    case = Case(ExpLayer, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    `ctx.save_for_backward(x, y)` in forward, `x, y = ctx.saved_tensors` in backward. Numbers,
    shapes, masks and other intermediate results may stay on ctx.

    ## References
    - https://github.com/pytorch/pytorch/issues/25340: memory that is never freed
    - https://github.com/asappresearch/sru/pull/171
    """
    seen: set[str] = set()
    for replay in replays(probe):
        attempt = probe.attempt(lambda replay=replay: list(_kept(replay)))  # type: ignore[misc]
        if attempt.raised:
            continue
        for name, severity, words in attempt.output:
            if f"{replay.name}{name}" in seen:
                continue
            seen.add(f"{replay.name}{name}")
            yield Finding(
                where=f"ctx{name} of {replay.name}",
                expected="arguments and outputs of forward in ctx.save_for_backward",
                found=words,
                fix="ctx.save_for_backward(...) in forward, ctx.saved_tensors in backward",
                severity=severity,
                file=replay.place.file,
                line=replay.place.line,
            )


def _kept(replay: Replay) -> Iterator[tuple[str, Severity, str]]:
    given = replay.given(replay.leaves())
    outputs = replay.outputs(given)
    for item in _on_ctx(outputs):
        if any(item.tensor is output for output in outputs):
            if _stays(replay):
                yield (
                    item.name,
                    "error",
                    "it holds an output, which stays in memory after its last use",
                )
            continue
        for place, argument in enumerate(given):
            if not (isinstance(argument, Tensor) and argument.requires_grad):
                continue
            if item.tensor is argument:
                words = _after_a_write(replay, place)
                if words:
                    yield item.name, "warning", words
                break


def _on_ctx(outputs: list[Tensor]) -> list[Named]:
    node = next((item.grad_fn for item in outputs if is_function_node(item.grad_fn)), None)
    return (
        []
        if node is None
        else [
            named
            for name, value in vars(node).items()
            for named in named_tensors(value, f".{name}")
            if named.tensor.layout is torch.strided
        ]
    )


def _stays(replay: Replay) -> bool:
    """Tell whether an output outlives the last reference to it."""
    outputs = replay.run(replay.leaves())
    watched = [weakref.ref(output.grad_fn) for output in outputs if output.grad_fn is not None]
    del outputs
    return any(item() is not None for item in watched)


def _after_a_write(replay: Replay, place: int) -> str | None:
    """Return how gradients change when the argument is written first; None if that raises."""
    leaves = replay.leaves()
    given = replay.given(leaves)
    outputs = replay.outputs(given)
    if any(given[place] is output for output in outputs):
        return None
    with torch.no_grad():
        given[place].mul_(0.5)
    try:
        found = replay.gradients(leaves, outputs, replay.weights(outputs))
    except RuntimeError:  # autograd noticed: the tensor is saved as it should be, too
        return None
    words = difference(replay.plain(), found)
    label = replay.labels[place]
    return words and f"it holds argument {label}; written in place before backward: {words}"
