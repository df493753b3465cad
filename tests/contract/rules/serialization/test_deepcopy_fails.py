"""SER002: layers that copy.deepcopy refuses, new or used, and some that it does not."""

import threading
import warnings

import pytest
import torch
from torch import nn

from layerwright.contract.check import check

X = torch.randn(4, 3)


def judge(layer, x=X):
    """Run the rule alone."""
    return check(layer, x, select=["SER002"])


class Guarded(nn.Module):
    def __init__(self):
        super().__init__()
        self.guards = {"table": threading.Lock()}

    def forward(self, x):
        return 2 * x


class Remembers(nn.Module):
    def __init__(self, change=lambda x: x):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.change = change
        self.hidden = []

    def forward(self, x):
        y = self.linear(x)
        self.hidden = [self.change(y)]
        return y


class Forgets(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = 2.0

    def __getstate__(self):
        state = self.__dict__.copy()
        state.pop("scale", None)
        return state

    def forward(self, x):
        return self.scale * x


def test_a_lock_is_named():
    """As an error, with the attribute."""
    (finding,) = judge(nn.Sequential(Guarded())).findings
    assert (finding.severity, finding.where) == ("error", "0.guards['table']")
    assert "as it was built" in finding.expected


def test_a_stored_activation_is_reported_after_training():
    """The new layer can be copied, the used one cannot."""
    (finding,) = judge(Remembers()).findings
    assert finding.where == "hidden[0]"
    assert "after a training pass" in finding.expected


def test_an_attribute_that_copies_lose_is_reported():
    """Forward asks for what __getstate__ dropped."""
    (finding,) = judge(Forgets()).findings
    assert finding.where == "scale"


class DropsOnce(Forgets):
    def __getstate__(self):
        state = self.__dict__.copy()
        del state["scale"]  # a copy of a copy raises here
        return state


def test_a_copy_that_cannot_be_copied_is_reported():
    """The caller's layer can be copied once; its copy cannot."""
    (finding,) = judge(DropsOnce()).findings
    assert "KeyError: 'scale'" in finding.found


def test_what_can_be_copied_passes():
    """Detached activations, losses with a graph, norms of weights in both forms."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = [
            torch.nn.utils.weight_norm(nn.Linear(3, 3)),
            torch.nn.utils.spectral_norm(nn.Linear(3, 3)),
        ]
    new = torch.nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))
    for layer in (
        *old,
        new,
        Remembers(torch.Tensor.detach),
        Remembers(torch.Tensor.mean),
        nn.GRU(3, 4),
        nn.MultiheadAttention(4, 2),
    ):
        inputs = [torch.randn(5, 2, 4)] * 3 if isinstance(layer, nn.MultiheadAttention) else [X]
        report = check(layer, *inputs, select=["SER002"])
        assert report.counts == {"passed": 1}, str(report)


class WantsSize(nn.Module):
    """Its `__new__` may return another module, and wants an argument that a copy does not pass."""

    def __new__(cls, size):
        return super().__new__(cls) if size > 1 else nn.Identity()

    def __init__(self, size):
        super().__init__()
        self.linear = nn.Linear(size, size)

    def forward(self, x):
        return self.linear(x)


class Refuses(nn.Linear):
    def __deepcopy__(self, memo):
        raise RuntimeError("no copies")


@pytest.mark.parametrize("layer", [WantsSize(3), Refuses(3, 3), nn.Sequential(WantsSize(3))])
def test_a_class_that_refuses_is_judged_by_all_rules(layer):
    """The check copies it attribute by attribute; no rule crashes, and the original is safe."""
    before = {name: item.clone() for name, item in layer.state_dict().items()}
    report = check(layer, X)
    assert [item.rule_id for item in report.results if item.outcome == "error"] == []
    assert "SER002" in {finding.rule_id for finding in report.findings}
    assert all(torch.equal(before[name], item) for name, item in layer.state_dict().items())
