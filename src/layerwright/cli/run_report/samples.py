"""The worst answers as a page shows them: pictures, words, classes, boxes."""

import math
from typing import Any

import torch
from torch import Tensor

from layerwright.data.normalization import Normalization
from layerwright.data.vocabulary import PADDING
from layerwright.reports.run_page.content import Box, Picture, Sample, Samples
from layerwright.training.detection import detector_method
from layerwright.training.split_answers import Answer
from layerwright.training.trained_network import TrainedNetwork

_MOST_PIXELS = 160  # of a side; larger pictures are made smaller
_MOST_WORDS = 120
_NUM_LEAST_SURE = 8


def samples_of(answers: tuple[Answer, ...], trained: TrainedNetwork, task: str | None) -> Samples:
    """Return the worst answers; of a network without a mistake, the least sure ones."""
    wrong = [answer for answer in answers if answer.is_wrong is not False]
    if not wrong:
        title, shown = "No mistake; the least sure answers", list(answers[:_NUM_LEAST_SURE])
    else:
        title, shown = "Worst mistakes" if task != "regression" else "Largest errors", wrong
    order = {
        "regression": "The largest absolute error comes first.",
        "detection": "The largest loss comes first. Objects of the data have a solid frame, what "
        "the network found with a probability of 50 % or more a dashed one.",
    }.get(task or "", "The smallest probability of the true class comes first.")
    return Samples(title, order, tuple(_sample(answer, trained, task) for answer in shown))


def _sample(answer: Answer, trained: TrainedNetwork, task: str | None) -> Sample:
    picture = _picture(answer.inputs[0], trained) if len(answer.inputs) == 1 else None
    boxes: tuple[Box, ...] = ()
    if task == "detection":
        boxes = _boxes(answer, trained)
    truth, said, how_bad = _words_of_answer(answer, trained, task, boxes)
    return Sample(
        name="a sample" if answer.row is None else f"sample {answer.row}",
        truth=truth,
        said=said,
        how_bad=how_bad,
        picture=picture,
        words="" if picture is not None else _words(answer.inputs, trained),
        boxes=boxes,
    )


def _words_of_answer(
    answer: Answer, trained: TrainedNetwork, task: str | None, boxes: tuple[Box, ...]
) -> tuple[str, str, str]:
    """Return truth, answer, and how bad it is."""
    names = trained.facts.get("class_names")
    if task == "detection":
        truth = ", ".join(box.label for box in boxes if box.is_truth) or "nothing"
        said = ", ".join(box.label for box in boxes if not box.is_truth) or "nothing"
        return truth, said, f"loss {answer.badness:.4g}"
    if task == "regression":
        return _numbers(answer.target), _numbers(answer.output), f"error {answer.badness:.4g}"
    if task == "binary":
        yes = float(answer.output.float().reshape(-1)[0].sigmoid())
        chances, truth_class = [1 - yes, yes], int(float(answer.target.reshape(-1)[0]) > 0.5)
    else:
        chances = answer.output.float().softmax(dim=1)[0].tolist()
        truth_class = int(answer.target)
    known = [0.0 if math.isnan(chance) else chance for chance in chances]
    said_class = known.index(max(known))
    said = f"{class_name(names, said_class)} ({100 * known[said_class]:.1f} %)"
    return (
        class_name(names, truth_class),
        said,
        f"true class {100 * known[truth_class]:.2g} %",
    )


def class_name(names: Any, number: int) -> str:
    """Return the name of a class, or its number where it has none."""
    return str(names[number]) if names and number < len(names) else str(number)


def _boxes(answer: Answer, trained: TrainedNetwork) -> tuple[Box, ...]:
    names = trained.facts.get("class_names")
    boxes = [
        Box(class_name(names, int(row[0])), _sides(row[1:]), is_truth=True)
        for row in answer.target.tolist()
        if row[0] >= 0
    ]
    found = detector_method(trained.network, "detections")(answer.output)[0]
    rows = zip(found.classes.tolist(), found.scores.tolist(), found.boxes.tolist(), strict=True)
    for kind, score, sides in rows:
        label = f"{class_name(names, int(kind))} ({100 * score:.0f} %)"
        boxes.append(Box(label, _sides(sides), is_truth=False))
    return tuple(boxes)


def _sides(values: list[float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = values[:4]
    return left, top, right, bottom


def _numbers(values: Tensor) -> str:
    found = values.float().flatten().tolist()
    shown = ", ".join(f"{value:.4g}" for value in found[:4])
    return f"{shown}, ... ({len(found)} values)" if len(found) > 4 else shown


def _picture(sample: Tensor, trained: TrainedNetwork) -> Picture | None:
    """Return an input of the form of a picture, its normalisation undone; None for others."""
    if sample.dim() == 2 and min(sample.shape) > 2 and not trained.facts.get("vocabulary_size"):
        sample = sample[None]
    if sample.dim() != 3 or sample.shape[0] not in {1, 3} or not sample.is_floating_point():
        return None
    recorded = trained.facts.get("normalization")
    values = sample.float().nan_to_num()
    if recorded is not None:
        rule = Normalization.from_dict(recorded)
        shape = (-1, 1, 1)
        values = values * torch.tensor(rule.std).view(shape) + torch.tensor(rule.mean).view(shape)
    else:  # the range is not known: the darkest pixel becomes black, the brightest white
        low, high = values.min(), values.max()
        values = (values - low) / (high - low).clamp_min(1e-12)
    every = max(1, -(-max(values.shape[1:]) // _MOST_PIXELS))
    if every > 1:
        values = torch.nn.functional.avg_pool2d(values, every, ceil_mode=True)
    pixels = (values.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous()
    height, width, channels = pixels.shape
    return Picture(width, height, channels, pixels.numpy().tobytes())


def _words(inputs: tuple[Tensor, ...], trained: TrainedNetwork) -> str:
    """Return a text as the network read it, or the numbers of a short vector, or a shape."""
    first = inputs[0]
    vocabulary = trained.vocabulary
    if vocabulary is not None and first.dim() == 1:
        tokens = [int(token) for token in first.tolist() if token != PADDING]
        words = [vocabulary.text_of(token) for token in tokens[:_MOST_WORDS]]
        return " ".join(words) + (" ..." if len(tokens) > _MOST_WORDS else "")
    if len(inputs) == 1 and first.dim() == 1 and len(first) <= 12:
        return ", ".join(f"{value:.4g}" for value in first.tolist())
    return ", ".join(f"an input of shape {tuple(tensor.shape)}" for tensor in inputs)
