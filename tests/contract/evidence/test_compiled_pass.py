"""What decides whether two answers can be compared at all."""

import pytest
import torch
from torch import nn

from layerwright.contract.building import subject_of
from layerwright.contract.case import Case
from layerwright.contract.evidence.compiled_pass import amplifies, write_over_free_memory
from layerwright.contract.probe import Probe


class Unwritten(nn.Module):
    """Leaves half of its answer as the memory was."""

    def __init__(self, *, whole=False):
        super().__init__()
        self.whole = whole

    def forward(self, x):
        y = torch.zeros(32, 16) if self.whole else torch.empty(32, 16)
        y[0] = x
        return 2 * y


@pytest.mark.parametrize("whole", [False, True])
def test_memory_that_nobody_wrote_is_no_answer(whole):
    """It is another one in the next call."""
    case = Case(Unwritten(whole=whole), torch.randn(16))
    probe = Probe(subject_of(case, 0, lambda _: {}))
    assert amplifies(probe, probe.inputs(), training=False) is not whole


def test_free_memory_holds_other_values_afterwards():
    """A new tensor as large as a result, of which nothing is written, is not as it was."""
    probe = Probe(subject_of(Case(Unwritten(), torch.randn(16)), 0, lambda _: {}))
    write_over_free_memory(probe)
    fresh = [torch.empty(32, 16) for _ in range(5)]
    assert any(bool((item == 1e3).any()) for item in fresh)
