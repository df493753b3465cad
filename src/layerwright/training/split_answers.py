"""A split evaluated again: the values, the classes that are confused, and the worst answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from layerwright.data.interface import Batches
from layerwright.training import random_state
from layerwright.training.built_in_metrics import ConfusionMatrix
from layerwright.training.evaluate import Evaluation
from layerwright.training.evaluation import evaluate_batches, evaluation_mode

NUM_WORST = 24
_MOST_PAIRS = 500


@dataclass(frozen=True)
class Answer:
    """What a network says of one sample.

    Attributes:
        row: of the sample in the data that was given; None where it is unknown.
        inputs: as the network was fed them, without the batch dimension.
        target: without the batch dimension.
        output: the network's, for this sample.
        badness: by which answers are sorted: one minus the probability of the true class, the
            absolute error, or the sample's own loss.
        is_wrong: whether another class was said; None where answers are not right or wrong.
    """

    row: int | None
    inputs: tuple[Tensor, ...]
    target: Tensor
    output: Any
    badness: float
    is_wrong: bool | None


@dataclass(frozen=True)
class SplitAnswers:
    """A split, evaluated again.

    Attributes:
        num_samples: of the split.
        values: loss and metrics.
        confusion: rows of counts, a row a true class; None where there are no classes.
        pairs: (truth, answer) of at most 500 samples, where one number is predicted.
        worst: the worst answers, the worst one first; None where they cannot be told.
        reason: why not.
    """

    num_samples: int
    values: dict[str, Any]
    confusion: list[list[int]] | None
    pairs: tuple[tuple[float, float], ...]
    worst: tuple[Answer, ...] | None
    reason: str = ""


def answers_on(evaluation: Evaluation) -> SplitAnswers:
    """Evaluate a split, and find the answers that are worst.

    Args:
        evaluation: what `prepared` returned.

    Raises:
        LayerwrightError: the data does not fit the network, loss or metrics.
    """
    network, batches = evaluation.network, evaluation.batches
    judge = _judge_of(evaluation)
    worst = _Worst(judge or _no_badness)
    extra: list[Any] = [worst]
    if evaluation.task in {"classification", "binary"}:
        extra.append(ConfusionMatrix(evaluation.task))
    own = [item for item in evaluation.metrics if not isinstance(item, ConfusionMatrix)]
    values = evaluate_batches(network, batches, evaluation.loss, [*own, *extra])
    values.pop(worst.name)
    confusion = values.pop("confusion-matrix", None)
    reason = "" if judge else f"samples of the task {evaluation.task} cannot be ranked"
    if evaluation.is_stream:
        reason = "the data is a stream, whose samples cannot be had twice"
    elif batches.batch_size is None:
        reason = "the data comes in batches of its own, out of which single samples are not taken"
    found = None if reason else _fetched(network, batches, worst)
    pairs = worst.pairs if evaluation.task == "regression" else []
    return SplitAnswers(
        worst.num_samples, values, confusion, tuple(pairs[:_MOST_PAIRS]), found, reason
    )


class _Worst:
    """A metric that keeps where the worst answers are."""

    name = "worst answers"
    higher_is_better = False

    def __init__(self, judge: Callable[[Any, Tensor], tuple[Tensor, Tensor | None]]) -> None:
        self._judge = judge
        self.reset()

    def reset(self) -> None:
        """Forget all samples."""
        self.num_samples = 0
        self.places: list[tuple[float, int, bool | None]] = []  # badness, place, whether wrong
        self.pairs: list[tuple[float, float]] = []

    def update(self, output: Any, target: Tensor) -> None:
        """Add a batch."""
        badness, wrong = self._judge(output, target)
        badness = badness.detach().float().cpu()
        # NaN is the worst of all; samples that count nowhere are marked with -inf
        badness = badness.nan_to_num(nan=torch.inf, neginf=-torch.inf, posinf=torch.inf)
        order = badness.argsort(descending=True, stable=True)[:NUM_WORST].tolist()
        self.places += [
            (
                float(badness[place]),
                self.num_samples + place,
                None if wrong is None else bool(wrong[place]),
            )
            for place in order
            if badness[place] != -torch.inf
        ]
        self.places = sorted(self.places, key=lambda item: (-item[0], item[1]))[:NUM_WORST]
        if isinstance(output, Tensor) and output.numel() == target.numel() == len(target):
            pairs = zip(target.flatten().tolist(), output.flatten().tolist(), strict=True)
            self.pairs += [pair for pair in pairs if len(self.pairs) < _MOST_PAIRS]
        self.num_samples += len(target)

    def compute(self) -> float:
        """Return the largest badness."""
        return self.places[0][0] if self.places else 0.0


def _judge_of(evaluation: Evaluation) -> Callable[[Any, Tensor], Any] | None:
    """Return what tells for a batch how bad each answer is, and whether it is wrong."""
    if evaluation.task == "detection":
        return lambda output, target: (_losses(evaluation.loss, output, target), None)
    known = {
        "classification": _by_probability,
        "binary": _by_yes_or_no,
        "regression": _by_error,
    }
    return known.get(evaluation.task or "")


def _by_probability(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
    if target.dim() != 1 or target.is_floating_point():
        return _no_badness(output, target)
    counted = (target >= 0) & (target < output.shape[1])
    classes = target.clamp(0, output.shape[1] - 1).long()
    truth = output.float().softmax(dim=1).gather(1, classes[:, None])[:, 0]
    return (1 - truth).masked_fill(~counted, -torch.inf), output.argmax(1) != classes


def _by_yes_or_no(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
    if output.numel() != len(target) or target.numel() != len(target):
        return _no_badness(output, target)
    yes, is_yes = output.float().reshape(-1).sigmoid(), target.reshape(-1) > 0.5
    return torch.where(is_yes, 1 - yes, yes), (yes > 0.5) != is_yes


def _by_error(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
    rows = len(target)
    if output.numel() != target.numel():
        return _no_badness(output, target)
    error = (output.float().reshape(rows, -1) - target.float().reshape(rows, -1)).abs()
    return error.mean(1), None


def _losses(loss: Callable[..., Tensor], output: Any, target: Tensor) -> Tensor:
    rows = [loss(_rows(output, at, at + 1), target[at : at + 1]) for at in range(len(target))]
    return torch.stack([row.detach().float() for row in rows])


def _no_badness(_output: Any, target: Tensor) -> tuple[Tensor, Tensor | None]:
    return torch.full((len(target),), -torch.inf), None


def _rows(output: Any, start: int, end: int) -> Any:
    if isinstance(output, tuple | list):
        return tuple(_rows(item, start, end) for item in output)
    return output[start:end]


def _fetched(network: nn.Module, batches: Batches, worst: _Worst) -> tuple[Answer, ...]:
    """Read the samples of the worst answers once more, and answer each by itself."""
    size = batches.batch_size
    wanted: dict[int, list[tuple[float, int, bool | None]]] = {}
    for found in worst.places:
        wanted.setdefault(found[1] // size if size else 0, []).append(found)
    answers: dict[int, Answer] = {}
    with evaluation_mode(network), torch.no_grad(), random_state.preserved():
        for number, places in wanted.items():
            stream = batches.epoch(0, start=number)
            inputs, target = next(stream)
            stream.close()
            rows = batches.sample_indices(0, number)
            for badness, place, is_wrong in places:
                at = place - number * (size or 0)
                sample = tuple(tensor[at : at + 1] for tensor in inputs)
                answers[place] = Answer(
                    None if rows is None else int(rows[at]),
                    tuple(tensor[0].cpu() for tensor in sample),
                    target[at].cpu(),
                    _on_cpu(network(*sample)),
                    badness,
                    is_wrong,
                )
    return tuple(answers[place] for _, place, _ in worst.places)


def _on_cpu(output: Any) -> Any:
    if isinstance(output, tuple | list):
        return tuple(_on_cpu(item) for item in output)
    return output.cpu()
