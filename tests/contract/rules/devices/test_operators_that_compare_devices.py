"""Operators that compare devices in words of their own, or not at all, are told apart by meeting.

Which of them raise on a CUDA device is torch's documentation and source, not our fake device.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from layerwright.contract.check import check

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


class Calls(nn.Module):
    """Applies a function, and no other operator."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class StartOnCpu(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.cell = kind(4, 5)

    def forward(self, x):
        return self.cell(x.unsqueeze(1), torch.zeros(1, 1, 5))[0]


RAISE = {
    "embedding, indices on the CPU": lambda x: F.embedding(torch.arange(3), x),
    "embedding, table on the CPU": lambda x: F.embedding(x.argmax(-1), torch.ones(4, 5)) + 1,
    "a table on the CPU is indexed": lambda x: torch.ones(4, 2)[x.argmax(-1)],
    "index_add": lambda x: x.index_add(0, torch.arange(3), x),
    "index_copy": lambda x: x.index_copy(0, torch.arange(3), x),
    "take_along_dim": lambda x: torch.take_along_dim(x, torch.zeros(3, 1, dtype=torch.long), 1),
    "attention": lambda x: F.scaled_dot_product_attention(x[None], torch.ones(1, 3, 4), x[None]),
    "stft": lambda x: torch.stft(
        x.reshape(1, 12), 4, 2, window=torch.hann_window(4), return_complex=True
    ).abs(),
}

RUN = {
    "indices on the CPU": lambda x: x[torch.arange(2)],
    "a number on the CPU": lambda x: torch.where(x > 0, x, torch.tensor(0.0)),
    "a copy": lambda x: torch.zeros_like(x).copy_(torch.ones(3, 4)) + x,
}


@pytest.mark.parametrize("name", RAISE)
def test_what_raises_on_an_accelerator_is_found(name):
    """Whatever words torch finds for it."""
    if name in ("index_add", "index_copy") and torch.__version__.startswith("2.11."):
        pytest.skip("the fake kernels of torch 2.11 do not compare devices here")
    (finding,) = check(Calls(RAISE[name]), X, select=["DEV001"]).findings
    assert finding.severity == "error"


@pytest.mark.parametrize("kind", [nn.GRU, nn.RNN])
def test_hidden_state_on_the_cpu_is_found(kind):
    """Recurrent layers compare devices in Python."""
    assert [item.rule_id for item in check(StartOnCpu(kind), X, select=["DEV001"]).findings] == [
        "DEV001"
    ]


@pytest.mark.parametrize("name", RUN)
def test_what_torch_allows_passes(name):
    """Indices, numbers and copies may come from the CPU."""
    report = check(Calls(RUN[name]), X, select=["DEV001"])
    assert [(item.outcome, item.reason) for item in report.results] == [("passed", "")]
