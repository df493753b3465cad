"""BAT004 length-baked-in."""

from collections.abc import Iterator

import torch

from layerwright.contract.batch import history_effect, remembers
from layerwright.contract.evidence.axes import resized
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.trees import is_float


@rule(
    "BAT004",
    "length-baked-in",
    promise="a length that works in a fresh layer also works after a call of another length",
    family="batch",
    needs=("forward", "deterministic"),
    excused_by=("stateful",),
    since="0.1",
)
def length_baked_in(probe: Probe) -> Iterator[Finding]:
    """Calls the layer with one length and then with another, and compares with a fresh copy.

    Lengths, heights and widths are those dimensions of the first input that a fresh copy accepts in
    another size.

    ## Why is this bad
    A mask or a table that the first call builds and keeps fits that length only. Later sequences
    raise, or are silently computed with the wrong positions.

    ## Bad
    ```python
    class Window(nn.Module):
        def __init__(self):
            super().__init__()
            self.weights = None

        def forward(self, x):
            if self.weights is None:
                self.weights = torch.hann_window(x.shape[1], periodic=False, dtype=x.dtype)
            return x * self.weights.to(x)


    case = Case(Window, inputs=(torch.randn(3, 8),))
    ```

    ## Good
    ```python
    class Window(nn.Module):
        def forward(self, x):
            return x * torch.hann_window(x.shape[1], periodic=False, dtype=x.dtype, device=x.device)


    case = Case(Window, inputs=(torch.randn(3, 8),))
    ```

    ## How to fix
    Rebuild what was kept when the size differs from that of the input, or build the largest size
    once and cut it in each call.

    ## Limits
    A layer that accepts one length only (a table of positions, a linear layer over time) is sound:
    it says so by raising. An input of one dimension has no length. Layers that remember earlier
    calls on purpose are skipped.
    """
    inputs = probe.inputs()
    tensors = inputs.tensors()
    if not tensors or tensors[0].tensor.dim() < 2:
        probe.skip("its first input has no dimension beside the samples")
    first = tensors[0].tensor
    dims = [dim for dim in range(first.dim()) if probe.batch is None or dim != probe.batch.dim]
    # Other integers may be indices or lengths, which point past the end of something shorter.
    indexed = any(not is_float(item.tensor) for item in tensors[1:])
    with torch.no_grad():
        for dim in dims:
            length = first.shape[dim]
            names = tuple(
                item.name
                for item in tensors
                if item.tensor.dim() > dim and item.tensor.shape[dim] == length
            )
            others = [2 * length] if indexed else [2 * length, (length + 1) // 2]
            for other in (size for size in others if size != length):
                try:
                    changed = resized(inputs, dim, names, other)
                    words = [
                        history_effect(probe, inputs, changed),
                        history_effect(probe, changed, inputs),
                    ]
                except (LayerRaised, RuntimeError):  # it does not accept this length at all
                    continue
                if not any(words):
                    continue
                if remembers(probe, inputs):
                    probe.skip("it remembers earlier calls")
                sizes = (length, other) if words[0] else (other, length)
                place = probe.place()
                yield Finding(
                    where=f"forward, dimension {dim} of {tensors[0].name}",
                    expected=f"after a call with size {sizes[0]}, the answer of a fresh copy for "
                    f"size {sizes[1]}",
                    found=words[0] or words[1] or "",
                    fix="rebuild what the first call kept when the size changes, or build it in "
                    "each call",
                    file=place.file,
                    line=place.line,
                )
                return
