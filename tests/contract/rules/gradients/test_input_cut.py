"""GRD009 input-cut."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def found(layer, *inputs):
    """Return the findings of this rule."""
    report = check(layer, *inputs, select=["GRD009"])
    assert report.results[0].outcome != "error", report.results[0].reason
    return report.findings


torch.manual_seed(0)
X = torch.randn(4, 6)


def layer_of(forward):
    """Return a layer with a linear part, which `forward(layer, x)` uses."""

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 6)

        def forward(self, x):
            return forward(self, x)

    return Layer()


@pytest.mark.parametrize(
    ("forward", "words", "severity"),
    [
        (lambda self, x: self.linear(x.data), ".data", "error"),
        (lambda self, x: self.linear(torch.from_numpy(x.detach().numpy())), "numpy", "error"),
        (lambda self, x: self.linear(torch.tensor(x.tolist())), ".tolist()", "error"),
        (lambda self, x: self.linear(x / x.norm().item()), ".item()", "warning"),
        (lambda self, x: self.linear(x) * x.new_tensor(x.mean()), "copies values", "warning"),
    ],
    ids=["data", "numpy", "tolist", "item", "new_tensor"],
)
def test_a_lost_gradient_is_named_with_its_cause(forward, words, severity):
    """All of it is an error, a part of it a warning."""
    (finding,) = found(layer_of(forward), X)
    assert finding.severity == severity
    assert finding.where == "input x"
    assert words in finding.found
    assert finding.file.endswith("test_input_cut.py")


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, x: self.linear(x),
        lambda self, x: self.linear(x.detach()),
        lambda self, x: self.linear(x + (x.round() - x).detach()),
        lambda self, x: self.linear(x / x.data.norm()),
        lambda self, x: self.linear(x)[torch.from_numpy(x.detach().numpy().argsort(0)[:, 0])],
        lambda self, x: self.linear(x) if x.sum().item() > 0 else self.linear(-x),
    ],
    ids=["plain", "detach", "straight-through", "data", "order", "branch"],
)
def test_purpose_and_piecewise_constants_pass(forward):
    """What says stop, and what has no slope."""
    assert not found(layer_of(forward), X)
