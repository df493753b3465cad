"""detections and non-maximum suppression against plain loops."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.heads.boxes import anchor_boxes, encode, overlaps
from layerwright.layers.heads.detections import detections, non_maximum_suppression

ANCHORS = [(0.4, 0.4)]


@settings(deadline=None, max_examples=50)
@given(
    count=st.integers(0, 8), threshold=st.sampled_from([0.2, 0.5, 1.0]), seed=st.integers(0, 999)
)
def test_suppression_box_by_box(count, threshold, seed):
    """Taken from the surest on, a box stays unless one of its class that stays covers it."""
    g = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 2, generator=g) * 0.5
    boxes = torch.cat([low, low + 0.3], 1)
    scores = torch.randint(0, 4, (count,), generator=g) / 4
    classes = torch.randint(0, 2, (count,), generator=g)
    kept = []
    for number in sorted(range(count), key=lambda n: (-scores[n].item(), n)):
        overlap = overlaps(boxes[number : number + 1], boxes)[0]
        if not any(classes[k] == classes[number] and overlap[k] >= threshold for k in kept):
            kept.append(number)
    assert non_maximum_suppression(boxes, scores, classes, threshold).tolist() == kept


def described(objects, size=(4, 4), num_classes=3):
    """Outputs of a head that is sure of these (cell, class, box, logit)."""
    scores = torch.zeros(1, *size, 1, num_classes + 1)
    scores[..., -1] = 9
    offsets = torch.zeros(1, *size, 1, 4)
    anchors = anchor_boxes(*size, ANCHORS)
    for (i, j), label, box, logit in objects:
        scores[0, i, j, 0] = torch.zeros(num_classes + 1)
        scores[0, i, j, 0, label] = logit
        offsets[0, i, j, 0] = encode(torch.tensor(box), anchors[i, j, 0])
    return scores, offsets


def test_what_was_described_is_found():
    """Three objects, of which one is reported twice: boxes, classes, and the surest first."""
    first, second = (0.1, 0.1, 0.4, 0.5), (0.5, 0.55, 0.9, 0.95)
    output = described(
        [
            ((0, 0), 0, first, 5.0),
            ((1, 1), 0, (0.1, 0.12, 0.4, 0.5), 4.0),  # the same object, less sure
            ((2, 2), 2, second, 7.0),
            ((2, 3), 1, second, 6.0),  # another class in the same place
        ]
    )
    (found,) = detections(output, ANCHORS)
    assert found.classes.tolist() == [2, 1, 0]
    torch.testing.assert_close(found.boxes, torch.tensor([second, second, first]))
    wanted = [torch.tensor([logit, 0, 0, 0]).softmax(0)[0].item() for logit in (7.0, 6.0, 5.0)]
    assert found.scores.tolist() == pytest.approx(wanted)
    assert [len(part) for part in detections(output, ANCHORS, limit=2)[0]] == [2, 2, 2]
    assert len(detections(output, ANCHORS, score_threshold=0.999)[0].boxes) == 0


def test_boxes_stay_within_the_image():
    """What reaches beyond is cut off."""
    (found,) = detections(described([((0, 0), 1, (-0.5, -0.5, 0.2, 1.5), 9.0)]), ANCHORS)
    torch.testing.assert_close(found.boxes, torch.tensor([[0.0, 0.0, 0.2, 1.0]]))


def test_empty_batches_and_low_precision():
    """No image, no detection; bfloat16 outputs give float32 boxes and no graph is recorded."""
    scores, offsets = described([((0, 0), 1, (0.1, 0.1, 0.4, 0.4), 9.0)])
    assert detections((scores[:0], offsets[:0]), ANCHORS) == []
    (found,) = detections((scores.bfloat16().requires_grad_(), offsets.bfloat16()), ANCHORS)
    assert found.boxes.dtype == found.scores.dtype == torch.float32
    assert not found.scores.requires_grad


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"score_threshold": 2}, "detections expected score_threshold in [0, 1], received 2."),
        (
            {"overlap_threshold": -1},
            "detections expected overlap_threshold in [0, 1], received -1.",
        ),
        ({"limit": 0}, "detections expected limit to be from 1, received 0."),
    ],
)
def test_impossible_options_are_refused(options, text):
    """The message names the option, what it may be and what it was."""
    with pytest.raises(OptionError) as caught:
        detections(described([]), ANCHORS, **options)
    assert str(caught.value) == text


def test_outputs_that_do_not_fit_are_refused():
    """Those of a head with other anchors."""
    with pytest.raises(ShapeError, match="Fix: give the head's own anchors"):
        detections(described([]), [(0.1, 0.1), (0.2, 0.2)])
