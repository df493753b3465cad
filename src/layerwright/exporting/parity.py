"""The parity gate: what a file computes, against the network that it was made of."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from layerwright.exporting.fresh_process import Answers, replayed
from layerwright.exporting.reference import Reference, References
from layerwright.exporting.trials import Trial

JUDGED = 1e-2  # a sample that rounding moves by more than this share of the outputs is not judged


@dataclass(frozen=True)
class Comparison:
    """One call of a file, compared.

    Attributes:
        name: what is special about the inputs.
        batch: number of samples; None where there is no batch.
        scale: the largest absolute value of the outputs.
        from_float64: how far the file is from the network in float64, at the worst sample.
        allowed: what rounding explains there.
        from_float32: how far it is from the network in its own dtype; twice as much is allowed.
        left_out: values that were not judged, because rounding alone moves them too far, or because
            they are not finite.
        problem: why the file is refused; None where it agrees.
    """

    name: str
    batch: int | None
    scale: float = 0.0
    from_float64: float = 0.0
    allowed: float = 0.0
    from_float32: float = 0.0
    left_out: int = 0
    problem: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return dict(vars(self))


def compare(path: Path, known: References, *, machine_code: bool = False) -> list[Comparison]:
    """Load a file in a fresh process, run the trials there, and compare.

    Raises:
        ExportError: the file cannot be loaded.
    """
    calls = [trial.inputs.tensors() for trial in known.trials]
    answers = replayed(path, calls, machine_code=machine_code)
    found = [
        _compared(trial, reference, answers, place)
        for place, (trial, reference) in enumerate(zip(known.trials, known.answers, strict=True))
    ]
    if not any(item.problem for item in found):
        total = sum(tensor.numel() for item in known.answers for tensor in item.own)
        left_out = sum(item.left_out for item in found)
        if total and left_out > total / 2:
            found[0] = Comparison(
                found[0].name,
                found[0].batch,
                problem=f"{left_out} of {total} values cannot be judged: they are not finite, or "
                "rounding alone moves them by more than 1 % of the outputs",
            )
    return found


def _compared(trial: Trial, reference: Reference, answers: Answers, place: int) -> Comparison:
    if place in answers.problems:
        words = answers.problems[place]
        return Comparison(trial.name, trial.batch, problem=f"the file fails: {words}")
    outputs = answers.outputs[place]
    shapes = [tuple(tensor.shape) for tensor in reference.own]
    if [tuple(tensor.shape) for tensor in outputs] != shapes:
        words = f"outputs of shape {[tuple(t.shape) for t in outputs]} instead of {shapes}"
        return Comparison(trial.name, trial.batch, problem=words)
    worst = Comparison(trial.name, trial.batch)
    left_out = 0
    for output, own, exact, allowed in zip(
        outputs, reference.own, reference.exact, reference.allowed, strict=True
    ):
        item, skipped = _compared_tensor(trial, output, own, exact, allowed)
        left_out += skipped
        if item.problem or (worst.problem is None and _ratio(item) >= _ratio(worst)):
            worst = item
            if item.problem:
                break
    return Comparison(**{**vars(worst), "left_out": left_out})


def _compared_tensor(
    trial: Trial, output: Tensor, own: Tensor, exact: Tensor, allowed: Tensor
) -> tuple[Comparison, int]:
    """Compare one output; return the worst value, and how many were left out."""
    if output.dtype != own.dtype:
        words = f"{output.dtype} instead of {own.dtype}"
        return Comparison(trial.name, trial.batch, problem=words), 0
    if not own.numel():
        return Comparison(trial.name, trial.batch), 0
    if not own.is_floating_point():
        sure = allowed == 0
        wrong = (output != own) & sure
        words = f"{int(wrong.sum())} of {wrong.numel()} whole numbers differ"
        problem = words if bool(wrong.any()) else None
        return Comparison(trial.name, trial.batch, problem=problem), int((~sure).sum())
    finite = exact.isfinite() & own.isfinite()
    scale = float(exact[finite].abs().max()) if bool(finite.any()) else 0.0
    judged = finite & (allowed <= max(JUDGED * scale, float(allowed.min())))
    gap, near = (_gap(output, other).where(judged, 0.0) for other in (exact, own))
    share = torch.maximum(gap / allowed, near / (2 * allowed)).where(judged, -1.0)
    index = int(share.argmax())
    found = Comparison(
        trial.name,
        trial.batch,
        scale,
        float(gap.flatten()[index]),
        float(allowed.expand_as(gap).flatten()[index]),
        float(near.flatten()[index]),
    )
    if float(share.max()) > 1:
        value, right = (float(t.flatten()[index]) for t in (output.double(), exact.double()))
        words = (
            f"{int((share > 1).sum())} of {share.numel()} values differ, the most by "
            f"{found.from_float64:.3g} ({value:.6g} instead of {right:.6g}); rounding explains "
            f"{found.allowed:.2g}"
        )
        found = Comparison(**{**vars(found), "problem": words})
    return found, int((~judged).sum())


def _ratio(item: Comparison) -> float:
    return item.from_float64 / item.allowed if item.allowed else 0.0


def _gap(output: Tensor, other: Tensor) -> Tensor:
    gap = (output.double() - other.double()).abs()
    return gap.nan_to_num(nan=float("inf"), posinf=float("inf"))
