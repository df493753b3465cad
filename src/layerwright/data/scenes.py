"""Scenes: several of the bundled digits on one canvas, to be classified and located."""

import random
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from layerwright.data.digits import NORMALIZATION as DIGITS
from layerwright.data.digits import load_digits
from layerwright.data.image_scaling import scale_images
from layerwright.data.normalization import Normalization
from layerwright.data.partition import carve_validation
from layerwright.data.seeding import mixed_seed
from layerwright.data.splits import Data, TensorSplit

CANVAS = 40  # height and width of a scene, in pixels
MOST_OBJECTS = 4
_DIGIT_SIZES = range(10, 17)  # height and width to which a digit is scaled, in pixels
_SCENES = {"train": 3000, "validation": 500, "test": 500}
_INK = 64  # from this value of 255 on, a pixel belongs to its digit's box
_GAP = 1  # pixels between two boxes, at the least
_TRIES = 20  # places that are tried for a digit before it is left out
_NORMALIZATION = Normalization((0.1,), (0.25,))


def load_scenes() -> Data:
    """Load 4,000 scenes of one to four digits, `(1, 40, 40)`, made of the bundled digits.

    Each digit is scaled to 10 to 16 pixels and put where its box overlaps with no other. 3,000
    scenes are to train on, 500 to validate and 500 to test; the digits of one split are in no
    scene of another. The scenes are the same for ever: drawn once, not anew in each epoch.

    A target is what there is to find in a scene, `(4, 5)` float32: class, left, top, right and
    bottom of each object, the sides in shares of the canvas. A box is the smallest that holds the
    digit's ink. Rows with class -1 fill up where there are fewer than four objects.

    Raises:
        DataError: the digits in the package are damaged.

    Reference:
        `layerwright.data.digits` names the source of the digits.
    """
    digits = load_digits()
    train, validation = carve_validation(cast("TensorSplit", digits.train), 0.1, seed=0)
    parts = {"train": train, "validation": validation, "test": digits.test}
    splits = {name: _scenes(cast("TensorSplit", part), name) for name, part in parts.items()}
    return Data(
        "scenes",
        "detection",
        splits["train"],
        splits["validation"],
        splits["test"],
        input_shape=(1, CANVAS, CANVAS),
        num_classes=digits.num_classes,
        class_names=digits.class_names,
        target_shape=(MOST_OBJECTS, 5),
    )


@dataclass(frozen=True)
class _Stamp:
    """A scaled digit.

    Attributes:
        pixels: uint8, (size, size).
        label: its class.
        box: left, top, right and bottom of its ink, in pixels.
    """

    pixels: np.ndarray
    label: int
    box: tuple[int, int, int, int]


def _scenes(digits: TensorSplit, name: str) -> TensorSplit:
    """Draw the scenes of a split from its digits.

    Only `random.Random.random` is drawn from: its sequence is promised to stay.
    """
    draw = random.Random(mixed_seed("scenes", name)).random  # noqa: S311 - no secret
    stamps = {size: _stamps(digits, size) for size in _DIGIT_SIZES}
    count = _SCENES[name]
    images = np.zeros((count, CANVAS, CANVAS), dtype=np.uint8)
    targets = np.zeros((count, MOST_OBJECTS, 5), dtype=np.float32)
    targets[:, :, 0] = -1
    for image, target in zip(images, targets, strict=True):
        boxes: list[tuple[int, int, int, int]] = []
        for _ in range(1 + int(draw() * MOST_OBJECTS)):
            size = _DIGIT_SIZES[int(draw() * len(_DIGIT_SIZES))]
            stamp = stamps[size][int(draw() * len(digits))]
            for _ in range(_TRIES):
                left, top = (int(draw() * (CANVAS - size + 1)) for _ in range(2))
                box = _moved(stamp.box, left, top)
                if not any(_near(box, other) for other in boxes):
                    place = image[top : top + size, left : left + size]
                    np.maximum(place, stamp.pixels, out=place)
                    target[len(boxes)] = (stamp.label, *(side / CANVAS for side in box))
                    boxes.append(box)
                    break
    inputs = torch.from_numpy(images)[:, None]
    return TensorSplit((inputs,), torch.from_numpy(targets), _NORMALIZATION)


def _stamps(digits: TensorSplit, size: int) -> list[_Stamp]:
    """Scale all digits to one size."""
    levels: Tensor = digits.inputs[0].float() * (255 / DIGITS.scale)
    scaled = scale_images(levels, size, whole_numbers=False).round().to(torch.uint8)
    ink = scaled[:, 0] >= _INK
    top, left = (ink.any(axis).int().argmax(1) for axis in (2, 1))  # the first of those inked
    bottom, right = (size - ink.any(axis).flip(1).int().argmax(1) for axis in (2, 1))
    boxes = torch.stack([left, top, right, bottom], 1).tolist()
    rows = zip(scaled[:, 0].numpy(), digits.targets.tolist(), boxes, strict=True)
    return [_Stamp(pixels, label, tuple(box)) for pixels, label, box in rows]


def _moved(box: tuple[int, int, int, int], right: int, down: int) -> tuple[int, int, int, int]:
    return box[0] + right, box[1] + down, box[2] + right, box[3] + down


def _near(first: tuple[int, int, int, int], second: tuple[int, int, int, int]) -> bool:
    """Say whether two boxes overlap or leave less than the gap between them."""
    return all(
        first[low] < second[low + 2] + _GAP and second[low] < first[low + 2] + _GAP
        for low in (0, 1)
    )
