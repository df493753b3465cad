"""The detector: its outputs, its loss and its reading of the outputs belong together."""

import pytest
import torch
from torch import nn

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.heads.boxes import anchor_boxes, encode
from layerwright.layers.heads.classify_and_locate_loss import ClassifyAndLocateLoss, matched_anchors
from layerwright.networks.single_shot_detector import SingleShotDetector

TARGET = torch.tensor(
    [
        [[2.0, 0.1, 0.1, 0.3, 0.45], [0.0, 0.6, 0.5, 0.8, 0.8], [2.0, 0.05, 0.6, 0.3, 0.95]],
        [[1.0, 0.4, 0.4, 0.65, 0.75], [-1.0, 0.0, 0.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0, 0.0]],
    ]
)


def plain(channels, width, outputs):
    """The same in plain torch; the head's two convolutions come last."""
    layers, before = [], channels
    for factor, pools in ((1, True), (2, True), (4, False), (4, False)):
        after = factor * width
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)]
        layers += [nn.ReLU(), *([nn.MaxPool2d(2)] if pools else [])]
        before = after
    heads = [nn.Conv2d(before, maps, 3, padding=1) for maps in outputs]
    return nn.Sequential(*layers), nn.ModuleList(heads)


def test_equal_to_plain_torch():
    """Maps, anchors and outputs are where they are said to be."""
    torch.manual_seed(0)
    network = SingleShotDetector((3, 12, 20), 4, width=3).double()
    body, heads = plain(3, 3, (2 * 5, 2 * 4))
    twin = nn.ModuleList([body, heads]).double()
    ours = network.state_dict().values()
    twin.load_state_dict(dict(zip(twin.state_dict(), ours, strict=True)))
    x = torch.randn(2, 3, 12, 20, dtype=torch.float64)
    outputs = network(x)
    for output, head, values in zip(outputs, heads, (5, 4), strict=True):
        expected = head(body(x)).view(2, 2, values, 3, 5).permute(0, 3, 4, 1, 2)
        torch.testing.assert_close(output, expected)


def perfect_output(network, target, size):
    """What the network would have to say to find exactly the objects of the target."""
    anchors = anchor_boxes(size, size, network.head.anchors).flatten(0, 2)
    classes, boxes = target[..., 0].long(), target[..., 1:]
    found = matched_anchors(anchors, boxes, classes >= 0, 0.5)
    scores = torch.zeros(*found.shape, network.head.num_classes + 1)
    scores[..., -1] = 20.0
    offsets = torch.zeros(*found.shape, 4)
    for image, anchor in (found >= 0).nonzero().tolist():
        number = found[image, anchor]
        scores[image, anchor, -1] = 0.0
        scores[image, anchor, classes[image, number]] = 20.0
        offsets[image, anchor] = encode(boxes[image, number], anchors[anchor])
    shape = (len(target), size, size, len(network.head.anchors))
    return scores.view(*shape, -1), offsets.view(*shape, 4)


def test_the_perfect_output_finds_the_target_and_costs_nothing():
    """Loss and reading of the outputs agree on what the outputs mean."""
    network = SingleShotDetector((1, 40, 40), 3, width=2)
    output = perfect_output(network, TARGET, 10)
    assert network.detection_loss(output, TARGET) < 1e-6
    for found, rows in zip(network.detections(output), TARGET, strict=True):
        rows = rows[rows[:, 0] >= 0]  # noqa: PLW2901 - without what fills up
        assert len(found.scores) == len(rows)
        order = found.boxes[:, 0].argsort(), rows[:, 1].argsort()
        torch.testing.assert_close(found.boxes[order[0]], rows[order[1], 1:], atol=1e-5, rtol=0)
        assert torch.equal(found.classes[order[0]], rows[order[1], 0].long())
    assert all(len(found.scores) == 0 for found in network.detections((output[0] * 0, output[1])))


def test_the_loss_is_that_of_the_head():
    """Packed targets are taken apart as `ClassifyAndLocateLoss` wants them."""
    torch.manual_seed(0)
    network = SingleShotDetector((1, 16, 16), 3, width=2)
    output = network(torch.randn(2, 1, 16, 16))
    loss = ClassifyAndLocateLoss(network.head.anchors)
    expected = loss(output, (TARGET[..., 0].long(), TARGET[..., 1:]))
    assert torch.equal(network.detection_loss(output, TARGET), expected)


def test_what_does_not_fit_is_refused():
    """Sizes, anchors, and batches of other samples."""
    for options, text in (
        ({"width": 0}, "SingleShotDetector expected width to be a whole number from 1, received 0"),
        ({"anchors": [(0.0, 1.0)]}, "expected anchors to be one or more pairs"),
    ):
        with pytest.raises(OptionError, match=text):
            SingleShotDetector(**options)
    with pytest.raises(ShapeError, match=r"maps of at least 4x4, received input_shape=\(1, 3, 9\)"):
        SingleShotDetector((1, 3, 9))
    with pytest.raises(ShapeError, match=r"expected a batch of shape \(N, 1, 40, 40\)"):
        SingleShotDetector()(torch.zeros(1, 40, 40))
