"""ClassifyAndLocateLoss against a loop over images and anchors."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.heads.boxes import anchor_boxes, encode, overlaps
from layerwright.layers.heads.classify_and_locate_loss import (
    ClassifyAndLocateLoss,
    matched_anchors,
)

ANCHORS = [(0.5, 0.5), (0.3, 0.6)]


def scene(images, objects, classes=3, size=(2, 3), seed=0):
    """Outputs of a head, and true objects; some images have fewer of them than others."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, dtype=torch.float64, generator=g)

    output = normal(images, *size, 2, classes + 1), normal(images, *size, 2, 4)
    low = torch.rand(images, objects, 2, dtype=torch.float64, generator=g) * 0.6
    side = 0.2 + 0.4 * torch.rand(images, objects, 2, dtype=torch.float64, generator=g)
    labels = torch.randint(-1, classes, (images, objects), generator=g)
    return output, (labels, torch.cat([low, low + side], -1))


def matched_by_loops(anchors, boxes, labels, threshold):
    """For one image: which object each anchor finds, by the words of the class page."""
    overlap = overlaps(anchors, boxes)
    real = [k for k, label in enumerate(labels) if label >= 0]
    found = {}
    for a in range(len(anchors)):
        if real:
            best = max(real, key=lambda k, a=a: overlap[a, k].item())
            if overlap[a, best] >= threshold:
                found[a] = best
    free_anchors, free_objects = set(range(len(anchors))), set(real)
    while free_anchors and free_objects:
        pairs = [(overlap[a, k].item(), -a, -k) for a in free_anchors for k in free_objects]
        value, a, k = max(pairs)
        if value == 0:
            break
        found[-a] = -k
        free_anchors.remove(-a)
        free_objects.remove(-k)
    return found


def loss_by_loops(output, target, threshold, negatives, weight):
    """The formula, anchor by anchor."""
    scores, offsets = (t.flatten(1, 3) for t in output)
    anchors = anchor_boxes(2, 3, ANCHORS, dtype=torch.float64).flatten(0, 2)
    total, count = 0.0, 0
    for n, (labels, boxes) in enumerate(zip(*target, strict=True)):
        found = matched_by_loops(anchors, boxes, labels.tolist(), threshold)
        count += len(found)
        background = []
        for a in range(len(anchors)):
            logs = scores[n, a].log_softmax(0)
            if a not in found:
                background.append(-logs[-1].item())
                continue
            total -= logs[labels[found[a]]].item()
            wanted = encode(boxes[found[a]], anchors[a])
            for difference in (offsets[n, a] - wanted).abs().tolist():
                small = difference < 1
                total += weight * (difference**2 / 2 if small else difference - 0.5)
        total += sum(sorted(background, reverse=True)[: negatives * max(1, len(found))])
    return total / max(1, count)


@settings(deadline=None, max_examples=40)
@given(
    images=st.integers(0, 3),
    objects=st.integers(0, 4),
    seed=st.integers(0, 1000),
    threshold=st.sampled_from([0.3, 0.5, 1.0]),
    negatives=st.integers(1, 3),
)
def test_formula(images, objects, seed, threshold, negatives):
    """Any number of images and objects, none included."""
    output, target = scene(images, objects, seed=seed)
    loss = ClassifyAndLocateLoss(
        ANCHORS, threshold=threshold, negatives=negatives, location_weight=0.7
    )
    wanted = loss_by_loops(output, target, threshold, negatives, 0.7)
    assert loss(output, target).item() == pytest.approx(wanted)


def test_each_object_gets_an_anchor_and_no_two_the_same():
    """Two objects in one place: the nearer one takes the best anchor, the other the next."""
    anchors = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.5], [2.0, 2.0, 3.0, 3.0]])
    boxes = torch.tensor([[[0.0, 0.0, 1.0, 0.9], [0.0, 0.0, 1.0, 0.95], [7.0, 7.0, 8.0, 8.0]]])
    found = matched_anchors(anchors, boxes, torch.tensor([[True, True, True]]), 0.99)
    assert found.tolist() == [[1, 0, -1]]
    found = matched_anchors(anchors, boxes, torch.tensor([[True, False, True]]), 0.99)
    assert found.tolist() == [[0, -1, -1]]


