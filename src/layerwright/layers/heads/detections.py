"""What `ClassifyAndLocateHead` has found: boxes, their classes and how sure it is."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.heads.boxes import anchor_boxes, checked_sizes, decode, overlaps

_MOST_CANDIDATES = 1000  # of one image; overlaps are taken for every pair of them


class Detections(NamedTuple):
    """The objects found in one image, the surest first.

    Attributes:
        boxes: `(D, 4)`: left, top, right, bottom, as shares of the image, within it.
        classes: `(D,)`, int64.
        scores: `(D,)`, probabilities.
    """

    boxes: Tensor
    classes: Tensor
    scores: Tensor


@torch.no_grad()
def detections(
    output: tuple[Tensor, Tensor],
    anchors: Sequence[Sequence[float]],
    *,
    score_threshold: float = 0.5,
    overlap_threshold: float = 0.5,
    limit: int = 100,
) -> list[Detections]:
    """Turn the head's outputs into the objects of each image.

    An anchor can report several classes. Of boxes of one class that overlap the surest stays.

    Args:
        output: scores `(N, H, W, A, C + 1)` and offsets `(N, H, W, A, 4)`.
        anchors: those of the head.
        score_threshold: probability from which an object is reported.
        overlap_threshold: overlap from which two boxes of a class show the same object.
        limit: the largest number of objects in an image.

    Raises:
        OptionError: a threshold lies outside [0, 1], or limit is below 1.
        ShapeError: the outputs do not belong together or to the anchors.

    Example:
        >>> scores = torch.tensor([9.0, 0.0, 0.0]).view(1, 1, 1, 1, 3)
        >>> detections((scores, torch.zeros(1, 1, 1, 1, 4)), [(0.5, 0.5)])[0].boxes
        tensor([[0.2500, 0.2500, 0.7500, 0.7500]])
    """
    scores, offsets = output
    sizes = checked_sizes("detections", anchors)
    _check_thresholds(score_threshold, overlap_threshold, limit)
    if (
        scores.dim() != 5
        or scores.shape[3] != len(sizes)
        or offsets.shape != (*scores.shape[:4], 4)
    ):
        raise ShapeError(
            f"detections expected scores (N, H, W, {len(sizes)}, C + 1) and offsets "
            f"(N, H, W, {len(sizes)}, 4), received {tuple(scores.shape)} and "
            f"{tuple(offsets.shape)}. Fix: give the head's own anchors."
        )
    dtype = torch.promote_types(scores.dtype, torch.float32)
    grid = anchor_boxes(scores.shape[1], scores.shape[2], sizes, device=scores.device, dtype=dtype)
    boxes = decode(offsets.to(dtype), grid).clamp(0, 1).flatten(1, 3)
    probabilities = scores.to(dtype).softmax(-1)[..., :-1].flatten(1, 3)  # without the background
    found = []
    for image_boxes, image_probabilities in zip(boxes, probabilities, strict=True):
        anchor, label = (image_probabilities >= score_threshold).nonzero(as_tuple=True)
        score, order = image_probabilities[anchor, label].sort(descending=True, stable=True)
        score, order = score[:_MOST_CANDIDATES], order[:_MOST_CANDIDATES]
        box, label = image_boxes[anchor[order]], label[order]
        kept = non_maximum_suppression(box, score, label, overlap_threshold)[:limit]
        found.append(Detections(box[kept], label[kept], score[kept]))
    return found


def non_maximum_suppression(
    boxes: Tensor, scores: Tensor, classes: Tensor, overlap_threshold: float = 0.5
) -> Tensor:
    """Choose the boxes that no surer one of their class covers.

    From the surest box on, each that is left removes those of its class that overlap with it by
    the threshold or more.

    Args:
        boxes: `(D, 4)`.
        scores: `(D,)`; of equal ones the first comes first.
        classes: `(D,)`.
        overlap_threshold: an overlap.

    Returns:
        Numbers of the boxes that stay, the surest first, int64.
    """
    order = scores.argsort(descending=True, stable=True)
    boxes, classes = boxes[order], classes[order]
    same = overlaps(boxes, boxes) >= overlap_threshold
    covers = (same & (classes.unsqueeze(1) == classes)).cpu()
    left = torch.ones(len(order), dtype=torch.bool)
    for number in range(len(order)):
        if left[number]:
            left[number + 1 :] &= ~covers[number, number + 1 :]
    return order[left.to(order.device)]


def _check_thresholds(score: float, overlap: float, limit: int) -> None:
    """Refuse options without a meaning."""
    for name, value in (("score_threshold", score), ("overlap_threshold", overlap)):
        if not 0 <= value <= 1:
            raise OptionError(f"detections expected {name} in [0, 1], received {value!r}.")
    if limit < 1:
        raise OptionError(f"detections expected limit to be from 1, received {limit!r}.")
