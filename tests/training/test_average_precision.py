"""Mean average precision against a count in plain Python, and against values worked out by hand."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.heads.boxes import overlaps
from layerwright.training.average_precision import (
    COCO_OVERLAPS,
    _overlap,
)
from layerwright.training.metrics import resolve_metrics


class Detector:
    """A detector whose output is what it has found."""

    def detections(self, output, *, score_threshold):
        return [
            SimpleNamespace(boxes=boxes[kept], classes=classes[kept], scores=scores[kept])
            for boxes, classes, scores in output
            for kept in [scores >= score_threshold]
        ]


def metric(name="map"):
    """A metric on what the detector above has found."""
    (only,) = resolve_metrics([name], "detection", 10, Detector())
    return only


def drawn_images(num_images, seed):
    """Objects of three classes, and detections near some of them, with scores that are unequal."""
    generator = np.random.default_rng(seed)
    scores = iter(generator.permutation(num_images * 12) / (num_images * 12) * 0.9 + 0.06)
    output, target = [], torch.full((num_images, 5, 5), -1.0)
    for image in range(num_images):
        found = []
        for row in range(generator.integers(0, 6)):
            left, top = generator.uniform(0, 0.6, 2)
            box = np.array([left, top, left + generator.uniform(0.1, 0.4), top + 0.3])
            label = int(generator.integers(3))
            target[image, row] = torch.tensor([label, *box])
            for _ in range(generator.integers(0, 3)):
                label = label if generator.random() < 0.8 else 2 - label
                found.append((box + generator.normal(0, 0.02, 4), label, next(scores)))
        boxes = torch.tensor(np.array([f[0] for f in found])).reshape(-1, 4)
        labels = torch.tensor([f[1] for f in found], dtype=torch.int64)
        output.append((boxes, labels, torch.tensor([f[2] for f in found], dtype=torch.float64)))
    return output, target


def overlap(a, b):
    """Shared over joint area of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return shared / (area - shared)


def plain_average_precision(output, target, label, least):
    """Rank one class, give each detection its object, and read the curve at 101 recalls."""
    objects = {
        (image, row): values[1:]
        for image, rows in enumerate(target.double().tolist())
        for row, values in enumerate(rows)
        if values[0] == label
    }
    found = [
        (score, image, box)
        for image, (boxes, classes, scores) in enumerate(output)
        for box, kind, score in zip(boxes.tolist(), classes.tolist(), scores.tolist(), strict=True)
        if kind == label
    ]
    curve, taken = [], set()
    for rank, (_, image, box) in enumerate(sorted(found, reverse=True), 1):
        near = [
            (overlap(box, other), key)
            for key, other in objects.items()
            if key[0] == image and key not in taken and overlap(box, other) >= least
        ]
        if near:
            taken.add(max(near)[1])
        curve.append((len(taken) / len(objects), len(taken) / rank))
    best = [
        max([precision for recall, precision in curve if recall >= step / 100], default=0.0)
        for step in range(101)
    ]
    return sum(best) / len(best)


@pytest.mark.parametrize(("name", "least"), [("map", COCO_OVERLAPS), ("map-50", (0.5,))])
def test_equal_to_a_count_in_plain_python(name, least):
    """Over classes, images without objects or detections, and any cut into batches."""
    output, target = drawn_images(40, seed=3)
    classes = sorted(set(target[..., 0].unique().tolist()) - {-1})
    assert len(classes) == 3
    expected = np.mean(
        [plain_average_precision(output, target, c, t) for c in classes for t in least]
    )
    assert 0.2 < expected < 0.9
    value = metric(name)
    for cuts in ([0, 40], [0, 1, 17, 40]):
        value.reset()
        for start, end in pairwise(cuts):
            value.update(output[start:end], target[start:end])
        assert value.compute() == pytest.approx(expected, abs=1e-12)


def test_by_hand():
    """A right detection, a second one of the same object, and an object that is not found."""
    box, other = [0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]
    target = torch.tensor([[[1.0, *box], [1.0, *other]]])
    boxes = torch.tensor([box, box, [0.0, 0.0, 0.5, 0.3]])
    labels, scores = torch.tensor([1, 1, 1]), torch.tensor([0.9, 0.8, 0.01])
    value = metric("map-50")
    value.update([(boxes, labels, scores)], target)
    assert value.compute() == pytest.approx(51 / 101)  # recalls 0 to 0.5, each at precision 1
    value.reset()
    value.update([(boxes[1:].flip(0), labels[1:], scores[1:])], target)  # the narrow one first
    assert value.compute() == pytest.approx(51 / 101)
    value.reset()
    value.update([(boxes[:0], labels[:0], scores[:0])], target)
    assert value.compute() == 0
    value.reset()
    value.update([(boxes, labels, scores)], torch.full((1, 2, 5), -1.0))
    assert np.isnan(value.compute())


def test_overlaps_are_those_of_the_boxes():
    """The metric, which knows no layers, takes the overlap that the heads take."""
    sides = torch.rand(7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    first, second = sides, sides.flip(1)  # some without area
    expected = overlaps(first, second).numpy()
    assert np.allclose(_overlap(first.numpy(), second.numpy()), expected, atol=1e-15)


def test_targets_and_networks_that_do_not_fit_are_refused():
    """The message shows what was given."""
    with pytest.raises(ShapeError) as caught:
        metric().update([], torch.zeros(2, 5))
    assert str(caught.value) == (
        "metric 'map' expected a target of shape (N, K, 5) with class, left, top, right and bottom "
        "of each object, received (2, 5) for 0 images. Fix: pad the objects with class -1 to one K."
    )
    with pytest.raises(OptionError) as caught:
        resolve_metrics([], "detection", 10, torch.nn.Linear(1, 1))
    assert str(caught.value) == (
        "Linear expected the method 'detections', because the data's targets are objects to find "
        "in images. Fix: train single-shot-detector, write the method, or give a loss and metrics "
        "of your own."
    )
