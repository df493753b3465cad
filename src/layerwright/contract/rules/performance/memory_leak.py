"""PRF001 memory-leak."""

import gc
import weakref
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.rules.performance.grows_per_call import kept_values, tensors_in
from layerwright.contract.torch_compat.dispatch import OpRecorder

CALLS = 5


@rule(
    "PRF001",
    "memory-leak",
    promise="the memory of a call is free again when its outputs are dropped",
    family="performance",
    severity="warning",
    needs=("train_forward",),
    excused_by=("stateful",),
    since="0.1",
)
def memory_leak(probe: Probe) -> Iterator[Finding]:
    """Calls the layer in training mode several times, drops the outputs, and looks what lives on.

    ## Why is this bad
    A tensor that refers to itself, by way of `ctx` of a Function that keeps its own output, waits
    for Python's garbage collector, which knows nothing of the gigabytes behind it. One that a list
    keeps is never freed. Either way a training run ends out of memory after hours.

    ## Bad
    ```python
    class Clipped(nn.Module):
        def forward(self, x):
            y = x.sigmoid()
            if y.requires_grad:
                y.register_hook(lambda grad: grad.clamp(-100.0, 100.0).reshape(y.shape))
            return y.tanh()


    case = Case(Clipped, inputs=(torch.randn(3, 4),))
    ```

    ## Good
    ```python
    class Clipped(nn.Module):
        def forward(self, x):
            y = x.sigmoid()
            if y.requires_grad:
                y.register_hook(lambda grad: grad.clamp(-100.0, 100.0))
            return y.tanh()


    case = Case(Clipped, inputs=(torch.randn(3, 4),))
    ```

    ## How to fix
    Save outputs with `ctx.save_for_backward`. What is kept for a log is kept as a number:
    `float(loss)`. A hook of a tensor gets the gradient as its argument; what else it needs of the
    tensor, such as the shape, is taken out before.

    ## Limits
    What the last call leaves on the layer is not counted. Lists of the layer that grow are judged
    by PRF004.

    ## References
    - https://github.com/pytorch/pytorch/issues/25340: tensors on ctx
    - https://github.com/asappresearch/sru/pull/171: memory that grows with each step
    - https://github.com/dmlc/dgl/pull/1060: the same in message passing
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        layer = probe.layer(training=True)
        state = {_address(item) for item in (*layer.parameters(), *layer.buffers())}
        calls = [_called(probe, layer) for _ in range(CALLS)]
        middle = calls[1:-1]  # the first may fill caches, the last may be kept until the next
        alive = [
            [item for item in _alive(call) if _address(item) not in state] for call in middle
        ]  # an operator that writes in place returns the parameter or buffer itself
        if not all(alive):
            return
        count = min(map(len, alive))
        size = sum(item.numel() * item.element_size() for item in alive[0])
        kept = [item for _, value in kept_values(layer) for item in tensors_in(value)]
        known = {id(item) for item in kept}
        if any(id(item) in known for items in alive for item in items):
            return  # the layer keeps them where PRF004 sees them
        if any(item.grad_fn is not None for item in kept):
            return  # a graph that the layer keeps holds them, which SER005 and TRN006 judge
        alive.clear()
        gc.collect()
        held = all(_alive(call) for call in middle)
        place = probe.place()
    finally:
        if enabled:
            gc.enable()
    yield Finding(
        where="forward in training mode",
        expected="no tensor of a call alive after its outputs were dropped",
        found=f"{count} tensor{'s' if count > 1 else ''} of each call ({size} bytes) still alive: "
        + (
            "a list elsewhere keeps them, or a hook that refers to its own tensor"
            if held
            else "a cycle of references that only the garbage collector frees"
        ),
        fix=(
            "keep numbers, not tensors; let a tensor's hook not refer to the tensor itself"
            if held
            else "save outputs with ctx.save_for_backward, not as attributes of ctx"
        ),
        file=place.file,
        line=place.line,
    )


def _called(probe: Probe, layer: nn.Module) -> list[weakref.ref[Tensor]]:
    """Call the layer, drop the outputs, and return references to what its operators made."""
    inputs = probe.inputs().requiring_grad()
    recorder = OpRecorder(with_places=False)
    with recorder:
        probe.call(layer, inputs)
    return [weakref.ref(tensor) for call in recorder.calls for tensor in call.tensors_out]


def _address(tensor: Tensor) -> int:
    return tensor.data_ptr() if tensor.layout is torch.strided else id(tensor)


def _alive(call: list[weakref.ref[Tensor]]) -> list[Tensor]:
    found = {id(item): item for item in (ref() for ref in call) if item is not None}
    return list(found.values())
