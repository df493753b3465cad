"""Boxes: anchors, overlap, and the way there and back."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layerwright.errors import OptionError
from layerwright.layers.heads.boxes import (
    anchor_boxes,
    areas,
    checked_sizes,
    decode,
    encode,
    overlaps,
)

NUMBERS = st.integers(0, 6)
BOX = st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS)


@settings(deadline=None, max_examples=60)
@given(first=st.lists(BOX, max_size=4), second=st.lists(BOX, max_size=4))
def test_overlap_counts_cells(first, second):
    """On a grid of unit cells: those in both boxes over those in either."""

    def cells(box):
        return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}

    boxes = [torch.tensor(b, dtype=torch.float64).reshape(-1, 4) for b in (first, second)]
    got = overlaps(*boxes)
    assert got.shape == (len(first), len(second))
    for i, a in enumerate(first):
        assert areas(boxes[0])[i] == len(cells(a))
        for j, b in enumerate(second):
            shared = cells(a) & cells(b)
            wanted = len(shared) / len(cells(a) | cells(b)) if shared else 0
            assert got[i, j].item() == pytest.approx(wanted)


@settings(deadline=None, max_examples=30)
@given(height=st.integers(0, 3), width=st.integers(0, 3), count=st.integers(1, 3))
def test_anchors_stand_on_the_cells(height, width, count):
    """Box by box: the given size around the centre of the cell."""
    sizes = [(0.1 * (n + 1), 0.3) for n in range(count)]
    got = anchor_boxes(height, width, sizes, dtype=torch.float64)
    assert got.shape == (height, width, count, 4)
    for i in range(height):
        for j in range(width):
            for n, (h, w) in enumerate(sizes):
                y, x = (i + 0.5) / height, (j + 0.5) / width
                wanted = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
                assert got[i, j, n].tolist() == pytest.approx(wanted)


def test_description_and_back():
    """The formula number by number; decoding gives the box again."""
    low = torch.rand(20, 2, 2, dtype=torch.float64)
    pairs = torch.cat([low, low + 0.05 + torch.rand_like(low)], -1)
    boxes, anchors = pairs[:, 0], pairs[:, 1]
    offsets = encode(boxes, anchors)
    for box, anchor, got in zip(boxes.tolist(), anchors.tolist(), offsets.tolist(), strict=True):
        w, h = anchor[2] - anchor[0], anchor[3] - anchor[1]
        wanted = [
            ((box[0] + box[2]) - (anchor[0] + anchor[2])) / 2 / w,
            ((box[1] + box[3]) - (anchor[1] + anchor[3])) / 2 / h,
            math.log((box[2] - box[0]) / w),
            math.log((box[3] - box[1]) / h),
        ]
        assert got == pytest.approx(wanted)
    torch.testing.assert_close(decode(offsets, anchors), boxes)
    torch.testing.assert_close(decode(torch.zeros_like(anchors), anchors), anchors)


def test_wild_offsets_make_finite_boxes():
    """What an untrained network says does not overflow."""
    wild = torch.tensor([0.0, 0.0, 1e4, 1e4])
    assert decode(wild, torch.tensor([0.0, 0.0, 1.0, 1.0])).isfinite().all()


@pytest.mark.parametrize("sizes", [[], [(0.1,)], [(0.1, 0.0)], [(0.1, math.inf)]])
def test_impossible_sizes_are_refused(sizes):
    """The message shows what was received."""
    with pytest.raises(OptionError) as caught:
        checked_sizes("Here", sizes)
    assert str(caught.value) == (
        "Here expected anchors to be one or more pairs (height, width) of positive shares of the "
        f"image, received {sizes!r}."
    )
