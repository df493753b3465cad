"""BAT006 mask-leak."""

from collections.abc import Iterator

import torch
from torch import Tensor

from layerwright.contract.evidence.masks import Mask, find_masks, hiding_argument
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.torch_compat.dispatch import OpCall

_HIDDEN = -1e4  # scores below are as good as minus infinity


@rule(
    "BAT006",
    "mask-leak",
    promise="positions that a mask hides from the softmax do not influence the others",
    family="batch",
    needs=("forward", "deterministic"),
    since="0.1",
)
def mask_leak(probe: Probe) -> Iterator[Finding]:
    """Changes an input where its mask has one value, then the other, and compares other answers.

    A mask is an input of two values that has the leading dimensions of another input. One of its
    values should hide what is there. It is reported when neither does, although the pass uses it to
    hide scores from a softmax.

    ## Why is this bad
    Padding becomes part of the answer: the same sentence gets another one in a batch with longer
    sentences.

    ## Bad
    ```python
    class Attention(nn.Module):
        def forward(self, x, valid):
            scores = x @ x.transpose(1, 2)
            scores = scores.masked_fill(~valid[:, None, :], 1e-9)
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
    Fill the scores of hidden keys with `torch.finfo(dtype).min` before the softmax, along the
    dimension of the keys: `mask[:, None, :]` for scores of shape (batch, queries, keys).

    ## Limits
    A mask is an input of two values that has the leading dimensions of another input. Layers with
    convolutions, whose neighbourhoods reach into the padding, are skipped, and so are flags that
    hide nothing by design. Where a mask hides only with another argument that was left None, as in
    `nn.Transformer`, nothing is said. Masks without both values in the example say nothing.
    """
    masks = list(find_masks(probe))
    if not masks:
        probe.skip("no input of two values has the leading dimensions of another input")
    for mask in masks:
        if mask.hides is not None:
            continue
        masked = " and ".join(mask.masked)
        if mask.leaks == (0.0, 0.0):
            probe.skip(f"{masked} has no influence where {mask.name} has either value")
        if any(call.name.split("::")[-1].startswith(("conv", "mkldnn_conv")) for call in probe.ops):
            probe.skip("a convolution reaches into the padding, which may be meant")
        use = _use(probe, mask)
        if use is None:
            probe.skip(f"both values of {mask.name} let something through: they may be flags")
        argument = hiding_argument(probe, mask)
        if argument is not None:
            probe.skip(f"{mask.name} hides {masked} where {argument} is given as well")
        call, how = use
        yield Finding(
            where=call.place.text or f"forward, input {mask.name}",
            expected=f"one value of {mask.name} that hides {masked} from the other positions",
            found=f"{how}; changing {masked} where {mask.name} is 0 moves the other answers by "
            f"{mask.leaks[0]:.2g} of the largest, where it is 1 by {mask.leaks[1]:.2g}",
            fix="fill the scores of hidden keys with torch.finfo(dtype).min before the softmax, "
            "along the dimension of the keys: mask[:, None, :]",
            file=call.place.file,
            line=call.place.line,
        )


def _use(probe: Probe, mask: Mask) -> tuple[OpCall, str] | None:
    """Return the operator that hides scores by the mask, and how; None if there is none."""
    softmax = [call for call in probe.ops if call.name.split("::")[-1] == "_softmax"]
    if not softmax and not any("scaled_dot_product" in call.name for call in probe.ops):
        return None
    weights = [call.output for call in softmax if isinstance(call.output, Tensor)]
    for call in probe.ops:
        how = _hides(call, mask, weights)
        if how:
            return call, how
    return None


def _hides(call: OpCall, mask: Mask, weights: list[Tensor]) -> str | None:
    operator = call.name.split("::")[-1].split(".")[0].rstrip("_")
    if operator in {"masked_fill", "where"}:
        conditions = [one for one in call.tensors_in if one.dtype == torch.bool]
        value = _filled(call)
        if any(_is_mask(one, mask) for one in conditions) and value is not None:
            low = value <= _HIDDEN or abs(value) <= 1.0
            return f"the mask fills scores with {value:.3g}" if low else None
    if operator == "mul" and any(_is_mask(one, mask) for one in call.tensors_in):
        if any(_same_memory(one, score) for one in call.tensors_in for score in weights):
            return "the mask multiplies what the softmax returned, after it was normalised"
    elif operator in {"add", "sub"}:
        floats = [one for one in call.tensors_in if one.is_floating_point()]
        if any(_is_mask(one <= _HIDDEN, mask) or _is_mask(-one <= _HIDDEN, mask) for one in floats):
            return "the mask is added to scores as large negative numbers"
    return None


def _same_memory(one: Tensor, other: Tensor) -> bool:
    return one.data_ptr() == other.data_ptr() and one.numel() == other.numel()


def _filled(call: OpCall) -> float | None:
    numbers = [one for one in (*call.args, *call.kwargs.values()) if isinstance(one, int | float)]
    numbers += [float(one) for one in call.tensors_in if one.dim() == 0 and one.dtype != torch.bool]
    return float(numbers[-1]) if numbers else None


def _is_mask(tensor: Tensor, mask: Mask) -> bool:
    """Whether a tensor holds the mask, or its opposite, with dimensions of size 1 added."""
    if tensor.numel() != mask.tensor.numel():
        return False
    found, given = tensor.reshape(-1) != 0, mask.tensor.reshape(-1) != 0
    return torch.equal(found, given) or torch.equal(~found, given)
