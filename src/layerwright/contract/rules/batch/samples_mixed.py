"""BAT001 samples-mixed."""

from collections.abc import Iterator
from contextlib import suppress

import torch
from torch import Tensor

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.axes import Followed, Step, follow, mixed, owners, resized
from layerwright.contract.evidence.mixing import (
    REDUCTIONS,
    SOFTMAX,
    SPREAD,
    appends,
    is_any,
    one_sample_kept,
    over_samples,
    paired_wrongly,
    rows_kept,
    second_dimension_lost,
)
from layerwright.contract.evidence.samples import ROWS, SampledCase, samples_of
from layerwright.contract.finding import Finding, Severity
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, Skip, rule

_IMAGES = 4  # dimensions: samples, channels, height, width
_UNDEFINED = "; a sample alone gives NaN"


@rule(
    "BAT001",
    "samples-mixed",
    promise="in eval mode, the answer for a sample does not depend on the other samples",
    family="batch",
    needs=("forward", "deterministic"),
    excused_by=("mixes_batch",),
    since="0.1",
)
def samples_mixed(probe: Probe) -> Iterator[Finding]:
    """Follows each sample through the operators of a forward pass, and judges where two first meet.

    A layer passes at once if leaving samples out, or reordering them, does the same to the output
    and nothing else, along dimension 0 or 1. If it does not, the operators at which samples meet
    decide. Reported are a `view` that cuts samples apart (a transposition written as `view`), a
    softmax or a statistic over the dimension of the samples, rows paired with another sample's
    rows (`repeat` where `repeat_interleave` was meant), samples that come out in another order, and
    a recurrent or attention layer that takes the second dimension as the batch, which is then lost,
    and one that takes the first as the batch, of which a single sample is then selected.

    ## Why is this bad
    The same image gets another answer in another batch, and none that means anything alone. The
    loss still falls, because training never sees a sample alone.

    ## Bad
    ```python
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.query = nn.Linear(6, 6)
            self.key = nn.Linear(6, 6)

        def forward(self, x):
            scores = self.query(x) @ self.key(x).transpose(1, 2)
            return torch.softmax(scores, dim=0) @ x


    case = Case(Attention, inputs=(torch.randn(3, 5, 6),))
    ```

    ## Good
    ```python
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.query = nn.Linear(6, 6)
            self.key = nn.Linear(6, 6)

        def forward(self, x):
            scores = self.query(x) @ self.key(x).transpose(1, 2)
            return torch.softmax(scores, dim=-1) @ x


    case = Case(Attention, inputs=(torch.randn(3, 5, 6),))
    ```

    ## How to fix
    Name the dimension of the softmax or statistic (`dim=-1`), move dimensions with `transpose` or
    `permute` and not with `view`, pass `batch_first=True` to recurrent and attention layers. A
    layer that compares samples on purpose says so: `@lw.traits(mixes_batch=True)`.

    ## Limits
    What may be meant is not reported: answers without a row for each sample (losses, pooling over a
    set), matrix products over dimension 0 (graphs, attention over an unbatched set), convolution
    and recurrence along it, batch normalisation of torch, statistics that are appended to the
    features, inputs with an adjacency. Statistics over a dimension 0 of inputs with two or three
    dimensions are warnings, as that may be one sample's sequence or set.

    ## References
    - https://github.com/NVlabs/GCVit/issues/10: global queries were paired with other images
    - https://github.com/sbi-dev/pyknos/issues/35: samples and contexts were paired wrongly
    """
    if probe.batch is not None:
        # Attention over samples, of which the output takes what is the same for all: a first token.
        of_batch = probe.batch.inputs, probe.batch.batched[0]
        if probe.batch.dim == 0 and second_dimension_lost(probe, *of_batch):
            yield _second_is_the_batch(probe)
        return
    if not isinstance(probe.traits.batch_dim, str):
        probe.skip("the trait batch_dim is given, and no samples are independent along it")
    names, size = samples_of(probe)
    with torch.no_grad():
        for number in dict.fromkeys([7, 5, min(size, 8), size]):
            judged = _with_samples(probe, names, number)
            if judged is None:
                continue
            findings, rows_left = judged
            if findings and not rows_left and number % size and not _in_groups(probe, names, size):
                probe.skip(f"{number} samples meet, multiples of {size} do not: they may be groups")
            yield from findings
            return
    probe.skip("no dimension with independent samples was found, and the pass cannot be followed")


def _with_samples(
    probe: Probe, names: tuple[str, ...], number: int
) -> tuple[list[Finding], bool] | None:
    """Return the findings with this number of samples, and whether an output has a row for each.

    None if the pass cannot be followed.
    """
    try:
        case = SampledCase(probe, names, resized(probe.inputs(), 0, names, number), number)
        followed = follow(probe, case.inputs, 0, names)
    except (LayerRaised, RuntimeError):  # dimension 0 cannot have this size
        return None
    if followed is None:
        return None
    return list(_judged(case, followed)), any(
        trail.shape[1:2] == (number,) for trail in followed.outputs
    )


