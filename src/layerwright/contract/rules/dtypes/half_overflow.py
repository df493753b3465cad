"""DTY003 half-overflow."""

from collections.abc import Iterator

import torch

from layerwright.contract.comparing import number
from layerwright.contract.evidence.precision import culprit_in, is_finite, run_in, why_not_castable
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import Place
from layerwright.contract.trees import named_tensors


@rule(
    "DTY003",
    "half-overflow",
    promise="in float16, what is finite in float32 stays finite",
    family="dtypes",
    severity="warning",
    needs=("forward", "float32", "float_outputs"),
    requires=("DTY001",),
    explains=("DTY004",),
    since="0.1",
)
def half_overflow(probe: Probe) -> Iterator[Finding]:
    """Casts the layer and its inputs to float16 and looks for numbers above its largest, 65504.

    ## Why is this bad
    A constant such as `-1e9` does not fit into float16: `masked_fill` raises, an addition gives
    infinity. Sums of squares pass 65504 soon, too.

    ## Bad
    ```python
    class Masked(nn.Module):
        def forward(self, scores, mask, values):
            return scores.masked_fill(~mask, -1e9).softmax(-1) @ values


    case = Case(
        Masked, inputs=(torch.randn(3, 5), torch.ones(3, 5).tril(2).bool(), torch.randn(5, 2))
    )
    ```

    ## Good
    ```python
    class Masked(nn.Module):
        def forward(self, scores, mask, values):
            return scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1) @ values


    case = Case(
        Masked, inputs=(torch.randn(3, 5), torch.ones(3, 5).tril(2).bool(), torch.randn(5, 2))
    )
    ```

    ## How to fix
    Mask with `torch.finfo(x.dtype).min` or `float("-inf")`. Compute norms and sums of squares in
    float32 and return with `.to(x.dtype)`; scale before a product, not after it.

    ## Limits
    Only the example inputs are tried, and layers whose output on them is finite in float32 and
    whose operators exist in float16. Kernels on the CPU often keep float32 inside where a GPU does
    not: what passes here may still overflow there.

    ## References
    - https://github.com/NVIDIA/apex/issues/1052
    - https://github.com/facebookresearch/fairseq/issues/3575
    """
    reason = why_not_castable(probe.layer(), probe.inputs())
    if reason:
        probe.skip(reason)
    half = torch.finfo(torch.float16)
    if not is_finite(probe.eval_output):
        probe.skip("its output in float32 is not finite")
    largest = _largest((probe.eval_output, probe.inputs().args, dict(probe.inputs().kwargs)))
    state = _largest([*probe.layer().parameters(), *probe.layer().buffers()])
    if max(largest, state) > half.max / 4:
        probe.skip("its inputs, outputs or weights do not fit into float16")
    cast = run_in(probe, torch.float16)
    if cast.raised:
        if "without overflow" not in str(cast.raised.error):
            probe.skip(f"in float16 it raised {cast.raised.words}")
        yield _finding(f"layer.half() raised {cast.raised.words}", cast.raised.place)
        return
    finite = is_finite(cast.output)
    if finite and not _mostly_wrong(cast.output, probe.eval_output):
        return
    first = culprit_in(probe, torch.float16, probe.inputs())
    if first is None:
        probe.skip("its output in float16 is far off, but no operator of its own overflows")
    what = "most values are off by more than a tenth" if finite else "the output is not finite"
    yield _finding(
        f"{what}: an infinity or NaN comes up, first at {first.name}; in float32 the largest "
        f"value is {number(largest)}",
        first.place,
    )


def _finding(found: str, place: Place) -> Finding:
    return Finding(
        where="forward",
        expected="finite numbers after layer.half(), as in float32",
        found=found,
        fix="use torch.finfo(x.dtype).min for masks; compute large sums in float32",
        file=place.file,
        line=place.line,
    )


def _mostly_wrong(narrow: object, wide: object) -> bool:
    """Tell whether most values of an output are off by more than a tenth of the largest one."""
    for one, other in zip(named_tensors(narrow), named_tensors(wide), strict=False):
        if other.tensor.is_floating_point() and one.tensor.shape == other.tensor.shape:
            gap = (one.tensor.double() - other.tensor.double()).abs()
            if gap.numel() and float((gap > 0.1 * other.tensor.abs().max()).double().mean()) > 0.5:
                return True
    return False


def _largest(tree: object) -> float:
    values = [
        float(item.tensor.detach().nan_to_num(posinf=0.0, neginf=0.0).abs().max())
        for item in named_tensors(tree)
        if item.tensor.is_floating_point()
        and item.tensor.numel()
        and item.tensor.layout == torch.strided
    ]
    return max(values, default=0.0)
