"""Mean average precision: how well objects were found, as the COCO benchmark counts it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from layerwright.errors import ShapeError

Array = NDArray[Any]

COCO_OVERLAPS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))  # 0.5, 0.55, ..., 0.95
_RECALLS = np.linspace(0, 1, 101)
_LEAST_SCORE = 0.05  # less sure detections come last in the ranking and hardly change it


class MeanAveragePrecision:
    r"""The area under the curve of precision over recall, averaged over classes and overlaps.

    $$ \text{mAP} = \frac{1}{|C| \, |T|} \sum_{c \in C} \sum_{t \in T} \frac{1}{101}
       \sum_{r \in \{0, 0.01, \ldots, 1\}} \max_{r' \ge r} \text{precision}_{ct}(r') $$

    The detections of a class are ranked by their score, over all images. From the surest on, each
    one that overlaps with an object of its class and image by t or more, and is the first to find
    it, is right; of several such objects it finds the one that it overlaps with most. The classes
    C are those of which there is an object.

    Args:
        name: under which reports show it.
        detect: from a network's output to what was found in each image: `boxes` (D, 4), `classes`
            (D,) and `scores` (D,); it is called with `score_threshold`.
        overlaps: T, from (0, 1]; COCO's ten, from 0.5 to 0.95, or 0.5 alone as in Pascal VOC.

    Reference:
        Lin et al. (2014), "Microsoft COCO: common objects in context",
        https://arxiv.org/abs/1405.0312; https://cocodataset.org/#detection-eval
        (all sizes of objects, and all detections of an image).
    """

    higher_is_better = True

    def __init__(
        self,
        name: str,
        detect: Callable[..., Sequence[Any]],
        overlaps: Sequence[float] = COCO_OVERLAPS,
    ) -> None:
        self.name = name
        self._detect = detect
        self._overlaps = np.array(overlaps)
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self._scores: list[Array] = []  # of each image, (D,)
        self._classes: list[Array] = []  # (D,)
        self._right: list[Array] = []  # (D, number of overlaps), bool
        self._there: list[Array] = []  # classes of the objects

    def update(self, output: Any, target: Tensor) -> None:
        """Add a batch.

        Args:
            output: what the network gave.
            target: (N, K, 5): class, left, top, right, bottom of each object; class -1 fills up.

        Raises:
            ShapeError: the target has another form, or belongs to another number of images.
        """
        found = self._detect(output, score_threshold=_LEAST_SCORE)
        if target.dim() != 3 or target.shape[2] != 5 or len(found) != len(target):
            raise ShapeError(
                f"metric {self.name!r} expected a target of shape (N, K, 5) with class, left, top, "
                f"right and bottom of each object, received {tuple(target.shape)} for "
                f"{len(found)} images. Fix: pad the objects with class -1 to one K."
            )
        for image, rows in zip(found, target.cpu().double().numpy(), strict=True):
            objects = rows[rows[:, 0] >= 0]
            order = image.scores.argsort(descending=True, stable=True)
            boxes, classes = image.boxes[order].cpu().double().numpy(), image.classes[order]
            self._classes.append(classes.cpu().numpy())
            self._scores.append(image.scores[order].cpu().double().numpy())
            self._right.append(self._judged(boxes, self._classes[-1], objects))
            self._there.append(objects[:, 0])

    def compute(self) -> float:
        """Return the value over all images since `reset`; NaN where there is no object."""
        there = np.concatenate([np.empty(0), *self._there])
        if not len(there):
            return float("nan")
        scores, classes = np.concatenate(self._scores), np.concatenate(self._classes)
        right = np.concatenate(self._right)
        order = np.argsort(-scores, kind="stable")
        classes, right = classes[order], right[order]
        kinds, counts = np.unique(there, return_counts=True)
        values = [
            _average_precision(right[classes == kind], count)
            for kind, count in zip(kinds, counts, strict=True)
        ]
        return float(np.mean(values))

    def _judged(self, boxes: Array, classes: Array, objects: Array) -> Array:
        """Say which detections of an image are right at each overlap, (D, number of overlaps)."""
        right = np.zeros((len(boxes), len(self._overlaps)), dtype=bool)
        shared = _overlap(boxes, objects[:, 1:])
        shared[classes[:, None] != objects[:, 0]] = 0
        for column, least in enumerate(self._overlaps):
            free = shared.copy()
            for row in np.flatnonzero((shared >= least).any(1)):
                best = free[row].argmax()
                if free[row, best] >= least:
                    right[row, column] = True
                    free[:, best] = 0
        return right


def _average_precision(right: Array, num_objects: int) -> Array:
    """Return the average precision of one class at each overlap.

    Args:
        right: (D, number of overlaps), the surest detection first.
        num_objects: how many there were to find.
    """
    hits = right.cumsum(0)
    precision = hits / np.arange(1, len(hits) + 1)[:, None]
    best = np.maximum.accumulate(precision[::-1], 0)[::-1]  # at this recall or a higher one
    best = np.vstack([best, np.zeros((1, right.shape[1]))])  # of a recall that is never reached
    columns = [
        best[np.searchsorted(hits[:, column] / num_objects, _RECALLS), column].mean()
        for column in range(right.shape[1])
    ]
    return np.array(columns)


def _overlap(first: Array, second: Array) -> Array:
    """Return shared over joint area of each pair of boxes, (D, 4) and (M, 4), in (D, M)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = (high - low).clip(0).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clip(0).prod(1) for boxes in (first, second)]
    joint = areas[0][:, None] + areas[1] - shared
    return np.divide(shared, joint, out=np.zeros_like(shared), where=joint > 0)
