"""Scenes: what is said to be in them is where it is said to be."""

import pytest
import torch

from layerwright.data import scenes
from layerwright.data.catalog import load_data
from layerwright.data.scenes import CANVAS, load_scenes

INK = 64


@pytest.fixture(scope="module")
def data():
    return load_scenes()


def objects(split):
    """Yield each scene's pixels, and its objects as class and whole pixels."""
    images, targets = split.inputs[0][:, 0], split.targets
    for image, target in zip(images, targets, strict=True):
        rows = target[target[:, 0] >= 0]
        sides = rows[:, 1:] * CANVAS
        assert torch.equal(sides, sides.round())
        yield image, [(int(row[0]), *map(int, box)) for row, box in zip(rows, sides, strict=True)]


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_boxes_hold_the_ink_and_nothing_else(data, name):
    """No ink is outside the boxes, none can be smaller, and they do not overlap."""
    split = getattr(data, name)
    for image, rows in list(objects(split))[:300]:
        ink = image >= INK
        inside = torch.zeros(CANVAS, CANVAS, dtype=torch.int64)
        for _, left, top, right, bottom in rows:
            inside[top:bottom, left:right] += 1
            box = ink[top:bottom, left:right]
            assert all(edge.any() for edge in (box[0], box[-1], box[:, 0], box[:, -1]))
            assert 8 <= bottom - top <= 16
        assert inside.max() == 1
        assert not (ink & (inside == 0)).any()
        assert 1 <= len(rows) <= 4


def test_what_the_data_says_of_itself(data):
    """Ten classes, each of which occurs, and one to four objects a scene."""
    assert (data.task, data.input_shape, data.target_shape) == ("detection", (1, 40, 40), (4, 5))
    assert (data.num_classes, data.num_outputs) == (10, 10)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [3000, 500, 500]
    classes = data.test.targets[..., 0]
    assert (classes.unique() == torch.arange(-1, 10)).all()
    assert ((classes >= 0).sum(1).bincount()[1:] > 50).all()
    assert (classes.sort(1, descending=True).values[:, 0] >= 0).all()
    assert ((classes >= 0).int().diff(dim=1) <= 0).all()  # what fills up comes last
    pixels = data.train.normalization.apply(data.train.inputs[0])
    assert abs(pixels.mean()) < 0.2
    assert 0.7 < pixels.std() < 1.3


def test_no_digit_is_in_two_splits(monkeypatch):
    """Each split's scenes are drawn from digits of its own."""
    used, draw = [], scenes._scenes

    def watched(digits, name):
        used.append(set(digits.indices.tolist()))
        return draw(digits, name)

    monkeypatch.setattr(scenes, "_scenes", watched)
    monkeypatch.setattr(scenes, "_SCENES", {"train": 2, "validation": 2, "test": 2})
    load_scenes()
    assert [len(rows) for rows in used] == [1293, 144, 360]
    assert len(set().union(*used)) == 1797


def test_scenes_stay_the_same(data, global_randomness):
    """Global generators neither decide them nor notice it."""
    before = global_randomness()
    torch.manual_seed(1)
    again = load_data("scenes", limit=30)
    torch.manual_seed(2)
    assert torch.equal(again.test.inputs[0], data.test.inputs[0])
    assert len(again.train) == 30
    assert torch.equal(again.validation.targets, data.validation.targets)
    del before
    # Written down: scenes must be the same in every version of Python, torch and numpy.
    assert data.train.targets[:5, 0, 0].tolist() == [1, 5, 2, 3, 8]
