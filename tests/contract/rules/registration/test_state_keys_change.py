"""REG008: a state_dict that grows with use."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def judged(layer, *inputs, **options):
    """Return the result of REG008."""
    (result,) = check(layer, *inputs, select=["REG008"], **options).results
    return result


class LazyProjection(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = None

    def forward(self, x):
        if self.proj is None:
            self.proj = nn.Linear(x.shape[-1], 2)
        return self.proj(x)


class Statistics(nn.Module):
    def forward(self, x):
        if self.training:
            self.register_buffer("scale", x.detach().std(0))
        return x / getattr(self, "scale", 1.0)


class Cache(nn.Module):
    def __init__(self, *, persistent=True):
        super().__init__()
        self.register_buffer("keys", torch.zeros(0, 3), persistent=persistent)

    def forward(self, x):
        self.keys = torch.cat([self.keys, x.detach()])[-8:]
        return x + self.keys.mean(0)


@pytest.mark.parametrize(
    ("layer", "key"), [(LazyProjection(), "proj.weight came"), (Statistics(), "scale came")]
)
def test_new_keys_are_an_error(layer, key):
    """Those of eval and of training calls; the error of loading is told."""
    (finding,) = judged(layer, torch.randn(4, 3)).findings
    assert finding.severity == "error"
    assert key in finding.found
    assert "Unexpected key(s)" in finding.found


def test_a_growing_buffer_is_a_warning():
    """A checkpoint does not load into a new layer."""
    (finding,) = judged(Cache(), torch.randn(4, 3)).findings
    assert finding.severity == "warning"
    assert "keys has shape (8, 3) instead of (0, 3)" in finding.found


@pytest.mark.parametrize(
    "layer",
    [Cache(persistent=False), nn.LazyLinear(2), nn.BatchNorm1d(3)],
)
def test_sound_layers_pass(layer):
    """Caches outside the state, lazy modules, running statistics."""
    assert judged(layer, torch.randn(4, 3)).outcome == "passed"