def _in_groups(probe: Probe, names: tuple[str, ...], size: int) -> bool:
    """Tell whether samples meet for a multiple of those that the example has, too.

    A layer that takes groups need not refuse a number that cuts one: -1 swallows what is left.
    """
    for number in (size * -(-5 // size), size * -(-9 // size), size):
        with suppress(Skip):  # the number may equal another size, and then tells nothing
            judged = _with_samples(probe, names, number)
            if judged and judged[0]:
                return True
    return False


def _judged(case: SampledCase, followed: Followed) -> Iterator[Finding]:
    if second_dimension_lost(case.probe, case.inputs, case.names[0]):
        yield _second_is_the_batch(case.probe)
        return
    kept = one_sample_kept(case.probe, case.inputs, case.names[0], followed.outputs)
    if kept is not None:
        yield _finding(
            case.probe,
            None,
            found="a recurrent or attention layer inside takes dimension 0 as the batch "
            f"(batch_first=True), and the output is made of sample {kept} alone, of {case.size}",
            fix="select the step along dimension 1, as in output[:, -1]",
        )
        return
    starts = [step for step in followed.steps if step.starts_mixing]
    cut = next((step for step in followed.steps if step.scrambles), None)
    if cut is not None:
        shape, old = tuple(cut.after[0].shape[1:]), tuple(cut.before[0].shape[1:])
        yield _finding(
            case.probe,
            cut,
            found=f"a view from {old} to {shape} puts parts of several of the {case.size} samples "
            "into one row",
            fix="move dimensions with transpose or permute; let view only split or merge "
            "neighbouring dimensions",
        )
        return
    pairs = followed.steps if case.rank >= ROWS else ()
    pair = next((step for step in pairs if paired_wrongly(step, case.size)), None)
    if pair is not None:
        rows = [owners(trail) for trail in pair.before]
        yield _finding(
            case.probe,
            pair,
            found=f"rows of samples {rows[0]} meet rows of samples {rows[1]}",
            fix="repeat each sample's rows in the order of the others: repeat_interleave(k, dim=0) "
            "where every sample has k rows in a row, repeat where the samples alternate",
        )
        return
    if not any(map(mixed, followed.outputs)):
        yield from _reordered(case, followed)
        return
    if not all(
        is_any(step, REDUCTIONS + SOFTMAX) and over_samples(step, case.size) for step in starts
    ):
        case.probe.skip(
            "samples meet in an operator that may be meant (dimension 0 may be no batch)"
        )
    if any(appends(step) for step in followed.steps):
        case.probe.skip("a statistic over samples is appended to the features, which may be meant")
    yield from _competition(case, starts)


def _second_is_the_batch(probe: Probe) -> Finding:
    return _finding(
        probe,
        None,
        found="a recurrent or attention layer inside takes dimension 1 as the batch "
        "(batch_first=False); the output has dimension 0 left, not dimension 1",
        fix="pass batch_first=True, or feed (length, batch, features) and select the step along "
        "dimension 0",
    )


def _competition(case: SampledCase, starts: list[Step]) -> Iterator[Finding]:
    """Judge a softmax or a statistic over the samples."""
    whole, fewer = case.answer(case.size), case.answer(case.size - 1)
    if not starts or whole is None or fewer is None:
        case.probe.skip("dimension 0 has a fixed size: it may be no batch")
    if not rows_kept(whole, fewer, case.size):
        case.probe.skip("the output has no row for each sample: it may summarise a set")
    softmax = is_any(starts[0], SOFTMAX)
    alone = _alone(case, whole)
    spread = len(starts) > 1 or is_any(starts[0], SPREAD)
    if case.rank >= (ROWS if softmax else _IMAGES):
        severity: Severity = "error"
    elif alone and (softmax or case.rank >= ROWS or alone == _UNDEFINED):
        severity = "error"
    elif case.rank >= ROWS or (spread and alone):
        severity = "warning"
    else:
        case.probe.skip("a statistic over dimension 0: it may be one sample's sequence or set")
    moved = ""
    if len(whole) == 1:
        dim = next(dim for dim, size in enumerate(fewer[0].shape) if size != whole[0].shape[dim])
        words = difference(whole[0].narrow(dim, 0, case.size - 1), fewer[0])
        if words:  # the least and the largest value may lie in a sample that stayed
            moved = f"; without the last of {case.size} samples, of the other answers {words}"
    yield _finding(
        case.probe,
        starts[0],
        found=f"{'a softmax' if softmax else 'a statistic'} ({starts[0].name}) runs over the "
        f"samples{moved}{alone}",
        fix="name the dimension that is meant, such as dim=-1 or dim=(2, 3); keep statistics over "
        "samples in buffers that are updated in training mode only",
        severity=severity,
    )


def _alone(case: SampledCase, whole: list[Tensor]) -> str:
    """Tell in words that a sample alone has no answer of its own; "" if it has one."""
    one, other = case.answer(1), case.answer(1, start=1)
    if one is None or other is None or not all(tensor.numel() > case.size for tensor in whole):
        return ""
    finite = all(bool(tensor.isfinite().all()) for tensor in whole)
    if finite and any(bool(tensor.isnan().any()) for tensor in one):
        return _UNDEFINED
    if difference(one, other) is None:
        return "; a sample alone gives the same answer whatever it is"
    return ""


def _reordered(case: SampledCase, followed: Followed) -> Iterator[Finding]:
    """Judge samples that come out whole, but in another order."""
    for trail in followed.outputs:
        rows = owners(trail)
        if (
            case.rank >= _IMAGES
            and rows is not None
            and sorted(rows) == list(range(case.size))
            and rows != list(range(case.size))
        ):
            found = f"the rows of the output belong to the samples {rows}"
            fix = "name the dimension that is rolled, flipped or sorted; dimension 0 is the samples"
            yield _finding(case.probe, None, found=found, fix=fix)
            return


def _finding(
    probe: Probe, step: Step | None, *, found: str, fix: str, severity: Severity | None = None
) -> Finding:
    place = step.place if step is not None and step.place.file else probe.place()
    return Finding(
        where=place.text or "forward",
        expected="answers for a sample that do not depend on the other samples, in eval mode",
        found=found,
        fix=fix,
        severity=severity,
        file=place.file,
        line=place.line,
    )
