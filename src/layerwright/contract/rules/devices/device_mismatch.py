"""DEV001 device-mismatch."""

from collections.abc import Iterator

from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.torch_compat.fake import Elsewhere, elsewhere

# What torch says on a machine without the accelerator that a layer asks for by name.
_NO_ACCELERATOR = (
    "not compiled with CUDA",
    "not linked with support for",
    "Found no NVIDIA driver",
    "No CUDA GPUs are available",
)


@rule(
    "DEV001",
    "device-mismatch",
    promise="a layer that was moved to another device runs there",
    family="devices",
    needs=(),
    explains=("NET001", "DTY001", "DTY002", "DTY005"),
    since="0.1",
)
def device_mismatch(probe: Probe) -> Iterator[Finding]:
    """Moves the layer and its inputs to a device that holds no data, and calls it, in both modes.

    No accelerator is needed: what stays behind on the CPU meets what was moved and raises, as it
    would on a GPU.

    ## Why is this bad
    The layer works on the machine that it was written on and raises on the first one with a GPU:
    a tensor that is neither parameter nor buffer stays behind, and so does one that forward makes
    without naming a device.

    ## Bad
    ```python
    class Positions(nn.Module):
        def forward(self, x):
            return x + torch.arange(x.shape[1])


    case = Case(Positions, inputs=(torch.randn(3, 5),))
    ```

    ## Good
    ```python
    class Positions(nn.Module):
        def forward(self, x):
            return x + torch.arange(x.shape[1], device=x.device, dtype=x.dtype)


    case = Case(Positions, inputs=(torch.randn(3, 5),))
    ```

    ## How to fix
    Make tensors where the input lies: `torch.zeros(..., device=x.device)`, `x.new_zeros(...)`,
    `torch.zeros_like(x)`. Register constants with `self.register_buffer(name, tensor)`. Never write
    `.cuda()` or `device="cuda"` inside a layer.

    ## Limits
    Nothing is computed, so a pass ends where Python asks for the values of a tensor: what comes
    behind that line is not judged. An operator without a fake kernel ends it, too. A layer that
    branches on the kind of device is skipped. Tensors without dimensions may stay on the CPU, torch
    allows it.

    ## References
    - https://github.com/pytorch/pytorch/issues/29807
    - https://github.com/pytorch/audio/pull/369
    - https://github.com/meta-pytorch/botorch/pull/1035
    """
    raised = probe.eval_attempt.raised
    if raised and not _is_about_devices(raised):
        probe.skip(f"forward in eval mode raised {raised.words}")
    outcomes = []
    for training in (False, True):
        outcome = elsewhere(probe, training=training)
        if outcome.kind == "mismatch":
            yield _finding(outcome, "training" if training else "eval")
            return
        outcomes.append(outcome)
    if raised:
        yield Finding(
            where="forward",
            expected="forward runs on the device that the layer and its inputs lie on",
            found=f"it asks for an accelerator by name: {raised.words}",
            fix="remove .cuda() and device='cuda'; use x.device",
            file=raised.place.file,
            line=raised.place.line,
        )
        return
    if all(outcome.kind != "ok" for outcome in outcomes):
        first = outcomes[0]
        at = f" at {first.operator}" if first.operator else ""
        probe.skip(f"it cannot run without data: {first.kind}{at}, {first.place} ({first.words})")


def _finding(outcome: Elsewhere, mode: str) -> Finding:
    if outcome.left:
        where = ", ".join(outcome.left[:3])
        fix = (
            f"register {where} with self.register_buffer (or as a Parameter, or a submodule), "
            "so that it moves with the layer"
        )
    elif outcome.operator.startswith("Tensor."):
        where = "forward"
        fix = "use torch's operators, or move the tensor with .cpu() first"
    else:
        where = "forward"
        fix = "make the tensor on the input's device: device=x.device, x.new_zeros, zeros_like(x)"
    at = f" at {outcome.operator}" if outcome.operator else ""
    return Finding(
        where=where,
        expected="after layer.to(device), forward runs on that device",
        found=f"{outcome.words}{at}, in {mode} mode",
        fix=fix,
        file=outcome.place.file,
        line=outcome.place.line,
    )


def _is_about_devices(raised: LayerRaised) -> bool:
    words = str(raised.error)
    return any(text in words for text in _NO_ACCELERATOR)
