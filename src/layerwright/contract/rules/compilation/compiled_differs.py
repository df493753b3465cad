"""CMP002 compiled-differs."""

from collections.abc import Iterator
from functools import partial

import torch

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.compiled_pass import (
    amplifies,
    answer,
    differ,
    draws_numbers,
    questions,
    traced,
)
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.torch_compat.fake_kernels import misdescribed_operator


@rule(
    "CMP002",
    "compiled-differs",
    promise="compiled or not, the layer gives the same answers and gradients",
    family="compilation",
    tier="full",
    needs=("forward", "deterministic"),
    explains=("CMP003",),
    since="0.1",
)
def compiled_differs(probe: Probe) -> Iterator[Finding]:
    """Compares outputs, gradients and buffers with those of the compiled layer, on two inputs.

    ## Why is this bad
    What was trained or tested without the compiler is not what runs with it, and nothing raises.

    ## Bad
    ```python
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x):
            if torch.compiler.is_compiling():
                return self.linear(x)
            return self.linear(x) * x.shape[-1] ** -0.5


    case = Case(Scaled, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x):
            return self.linear(x) * x.shape[-1] ** -0.5


    case = Case(Scaled, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Look at what the compiler takes for constant (`torch.compiler.assume_constant_result`), at
    branches on `is_compiling()`, and at the fake kernels and declared mutations of custom
    operators (CMP009). A buffer that forward changes in place before it uses it gets a wrong
    gradient from torch.compile itself, in torch 2.13 at least, and a warning here: change it after
    its last use.

    ## Limits
    Compiled is with the backend aot_eager, which runs the traced graph, forward and backward, with
    torch's usual kernels. A layer that draws random numbers is judged in eval mode only. Not judged
    are layers that are no single graph (CMP001), that amplify roundings, or that call an operator
    of torch of which torch tells its own compiler a wrong shape or dtype.

    ## References
    - https://github.com/pytorch/pytorch/issues/169253: state that a compiled module gets wrong
    """
    judged = False
    for training in (False, True):
        result = traced(probe, training=training)
        if not result.answers or draws_numbers(probe, training=training):
            continue
        judged = True
        layer = probe.layer(training=training)
        for given, actual in zip(questions(probe), result.answers, strict=True):
            try:
                expected = answer(probe, layer, layer, given)
            except Exception as error:
                raise LayerRaised(error) from error
            words = differ(expected, actual)
            if words and not amplifies(probe, given, training=training):
                operator = misdescribed_operator(partial(answer, probe, layer, layer, given))
                if operator:
                    probe.skip(f"torch tells its compiler a wrong shape or dtype for {operator}")
                torchs = words[0].startswith("gradient") and _reads_what_it_writes(probe)
                yield Finding(
                    where=f"forward in {'training' if training else 'eval'} mode, {words[0]}",
                    severity="warning" if torchs else None,
                    expected="what the layer gives without torch.compile",
                    found=f"compiled, {words[1]}",
                    fix="write forward without branches on is_compiling() and without constants "
                    "that depend on inputs; check custom operators with CMP009",
                    file=probe.place().file,
                    line=probe.place().line,
                )
                return
    if not judged:
        probe.skip("it could not be compiled as one graph, or draws random numbers")


def _reads_what_it_writes(probe: Probe) -> bool:
    """Tell whether forward in training mode changes a buffer in place that its answer depends on.

    torch loses track of such a buffer when it compiles the backward pass.
    """
    layer = probe.layer(training=True)
    before = {name: buffer.clone() for name, buffer in layer.named_buffers()}
    buffers = dict(layer.named_buffers())
    first = probe.attempt(lambda: probe.call(layer))
    for name, value in before.items():
        if not value.is_floating_point() or torch.equal(buffers[name], value):
            continue
        other = probe.layer(training=True)
        other.get_buffer(name).mul_(1.1).add_(0.1)
        second = probe.attempt(lambda other=other: probe.call(other))  # type: ignore[misc]
        if not second.raised and difference(first.output, second.output):
            return True
    return False
