"""NET003: a view that makes other rows than samples."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from layerwright.contract.check import check


class Net(nn.Module):
    def __init__(self, width, flatten, channels=4):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, padding=1)
        self.fc = nn.Linear(width, 5)
        self.flatten = flatten

    def forward(self, x):
        return self.fc(self.flatten(torch.relu(self.conv(x))))


class Windows(nn.Module):
    """Returns one row a window, on purpose."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3 * 4 * 4, 5)

    def forward(self, x):
        return self.fc(F.unfold(x, 4, stride=4).transpose(1, 2).reshape(-1, 48))


class Consensus(nn.Module):
    """Averages each three frames."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 5)

    def forward(self, x):
        return self.fc(x.mean((2, 3)).view(-1, 3, 3).mean(1))


def found(layer, x):
    """Return the findings of this rule alone."""
    report = check(layer, x, select=["NET003"])
    assert report.counts["error"] == 0, report.results
    return report.findings


def test_rows_that_begin_inside_of_samples_are_an_error():
    """Nine images of 256 values make four rows of 576."""
    (finding,) = found(Net(576, lambda x: x.view(-1, 576)), torch.randn(9, 3, 8, 8))
    assert finding.severity == "error"
    assert "9 samples of 4 * 8 * 8 = 256 values become 4 rows of 576" in finding.found
    assert "x.flatten(1)" in finding.fix


def test_an_image_that_becomes_several_rows_is_a_warning():
    """As in the article: one pooling is missing, and each image gives four answers."""
    layer = Net(64, lambda x: x.view(-1, 64), channels=4)
    (finding,) = found(Net(4 * 32, lambda x: x.view(-1, 4 * 32)), torch.randn(2, 3, 8, 8))
    assert finding.severity == "warning"
    assert found(layer, torch.randn(2, 3, 4, 4)) != ()


def test_another_image_size_is_a_warning():
    """The rows and samples that were demonstrated are told."""
    (finding,) = found(Net(256, lambda x: x.view(-1, 256)), torch.randn(2, 3, 8, 8))
    assert finding.severity == "warning"
    assert "depends on samples 0 and 1" in finding.found


@pytest.mark.parametrize(
    "layer",
    [
        Net(256, lambda x: x.flatten(1)),
        Net(256, lambda x: x.view(x.shape[0], -1)),
        Net(4, lambda x: x.mean((2, 3)).view(-1, 4)),
        Windows(),
        nn.Conv2d(3, 4, 3),
        nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 2)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_one_row_a_sample_passes(layer):
    """Flattened from dimension 1, pooled, or rows on purpose."""
    assert found(layer, torch.randn(6, 3, 8, 8)) == ()


def test_whole_samples_in_one_row_are_not_judged():
    """Segments are averaged on purpose."""
    assert found(Consensus(), torch.randn(6, 3, 8, 8)) == ()
