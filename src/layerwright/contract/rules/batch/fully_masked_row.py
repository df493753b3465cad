"""BAT007 fully-masked-row."""

from collections.abc import Iterator

import torch
from torch import Tensor

from layerwright.contract.evidence.masks import find_masks
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.trees import is_float, named_tensors


@rule(
    "BAT007",
    "fully-masked-row",
    promise="a sample whose positions are all masked gives a finite answer",
    family="batch",
    severity="warning",
    needs=("forward", "deterministic"),
    since="0.1",
)
def fully_masked_row(probe: Probe) -> Iterator[Finding]:
    """Masks all positions of the first sample, and looks for NaN in the answers.

    Which value of the mask hides a position is found by trying both.

    ## Why is this bad
    An empty document, or the padding of the batch itself, turns into NaN. In training it reaches
    every parameter through the gradient, and the run is lost.

    ## Bad
    ```python
    class Attention(nn.Module):
        def forward(self, x, valid):
            scores = x @ x.transpose(1, 2)
            scores = scores.masked_fill(~valid[:, None, :], -torch.inf)
            return torch.softmax(scores, dim=-1) @ x


    valid = torch.arange(5) < torch.tensor([[5], [3], [2]])
    case = Case(Attention, inputs=(torch.randn(3, 5, 4), valid))
    ```

    ## Good
    ```python
    class Attention(nn.Module):
        def forward(self, x, valid):
            scores = x @ x.transpose(1, 2)
            scores = scores.masked_fill(~valid[:, None, :], torch.finfo(x.dtype).min)
            return torch.softmax(scores, dim=-1) @ x


    valid = torch.arange(5) < torch.tensor([[5], [3], [2]])
    case = Case(Attention, inputs=(torch.randn(3, 5, 4), valid))
    ```

    ## How to fix
    Fill with `torch.finfo(dtype).min` instead of minus infinity, or use
    `F.scaled_dot_product_attention`, which returns zeros for such rows. Divide a masked mean by
    `count.clamp(min=1)`.

    ## Limits
    A mask is an input of two values that has the leading dimensions of another input.
    `nn.MultiheadAttention` gives NaN here too: it is a warning, and an error only when the NaN
    reaches the answers of other samples. Masks that hide nothing are not judged.

    ## References
    - https://github.com/pytorch/pytorch/issues/41508
    - https://github.com/pytorch/pytorch/issues/103749
    """
    masks = list(find_masks(probe))
    if not masks:
        probe.skip("no input of two values has the leading dimensions of another input")
    for mask in masks:
        if mask.hides is None:
            continue
        hidden = mask.tensor.clone()
        hidden[0] = mask.hides
        inputs = mask.inputs.replaced(mask.name, hidden)
        try:
            with torch.no_grad():
                before = [item.tensor for item in named_tensors(probe.eval_output)]
                after = [item.tensor for item in named_tensors(probe.call(probe.layer(), inputs))]
        except LayerRaised:
            continue
        rows = _spoilt_rows(before, after, hidden.shape[0])
        if rows:
            place = probe.place()
            yield Finding(
                where=f"forward, input {mask.name}",
                expected=f"finite answers when {mask.name} is {mask.hides} everywhere in sample 0",
                found=f"NaN or infinite values in the answers of samples {rows}",
                fix="fill scores with torch.finfo(dtype).min instead of -inf; divide a masked mean "
                "by count.clamp(min=1)",
                severity="error" if rows != [0] else None,
                file=place.file,
                line=place.line,
            )
    if all(mask.hides is None for mask in masks):
        probe.skip("no value of the mask hides a position from the others")


def _spoilt_rows(before: list[Tensor], after: list[Tensor], size: int) -> list[int]:
    """Return the samples whose answers were finite and no longer are."""
    rows: set[int] = set()
    for old, new in zip(before, after, strict=False):
        if not is_float(new) or old.shape != new.shape or not bool(old.isfinite().all()):
            continue
        if new.shape[:1] == (size,):
            rows.update(row for row in range(size) if not bool(new[row].isfinite().all()))
    return sorted(rows)
