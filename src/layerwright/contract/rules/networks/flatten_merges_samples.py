"""NET003 flatten-merges-samples."""

from collections.abc import Iterator
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from layerwright.contract.batch import SAME, enlarged
from layerwright.contract.comparing import difference
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import Place
from layerwright.contract.torch_compat.dispatch import OpRecorder
from layerwright.contract.trees import Inputs, is_float

_VIEWS = {"view", "_unsafe_view", "reshape"}
_FACTORS = (2.0, 0.5, 1.5)


class _Flatten(NamedTuple):
    """A reshape to rows that are not the samples.

    Attributes:
        before: the shape before, samples first.
        after: the shape after.
        place: the line that did it.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    place: Place

    @property
    def cuts(self) -> bool:
        """Whether rows begin and end inside samples, so that none is a whole or a part of one."""
        each, width = prod(self.before[1:]), self.after[1]
        return each % width != 0 and width % each != 0

    @property
    def splits(self) -> bool:
        """Whether rows are parts of a sample that end inside of its channels or lines."""
        whole = {prod(self.before[dim:]) for dim in range(1, len(self.before))}
        return (
            len(self.before) >= 4
            and prod(self.before[1:]) % self.after[1] == 0
            and self.after[1] not in whole
            and self.before[-1] % self.after[1] != 0  # groups of features
        )


@rule(
    "NET003",
    "flatten-merges-samples",
    promise="a flatten keeps one row a sample, whatever the image size",
    family="networks",
    severity="warning",
    needs=("forward", "float_inputs"),
    explains=("BAT001", "BAT002", "BAT003", "BAT004", "BAT008", "BAT009", "NET007", "CMP004"),
    excused_by=("mixes_batch",),
    since="0.1",
)
def flatten_merges_samples(probe: Probe) -> Iterator[Finding]:
    """Looks for a `view(-1, K)` that takes values of several samples into one row.

    The example inputs are looked at first, then images of twice, half and one and a half times
    their size.

    ## Why is this bad
    `x.view(-1, 64 * 7 * 7)` makes as many rows as come out. For another image size the rows are no
    samples any more: values of one image stand in the row of another, and nothing raises.

    ## Bad
    ```python
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1)
            self.fc = nn.Linear(4 * 8 * 8, 5)

        def forward(self, x):
            x = torch.relu(self.conv(x))
            return self.fc(x.view(-1, 4 * 8 * 8))


    case = Case(Net, inputs=(torch.randn(4, 3, 8, 8),))
    ```

    ## Good
    ```python
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1)
            self.fc = nn.Linear(4 * 8 * 8, 5)

        def forward(self, x):
            x = torch.relu(self.conv(x))
            return self.fc(x.flatten(1))


    case = Case(Net, inputs=(torch.randn(4, 3, 8, 8),))
    ```

    ## How to fix
    Write `x.flatten(1)` or `x.view(x.shape[0], -1)`: a wrong size then raises in the linear layer
    behind it. `nn.AdaptiveAvgPool2d` makes it fit all sizes.

    ## Limits
    Judged are layers of one tensor whose first floating-point input has three to five dimensions.
    An error when it happens to the example inputs, and rows begin inside of samples; a warning when
    it happens at another size only, or when one image becomes several rows. A layer that raises at
    other sizes passes. So does one whose output has another number of rows at its own size on
    purpose, such as patches or windows.
    """
    inputs = probe.inputs()
    first = inputs.floats()[0]
    if not 3 <= first.tensor.dim() <= 5 or first.tensor.numel() == 0:
        probe.skip("its first floating-point input has no rank between 3 and 5")
    now = _rows(probe, inputs)
    if now is None:
        probe.skip("it does not return one tensor")
    samples = first.tensor.shape[0]
    if now[0] != samples:
        found = [item for item in now[1] if item.after[0] == now[0]]
        if found and (found[-1].cuts or found[-1].splits):
            yield _finding(found[-1], samples, now[0], "the example inputs", None)
        return
    if probe.batch is None or probe.batch.dim != 0:
        return
    for other, size in _other_sizes(probe, first.name):
        rows = _rows(probe, other)
        count = next(item.tensor.shape[0] for item in other.tensors() if item.name == first.name)
        if rows is None or rows[0] == count:
            continue
        found = [item for item in rows[1] if item.after[0] == rows[0]]
        shared = _shared_row(probe, other, first.name)
        if found and shared is not None:
            yield _finding(found[-1], count, rows[0], f"inputs of size {size}", shared)
            return


def _finding(flatten: _Flatten, samples: int, rows: int, what: str, shared: str | None) -> Finding:
    width = flatten.after[1]
    each = " * ".join(map(str, flatten.before[1:]))
    return Finding(
        where="forward" if flatten.place.file is None else f"forward, {flatten.place.text}",
        expected=f"{samples} rows for {samples} samples, or an error",
        found=f"for {what}: {samples} samples of {each} = {prod(flatten.before[1:])} values become "
        f"{rows} rows of {width}"
        + (f"; {shared}" if shared else "")
        + ("" if shared or not flatten.cuts else ", which begin and end inside of samples"),
        fix="write x.flatten(1) or x.view(x.shape[0], -1)"
        + ("" if shared else f", and nn.Linear({each}, ...) behind it"),
        severity="warning" if shared or flatten.splits else "error",
        file=flatten.place.file,
        line=flatten.place.line,
    )


def _rows(probe: Probe, inputs: Inputs) -> tuple[int, list[_Flatten]] | None:
    """Return the number of rows of the output, and the flattens that change the first size."""
    recorder = OpRecorder()
    layer = probe.layer()
    with torch.no_grad(), recorder:
        attempt = probe.attempt(lambda: probe.call(layer, inputs.clone()))
    if attempt.raised is not None or not isinstance(attempt.output, Tensor):
        return None
    if not attempt.output.dim():
        return None
    found = []
    for call in recorder.calls:
        name = call.name.split("::")[-1].split(".")[0]
        if name not in _VIEWS or not isinstance(call.output, Tensor):
            continue
        before, after = tuple(call.args[0].shape), tuple(call.output.shape)
        if len(before) >= 3 and len(after) == 2 and after[0] != before[0] and after[1]:
            found.append(_Flatten(before, after, call.place))
    return attempt.output.shape[0], found


def _other_sizes(probe: Probe, name: str) -> Iterator[tuple[Inputs, str]]:
    """Yield inputs of at least four samples whose spatial dimensions have other sizes."""
    inputs = enlarged(probe.inputs(), 0, (name,))
    tensor = next(item.tensor for item in inputs.tensors() if item.name == name)
    while tensor.shape[0] < 4:
        tensor = torch.cat([tensor, tensor.flip(0)], 0)
    tensor = tensor[:8] if tensor.shape[0] >= 8 else tensor[:4]
    if len(inputs.floats()) != 1 or not is_float(tensor) or tensor.is_complex():
        return
    for factor in _FACTORS:
        sizes = [max(1, int(size * factor)) for size in tensor.shape[2:]]
        if prod(sizes) * tensor.shape[0] > 4_000_000 or sizes == list(tensor.shape[2:]):
            continue
        larger = tensor
        for dim, size in enumerate(sizes, start=2):
            places = torch.arange(size) % tensor.shape[dim]  # values of the same tensor again
            larger = larger.index_select(dim, places)
        words = " x ".join(map(str, sizes))
        yield inputs.replaced(name, larger), words


def _shared_row(probe: Probe, inputs: Inputs, name: str) -> str | None:
    """Return words for a row that two samples change, if there is one."""
    tensor = next(item.tensor for item in inputs.tensors() if item.name == name)
    with torch.no_grad():
        whole = probe.call(probe.layer(), inputs.clone())
        owners: dict[int, int] = {}
        for sample in range(tensor.shape[0]):
            changed = tensor.clone()
            changed[sample] = changed[sample].flip(-1) * 0.5 + 0.25
            other = inputs.replaced(name, changed)
            attempt = probe.attempt(lambda other=other: probe.call(probe.layer(), other))  # type: ignore[misc]
            if attempt.raised is not None or attempt.output.shape != whole.shape:
                return None
            for row in range(whole.shape[0]):
                if difference(whole[row], attempt.output[row], tolerance=SAME) is None:
                    continue
                if row in owners:
                    return f"row {row} depends on samples {owners[row]} and {sample}"
                owners[row] = sample
    return None