def test_images_without_objects_count_as_background():
    """All padding, or K = 0: the hardest background anchors alone, and no NaN."""
    (scores, offsets), (labels, boxes) = scene(2, 3)
    loss = ClassifyAndLocateLoss(ANCHORS, negatives=2)
    none = loss((scores, offsets), (labels[:, :0], boxes[:, :0]))
    # what stands in a box that only fills up does not matter
    hidden = loss(
        (scores, offsets), (torch.full_like(labels, -1), torch.full_like(boxes, torch.nan))
    )
    entropies = -scores.flatten(1, 3).log_softmax(-1)[..., -1]
    wanted = entropies.sort(1, descending=True).values[:, :2].sum()
    torch.testing.assert_close(none, wanted)
    torch.testing.assert_close(hidden, wanted)


def test_derivatives_pass_finite_differences():
    """Gradients of scores and offsets agree with finite differences."""
    (scores, offsets), target = scene(2, 3)
    loss = ClassifyAndLocateLoss(ANCHORS)
    inputs = (scores.requires_grad_(), offsets.requires_grad_())
    assert gradcheck(lambda *output: loss(output, target), inputs)


def test_low_precision_is_summed_in_float32():
    """The loss of bfloat16 outputs is float32 and near."""
    output, target = scene(2, 3)
    loss = ClassifyAndLocateLoss(ANCHORS)
    low = loss(tuple(t.bfloat16() for t in output), target)
    assert low.dtype == torch.float32
    assert low.item() == pytest.approx(loss(output, target).item(), rel=0.05)


def test_a_perfect_head_has_no_loss():
    """Sure of the right classes and boxes: nothing to pay."""
    (scores, offsets), (labels, boxes) = scene(1, 2)
    labels = labels.abs()
    anchors = anchor_boxes(2, 3, ANCHORS, dtype=torch.float64).flatten(0, 2)
    found = matched_anchors(anchors, boxes, labels >= 0, 0.5)[0]
    scores, offsets = torch.zeros_like(scores), torch.zeros_like(offsets)
    for a, k in enumerate(found.tolist()):
        scores.view(-1, 4)[a, labels[0, k] if k >= 0 else 3] = 50
        if k >= 0:
            offsets.view(-1, 4)[a] = encode(boxes[0, k], anchors[a])
    assert ClassifyAndLocateLoss(ANCHORS)((scores, offsets), (labels, boxes)).item() < 1e-12


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"threshold": 0.0}, "expected threshold to be an overlap in (0, 1], received 0.0."),
        ({"negatives": 0}, "expected negatives to be a whole number from 1, received 0."),
        (
            {"location_weight": math.nan},
            "expected location_weight to be a number from 0, received nan.",
        ),
    ],
)
def test_impossible_options_are_refused(options, text):
    """The message names the option, what it may be and what it was."""
    with pytest.raises(OptionError) as caught:
        ClassifyAndLocateLoss(ANCHORS, **options)
    assert str(caught.value) == f"ClassifyAndLocateLoss {text}"


def test_shapes_that_do_not_belong_together_are_refused():
    """The message shows all four."""
    output, (labels, boxes) = scene(2, 3)
    loss = ClassifyAndLocateLoss(ANCHORS)
    for target in ((labels[:1], boxes), (labels, boxes[:, :1]), (labels[0], boxes[0])):
        with pytest.raises(ShapeError, match=r"expected scores \(N, H, W, 2, C \+ 1\)"):
            loss(output, target)
    with pytest.raises(ShapeError, match="the same anchors"):
        ClassifyAndLocateLoss([(0.1, 0.1)])(output, (labels, boxes))
