"""The loss of `ClassifyAndLocateHead`, and which anchor is to find which object."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.heads.boxes import anchor_boxes, checked_sizes, encode, overlaps


class ClassifyAndLocateLoss(nn.Module):
    r"""Cross-entropy of the classes plus smooth L1 of the boxes, for each object that is there.

    $$ L = \frac{1}{\max(1, M)} \left(
       \sum_{a \in P \cup B} -\log \operatorname{softmax}(s_a)_{k_a}
       + \lambda \sum_{a \in P} \operatorname{smooth}_{L_1}(t_a - \operatorname{encode}(g_a))
       \right) $$

    P are the M anchors that were given an object g of class k (see `matched_anchors`). Of the
    others, which outnumber them by far and whose class is the background, B are the hardest in
    each image: those with the largest loss, `negatives` for each anchor of P, and as many as for
    one where P is empty.

    | tensor    | shape                 | note                                             |
    | --------- | --------------------- | ------------------------------------------------ |
    | `scores`  | `(N, H, W, A, C + 1)` | of `ClassifyAndLocateHead`                       |
    | `offsets` | `(N, H, W, A, 4)`     | likewise                                         |
    | `classes` | `(N, K)`              | int64, 0 to C - 1; -1 fills up where an image    |
    |           |                       | has fewer than K objects; K may be 0             |
    | `boxes`   | `(N, K, 4)`           | left, top, right, bottom, as shares of the image |
    | output    | `()`                  | at least float32                                 |

    Args:
        anchors: those of the head.
        threshold: overlap from which an anchor has to find an object, in (0, 1].
        negatives: background anchors that count for each that was given an object.
        location_weight: λ.

    Raises:
        OptionError: an option is impossible.
        ShapeError: in forward, when the shapes do not belong together.

    Example:
        >>> loss = ClassifyAndLocateLoss([(0.5, 0.5)])
        >>> output = torch.zeros(1, 2, 2, 1, 4), torch.zeros(1, 2, 2, 1, 4)
        >>> target = torch.tensor([[2]]), torch.tensor([[[0.0, 0.0, 0.5, 0.5]]])
        >>> loss(output, target)
        tensor(5.5452)

    Reference:
        Liu et al. (2016), "SSD: single shot multibox detector", section 2.2,
        https://arxiv.org/abs/1512.02325
    """

    def __init__(
        self,
        anchors: Sequence[Sequence[float]],
        *,
        threshold: float = 0.5,
        negatives: int = 3,
        location_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.anchors = checked_sizes("ClassifyAndLocateLoss", anchors)
        for name, value, fits, what in (
            ("threshold", threshold, 0 < threshold <= 1, "an overlap in (0, 1]"),
            (
                "negatives",
                negatives,
                type(negatives) is int and negatives > 0,
                "a whole number from 1",
            ),
            (
                "location_weight",
                location_weight,
                0 <= location_weight < float("inf"),
                "a number from 0",
            ),
        ):
            if not fits:
                raise OptionError(
                    f"ClassifyAndLocateLoss expected {name} to be {what}, received {value!r}."
                )
        self.threshold = threshold
        self.negatives = negatives
        self.location_weight = location_weight

    def forward(self, output: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor]) -> Tensor:
        """Return the loss of the head's `(scores, offsets)` for the true `(classes, boxes)`."""
        (scores, offsets), (classes, boxes) = output, target
        check_shapes(scores, offsets, classes, boxes, len(self.anchors))
        height, width, background = scores.shape[1], scores.shape[2], scores.shape[-1] - 1
        dtype = torch.promote_types(scores.dtype, torch.float32)
        scores, offsets = scores.to(dtype).flatten(1, 3), offsets.to(dtype).flatten(1, 3)
        boxes = boxes.to(dtype)
        anchors = anchor_boxes(height, width, self.anchors, device=scores.device, dtype=dtype)
        anchors = anchors.flatten(0, 2)
        found = matched_anchors(anchors, boxes, classes >= 0, self.threshold)
        positive = found >= 0
        labels = torch.full_like(found, background)
        image, anchor = positive.nonzero(as_tuple=True)
        objects = found[image, anchor]
        labels[image, anchor] = classes[image, objects]
        entropies = F.cross_entropy(scores.movedim(-1, 1), labels, reduction="none")
        counted = positive | self._hardest(entropies.detach(), positive)
        wanted = encode(boxes[image, objects], anchors[anchor])
        location = F.smooth_l1_loss(offsets[image, anchor], wanted, reduction="sum")
        total = entropies[counted].sum() + self.location_weight * location
        return total / positive.sum().clamp_min(1)

    def _hardest(self, entropies: Tensor, positive: Tensor) -> Tensor:
        """Choose the background anchors of each image that count, `(N, M)`."""
        wanted = self.negatives * positive.sum(1, keepdim=True).clamp_min(1)
        hardness = entropies.masked_fill(positive, -torch.inf)
        order = hardness.argsort(dim=1, descending=True, stable=True)
        return (order.argsort(1) < wanted) & ~positive

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return (
            f"anchors={self.anchors}, threshold={self.threshold}, negatives={self.negatives}, "
            f"location_weight={self.location_weight}"
        )


@torch.no_grad()
def matched_anchors(anchors: Tensor, boxes: Tensor, there: Tensor, threshold: float) -> Tensor:
    """Say which object each anchor has to find.

    First each object gets the anchor that overlaps with it most, the best pair of all first, so
    that no two objects get the same anchor and none is left out while it overlaps with a free one.
    Then every other anchor gets the object that it overlaps with most, if by `threshold` or more.

    Args:
        anchors: `(M, 4)`.
        boxes: `(N, K, 4)`, the objects of N images.
        there: `(N, K)`, bool; False where a box only fills up.
        threshold: an overlap.

    Returns:
        `(N, M)`, int64: the object's number from 0, or -1 for none.
    """
    num_images, num_objects = there.shape
    if not num_objects or not len(anchors):
        return there.new_full((num_images, len(anchors)), -1, dtype=torch.int64)
    overlap = overlaps(anchors.unsqueeze(0), boxes).masked_fill(~there.unsqueeze(1), 0)
    most, best = overlap.max(2)
    found = best.masked_fill(most < threshold, -1)
    image = torch.arange(num_images, device=boxes.device)
    for _ in range(min(num_objects, len(anchors))):
        most, pair = overlap.flatten(1).max(1)
        anchor, number = pair // num_objects, pair % num_objects
        found[image, anchor] = torch.where(most > 0, number, found[image, anchor])
        overlap[image, anchor] = 0  # neither is free any more
        overlap[image, :, number] = 0
    return found


def check_shapes(
    scores: Tensor, offsets: Tensor, classes: Tensor, boxes: Tensor, num_anchors: int
) -> None:
    """Refuse outputs and targets that do not belong together.

    Raises:
        ShapeError: with all four shapes.
    """
    fits = (
        scores.dim() == 5
        and scores.shape[3] == num_anchors
        and offsets.shape == (*scores.shape[:4], 4)
        and classes.dim() == 2
        and len(classes) == len(scores)
        and boxes.shape == (*classes.shape, 4)
    )
    if not fits:
        raise ShapeError(
            f"ClassifyAndLocateLoss expected scores (N, H, W, {num_anchors}, C + 1), offsets "
            f"(N, H, W, {num_anchors}, 4), classes (N, K) and boxes (N, K, 4), received "
            f"{', '.join(str(tuple(t.shape)) for t in (scores, offsets, classes, boxes))}. "
            f"Fix: give loss and head the same anchors, and pad classes with -1 to one K."
        )
