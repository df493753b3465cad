"""PUR001 input-mutated."""

import linecache

import torch
from torch import nn

from layerwright.contract.check import check


def findings(layer, *inputs):
    """Return what the rule finds."""
    report = check(layer, *inputs, select=["PUR001"])
    assert report.results[0].outcome != "error", report.results[0].reason
    return report.findings


class Clamp(nn.Module):
    def forward(self, x):
        x.clamp_(-1.0, 1.0)
        return 2.0 * x


class AddSkip(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x, skip):
        skip += self.linear(x)
        return skip


class PreActivation(nn.Module):
    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return x + self.conv(self.relu(x))


class PostActivation(PreActivation):
    def forward(self, x):
        return x + self.relu(self.conv(x))


class Squeeze(nn.Module):
    def forward(self, x):
        return x.unsqueeze_(0).sum(0)


class TrainingNoise(nn.Module):
    def forward(self, x):
        return x.add_(torch.randn_like(x)) if self.training else 2.0 * x


class WithCache(nn.Module):
    def forward(self, x, cache):
        cache[:, :2] = x[:, :2]
        return cache.sum(1)


class WithList(nn.Module):
    def forward(self, x, seen):
        seen.append(x)
        return 2.0 * x


def test_a_write_is_found_with_its_line():
    """The finding counts the values, and names the operator and the line."""
    (found,) = findings(Clamp(), torch.tensor([3.0, 0.5]))
    assert found.severity == "error"
    assert "1 of 2 values differ" in found.found
    assert "clamp_" in found.fix
    assert found.file == __file__
    assert "x.clamp_" in linecache.getline(__file__, found.line)


def test_an_augmented_assignment_to_a_second_input_is_found():
    """`skip += ...` writes into the caller's tensor."""
    (found,) = findings(AddSkip(), torch.randn(2, 4), torch.randn(2, 4))
    assert found.where == "forward, input skip"


def test_a_part_that_works_in_place_is_found_when_it_reaches_the_input():
    """inplace=True of a part is no promise of the whole."""
    (found,) = findings(PreActivation(), torch.randn(2, 3, 4, 4))
    assert "relu_" in found.fix or "clamp_min_" in found.fix
    assert findings(PostActivation(), torch.randn(2, 3, 4, 4)) == ()


def test_a_change_of_shape_and_a_write_in_training_only_are_found():
    """Both leave the caller with another tensor."""
    assert "shape" in findings(Squeeze(), torch.randn(2, 3))[0].found
    assert "training mode" in findings(TrainingNoise(), torch.randn(2, 3))[0].found


def test_declared_writes_pass():
    """The layer's own inplace, a cache that is handed over, a list of the caller's."""
    assert findings(nn.ReLU(inplace=True), torch.randn(3)) == ()
    assert findings(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 2)), torch.randn(2, 3)) == ()
    assert findings(WithCache(), torch.randn(2, 4), torch.zeros(2, 4)) == ()
    assert findings(WithList(), torch.randn(2, 4), []) == ()


def test_layers_of_torch_pass():
    """Integer inputs, norms and attention among them."""
    assert findings(nn.BatchNorm1d(3), torch.randn(4, 3)) == ()
    assert findings(nn.Embedding(5, 3, max_norm=1.0), torch.arange(5)) == ()
    assert findings(nn.MultiheadAttention(4, 2), *[torch.randn(3, 2, 4)] * 3) == ()
