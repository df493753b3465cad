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
        if not any(mask.leaks):
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
            found=f"{how}; changing {masked} moves the other answers, {_moves(mask)}",
            fix="fill the scores of hidden keys with torch.finfo(dtype).min before the softmax, "
            "along the dimension of the keys: mask[:, None, :]",
            file=call.place.file,
            line=call.place.line,
        )


def _moves(mask: Mask) -> str:
    words = (
        f"where {mask.name} is {value} "
        + ("all are zero" if leak is None else f"by {leak:.2g} of the largest")
        for value, leak in enumerate(mask.leaks)
    )
    return ", ".join(words)


def _use(probe: Probe, mask: Mask) -> tuple[OpCall, str] | None:
    """Return the operator that hides scores by the mask, and how; None if there is none.

    Where the answers at one value are all zero, only what was meant to hide the other one counts.
    """
    softmax = [call for call in probe.ops if call.name.split("::")[-1] == "_softmax"]
    if not softmax and not any("scaled_dot_product" in call.name for call in probe.ops):
        return None
    for call in probe.ops:
        found = _hides(call, mask, softmax)
        if found is None:
            continue
        how, value = found
        if None not in mask.leaks or (value is not None and mask.leaks[value] is not None):
            return call, how
    return None


def _hides(call: OpCall, mask: Mask, softmax: list[OpCall]) -> tuple[str, int | None] | None:
    """Return how an operator hides scores, and the value of the mask that it means to hide."""
    operator = call.name.split("::")[-1].split(".")[0].rstrip("_")
    if operator in {"masked_fill", "where"}:
        values = [_value_where(one, mask) for one in call.tensors_in if one.dtype == torch.bool]
        number = _filled(call)
        if any(value is not None for value in values) and number is not None:
            if number > _HIDDEN and abs(number) > 1.0:
                return None
            hidden = values[0] if operator == "masked_fill" else None
            return f"the mask fills scores with {number:.3g}", hidden
    if operator == "mul":
        kept = [value for one in call.tensors_in if (value := _value_where(one, mask)) is not None]
        how = _multiplies(call, softmax) if kept else None
        return None if how is None else (how, 1 - kept[0])
    if operator in {"add", "sub"}:
        for one in call.tensors_in:
            for low in (one <= _HIDDEN, -one <= _HIDDEN) if one.is_floating_point() else ():
                value = _value_where(low, mask)
                if value is not None:
                    return "the mask is added to scores as large negative numbers", value
    return None


def _multiplies(call: OpCall, softmax: list[OpCall]) -> str | None:
    """Return whether a product with the mask is one of weights, or of scores."""
    weights = [one.output for one in softmax if isinstance(one.output, Tensor)]
    if any(_same_memory(one, score) for one in call.tensors_in for score in weights):
        return "the mask multiplies what the softmax returned, after it was normalised"
    scores = [one for later in softmax for one in later.tensors_in]
    if isinstance(call.output, Tensor) and any(_same_memory(call.output, one) for one in scores):
        return "the mask multiplies the scores, and exp(0) = 1 keeps a weight"
    return None


def _same_memory(one: Tensor, other: Tensor) -> bool:
    return one.data_ptr() == other.data_ptr() and one.numel() == other.numel()


def _filled(call: OpCall) -> float | None:
    numbers = [one for one in (*call.args, *call.kwargs.values()) if isinstance(one, int | float)]
    numbers += [float(one) for one in call.tensors_in if one.dim() == 0 and one.dtype != torch.bool]
    return float(numbers[-1]) if numbers else None


def _value_where(tensor: Tensor, mask: Mask) -> int | None:
    """Return the value of the mask where a tensor is not zero; None if it does not hold the mask.

    It may have more dimensions of size 1.
    """
    if tensor.numel() != mask.tensor.numel():
        return None
    found, given = tensor.reshape(-1) != 0, mask.tensor.reshape(-1) != 0
    if torch.equal(found, given):
        return 1
    return 0 if torch.equal(~found, given) else None
