"""PUR008 noncontiguous-input."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from layerwright.contract.comparing import difference
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.torch_compat.strides import stride_blind_operator
from layerwright.contract.trees import Inputs

# Kernels for other strides sum in another order.
SAME = 1e-3


@rule(
    "PUR008",
    "noncontiguous-input",
    promise="the answer depends on the values of the inputs, not on how they lie in memory",
    family="purity",
    needs=("forward", "deterministic"),
    requires=("PUR001",),
    since="0.1",
)
def noncontiguous_input(probe: Probe) -> Iterator[Finding]:
    """Feeds the same values in other memory layouts: transposed, with gaps, channels last.

    ## Why is this bad
    A transpose, a slice or a channels-last network hands over tensors with other strides. A kernel
    or an `as_strided` that assumes contiguous memory then reads other elements, and no exception
    tells.

    ## Bad
    ```python
    class Windows(nn.Module):
        def forward(self, x):
            length = x.shape[1]
            return x.as_strided((len(x), length - 2, 3), (length, 1, 1)).mean(-1)


    case = Case(Windows, inputs=(torch.randn(4, 8),))
    ```

    ## Good
    ```python
    class Windows(nn.Module):
        def forward(self, x):
            return x.unfold(1, 3, 1).mean(-1)


    case = Case(Windows, inputs=(torch.randn(4, 8),))
    ```

    ## How to fix
    Use operators that know strides (`unfold`, `reshape`, `permute`), or call `x.contiguous()`
    before memory is read as such.

    ## Limits
    A layer that refuses such an input, as `view` does, tells the caller what to do: this is only
    noted. Answers that rounding alone turns over, as of a tie, are not compared. Where an operator
    of torch itself is at fault this is a warning: `nn.CTCLoss` reads targets that are laid end to
    end, one after the other in memory, also when they have gaps.

    ## References
    - https://github.com/Dao-AILab/flash-attention/issues/355: strides that a kernel ignored
    - https://github.com/open-mmlab/mmcv/pull/737: the same in custom operators
    - https://github.com/MrNeRF/optimized-fused-ssim/issues/1: and in a fused loss
    """
    with torch.no_grad():
        if difference(probe.eval_output, probe.call(probe.layer(), seed=probe.seed + 1)):
            probe.skip("it draws random numbers, which fall in the order of memory")
        for words, lay in _LAYOUTS.items():
            inputs = probe.inputs()
            for item in inputs.tensors():
                tensor = lay(item.tensor) if item.tensor.layout == torch.strided else None
                if tensor is None:
                    continue
                finding = _judge(probe, item.name, words, inputs.replaced(item.name, tensor))
                if finding is not None:
                    yield finding
                    return


def _judge(probe: Probe, name: str, words: str, inputs: Inputs) -> Finding | None:
    where = f"forward, input {name}"
    expected = f"the same answer when {name} is {words}"
    try:
        gap = difference(probe.eval_output, probe.call(probe.layer(), inputs), tolerance=SAME)
    except LayerRaised as raised:
        return Finding(
            where=where,
            expected=expected,
            found=raised.words,
            fix="use reshape instead of view, or call .contiguous() first",
            severity="note",
            file=raised.place.file,
            line=raised.place.line,
        )
    if gap is None or _turns_over(probe):
        return None
    operator = stride_blind_operator(lambda: probe.call(probe.layer(), inputs), tolerance=SAME)
    place = probe.place()
    return Finding(
        where=where,
        expected=expected,
        found=f"{gap}; torch's own {operator} does not look at strides" if operator else gap,
        fix=f"call {name}.contiguous() before its memory is read, or use operators that know "
        "strides",
        severity="warning" if operator else None,
        file=place.file,
        line=place.line,
    )


def _turns_over(probe: Probe) -> bool:
    """Tell whether changes as small as rounding change the answer: then layouts prove nothing."""
    for sign in (1.0, -1.0):

        def nudge(tensor: Tensor, sign: float = sign) -> Tensor:
            eps = torch.finfo(tensor.dtype).eps
            order = torch.arange(tensor.numel(), device=tensor.device).view(tensor.shape)
            return tensor + sign * 4 * eps * tensor.abs().max() * (order % 3 - 1)

        try:
            answer = probe.call(probe.layer(), probe.inputs().map_floats(nudge))
        except (LayerRaised, RuntimeError):
            return True
        if difference(probe.eval_output, answer, tolerance=SAME):
            return True
    return False


def _transposed(tensor: Tensor) -> Tensor | None:
    """Lay the last dimension out first."""
    if tensor.dim() < 2 or min(tensor.shape[0], tensor.shape[-1]) < 2:
        return None
    return tensor.transpose(0, -1).contiguous().transpose(0, -1)


def _gaps(tensor: Tensor) -> Tensor | None:
    """Leave a gap of another value behind each element."""
    if tensor.dim() < 1 or tensor.numel() < 2:
        return None
    return torch.stack([tensor, tensor], -1)[..., 0]


def _channels_last(tensor: Tensor) -> Tensor | None:
    if tensor.dim() != 4 or tensor.shape[1] < 2:
        return None
    return tensor.contiguous(memory_format=torch.channels_last)


_LAYOUTS: dict[str, Callable[[Tensor], Tensor | None]] = {
    "transposed in memory": _transposed,
    "a slice with gaps in memory": _gaps,
    "channels last in memory": _channels_last,
}
