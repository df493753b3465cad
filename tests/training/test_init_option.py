import pytest
import torch
from torch import nn
from torch.utils.data import IterableDataset

import layerwright as lw
from layerwright.errors import OptionError

X = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
Y = (X.sum(1) > 0).long()


def deep():
    torch.manual_seed(0)
    return nn.Sequential(*[nn.Linear(6, 6) for _ in range(8)], nn.Linear(6, 2))


def still(**options):
    """Train with steps too small to move a weight; return the network."""
    recipe = lw.Recipe(lr=1e-30, optimizer="sgd", validation=0.0, seed=5, **options)
    return lw.fit(deep(), (X, Y), recipe).network


def test_lsuv_gives_each_layer_variance_one_on_the_first_batch():
    """With one batch of all samples, so that any order of them is that batch."""
    network = still(init="lsuv", batch_size=64, epochs=1)
    variances = []
    value = X
    for layer in network:
        value = layer(value)
        variances.append(value.var().item())
    assert variances == pytest.approx([1.0] * 9, abs=0.05)
    value = still(init="orthogonal", batch_size=64, epochs=1)(X)
    assert abs(value.var().item() - 1) > 0.05


def test_lsuv_draws_the_same_for_the_same_seed():
    """As every part of a run does."""
    first, second = (still(init="lsuv", batch_size=16, epochs=1) for _ in range(2))
    assert all(map(torch.equal, first.parameters(), second.parameters()))


class Stream(IterableDataset):
    def __iter__(self):
        return zip(X, Y, strict=True)


def test_lsuv_refuses_a_stream():
    """Its first batch is gone once it was looked at."""
    with pytest.raises(OptionError) as caught:
        lw.fit(deep(), Stream(), lw.Recipe(init="lsuv", validation=0.0, epochs=1))
    assert "init 'lsuv' expected data whose first batch can be had twice" in str(caught.value)
    assert "Fix: choose another init" in str(caught.value)
