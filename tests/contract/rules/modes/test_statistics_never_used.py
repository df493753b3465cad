"""MOD007: statistics that nothing reads, and buffers that only look so."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from layerwright.contract.check import check

X = torch.randn(8, 4) + 1


def judge(layer, x=X):
    """Run the rule alone."""
    return check(layer, x, select=["MOD007"])


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(4))
        self.register_buffer("running_var", torch.ones(4))

    def forward(self, x):
        mean, var = x.mean(dim=0), x.var(dim=0, unbiased=False)
        if self.training:
            with torch.no_grad():
                self.running_mean.lerp_(mean, 0.1)
                self.running_var.lerp_(var, 0.1)
        mean, var = self.chosen(mean, var)
        return (x - mean) / torch.sqrt(var + 1e-3)

    def chosen(self, mean, var):
        return mean, var


class HalfUsed(Norm):
    def chosen(self, mean, var):
        return (mean, var) if self.training else (self.running_mean, var.new_ones(4))


class Used(Norm):
    def chosen(self, mean, var):
        return (mean, var) if self.training else (self.running_mean, self.running_var)


class Monitored(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("usage", torch.zeros(4))

    def forward(self, x):
        if self.training:
            with torch.no_grad():
                self.usage.lerp_(x.mean(dim=0), 0.1)
        return self.norm(x)


class Codebook(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("codes", torch.randn(8, 4))
        self.register_buffer("sizes", torch.ones(8))
        self.register_buffer("sums", self.codes.clone())

    def forward(self, x):
        index = torch.cdist(x, self.codes).argmin(dim=-1)
        quantised = self.codes[index]
        if self.training:
            with torch.no_grad():
                chosen = F.one_hot(index, 8).to(x.dtype)
                self.sizes.lerp_(chosen.sum(dim=0), 0.1)
                self.sums.lerp_(chosen.T @ x, 0.1)
                self.codes.copy_(self.sums / self.sizes.clamp(min=1e-3)[:, None])
        return x + (quantised - x).detach()


@pytest.mark.parametrize(
    ("layer", "where"),
    [
        (Norm(), "running_mean"),
        (HalfUsed(), "running_var"),
        (nn.Sequential(nn.Linear(4, 4), Norm()), "1.running_mean"),
    ],
)
def test_statistics_that_nothing_reads_are_reported(layer, where):
    """By name, alone or within a network."""
    (finding,) = judge(layer).findings
    assert (finding.severity, finding.where) == ("error", where)


@pytest.mark.parametrize(
    "layer",
    [Used(), Monitored(), Codebook(), nn.BatchNorm1d(4), nn.BatchNorm1d(4, momentum=None)],
)
def test_statistics_with_a_use_pass(layer):
    """Averages behind a codebook, and monitors beside a batch norm, are no statistics of its."""
    assert judge(layer).counts == {"passed": 1}


def test_instance_norm_passes():
    """It reads what it tracks."""
    layer = nn.InstanceNorm1d(4, track_running_stats=True)
    assert judge(layer, torch.randn(3, 4, 7)).counts == {"passed": 1}


class AuxiliaryNorm(nn.Module):
    """The second half of a training batch is normalised apart, as AdvProp does."""

    def __init__(self):
        super().__init__()
        self.norm, self.auxiliary = nn.BatchNorm1d(6), nn.BatchNorm1d(6)

    def forward(self, x):
        if not self.training:
            return self.norm(x)
        clean, other = x.chunk(2)
        return torch.cat([self.norm(clean), self.auxiliary(other)])


def test_a_part_that_only_training_calls_passes():
    """Eval leaves it out, statistics and all."""
    report = check(AuxiliaryNorm(), torch.randn(8, 6), select=["MOD007"])
    assert [item.outcome for item in report.results] == ["passed"]


class Signs(nn.Module):
    """The variance moves no sign while the bias of the norm is zero."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x):
        return torch.sign(self.norm(x))


def test_statistics_that_matter_once_the_bias_moves_pass():
    """As before a binary layer."""
    assert judge(Signs()).counts == {"passed": 1}


class Codes(nn.Module):
    """Counts the use of its codes, and returns the distances as (1, samples, codes), too."""

    def __init__(self):
        super().__init__()
        self.register_buffer("codes", torch.randn(5, 4))
        self.register_buffer("usage", torch.zeros(5))

    def forward(self, x):
        distances = torch.cdist(x, self.codes)
        nearest = distances.argmin(-1)
        if self.training:
            with torch.no_grad():
                self.usage.lerp_(torch.bincount(nearest, minlength=5).float(), 0.1)
        return self.codes[nearest], distances[None]


class AveragedCodes(Codes):
    """The use of the codes divides the averages that make them, as parameters."""

    def __init__(self):
        super().__init__()
        codes = self.codes.clone()
        del self.codes
        self.codes = nn.Parameter(codes)
        self.register_buffer("sums", codes.clone())

    def forward(self, x):
        answer, distances = super().forward(x)
        if self.training:
            with torch.no_grad():
                self.codes.data.copy_(self.sums / (self.usage + 1)[:, None])
        return answer + x.mean(dim=0) * self.training, distances


@pytest.mark.parametrize("kind", [Codes, AveragedCodes])
def test_the_use_of_codes_passes(kind):
    """An output without a row for each sample mixes none; a parameter may depend on a buffer."""
    assert judge(kind()).counts == {"passed": 1}
