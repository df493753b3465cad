"""DST004 ranks-drift-apart."""

import pytest
import torch
import torch.distributed as dist
from torch import nn

from layerwright.contract.case import Case
from layerwright.contract.check import check

X = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))


def result(layer, *inputs, **options):
    """Return what the rule comes to."""
    (found,) = check(layer, *inputs, select=["DST004"], ranks=2, **options).results
    assert found.outcome != "error", found.reason
    return found


class Measuring(nn.Module):
    """Divides by the mean size of its inputs, which it keeps in one of several places."""

    def __init__(self, kept_in, *, averaged=False):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.averaged = averaged
        size = torch.ones(())
        if kept_in == "parameter":
            self.size = nn.Parameter(size)
        elif kept_in == "frozen parameter":
            self.size = nn.Parameter(size, requires_grad=False)
        elif kept_in == "buffer":
            self.register_buffer("size", size)
        else:
            self.size = size

    def forward(self, x):
        if self.training:
            measured = x.detach().abs().square().mean()
            if self.averaged and dist.is_initialized():
                dist.all_reduce(measured)
                measured = measured / dist.get_world_size()
            with torch.no_grad():
                self.size.mul_(0.5).add_(measured * x.detach()[0].abs().sum(), alpha=0.5)
        return self.linear(x / self.size)


@pytest.mark.parametrize("place", ["parameter", "frozen parameter"])
def test_a_parameter_that_forward_writes_drifts(place):
    """Named, with both values."""
    (finding,) = result(Measuring(place), X).findings
    assert finding.where.split()[0] == "size"
    assert "rank 0 and rank 1 differ" in finding.found
    assert finding.file == __file__


def test_an_attribute_drifts():
    """Parameters and buffers agree, answers do not."""
    (finding,) = result(Measuring("attribute"), X).findings
    assert finding.where == "forward (eval mode)"
    assert "the answers of rank 0 and rank 1 differ" in finding.found


def test_a_buffer_does_not():
    """DistributedDataParallel sends it from the first process."""
    assert result(Measuring("buffer"), X).outcome == "passed"


def test_state_on_purpose_is_no_finding():
    """A trait says that calls leave something behind."""
    case = Case(Measuring("attribute"), (X,), traits={"stateful": True})
    assert result(case).outcome == "passed"


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(3, 3),
        nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout()),
        nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3)),
        nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)),
    ],
    ids=["linear", "batch norm and dropout", "spectral norm", "weight norm"],
)
def test_sound_layers_stay_together(layer):
    """Bit for bit, whatever data and random numbers each rank has."""
    assert result(layer, X).outcome == "passed"


def test_a_step_that_fails_is_skipped_with_its_error():
    """It is for DST001 to report."""

    class Fails(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x):
            if self.training and dist.is_initialized():
                raise ValueError("no groups here")
            return self.linear(x)

    found = result(Fails(), X)
    assert found.outcome == "skipped"
    assert "no groups here" in found.reason
