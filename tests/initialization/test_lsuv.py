"""LSUV: every layer puts out variance one, also when it is called several times."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

import layerwright as lw
from layerwright.errors import OptionError


def batch(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def outputs(net, inputs):
    """The outputs of each leaf module with weights, call by call."""
    found = {}

    def note(module, _, output):
        found.setdefault(module, []).append(output.detach())

    handles = [m.register_forward_hook(note) for m in net.modules() if hasattr(m, "weight")]
    with torch.no_grad():
        net(inputs)
    for handle in handles:
        handle.remove()
    return found


def test_each_layer_puts_out_variance_one():
    """Convolutions, parametrised and linear layers, under odd activations and odd inputs."""
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), weight_norm(nn.Conv2d(8, 4, 3)), nn.Sigmoid(),
        nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 5),
    )  # fmt: skip
    x = 7 * batch(32, 3, 8, 8) + 2
    lw.initialize(net, "lsuv", inputs=x, generator=torch.Generator().manual_seed(1))
    for calls in outputs(net, x).values():
        assert 0.94 < calls[0].var(correction=0) < 1.06
    rows = net[5].weight.detach()
    products = rows @ rows.T
    assert torch.allclose(products, products[0, 0] * torch.eye(32), atol=1e-4)  # still orthogonal


class Loop(nn.Module):
    """One layer, called three times; the first two feed it again."""

    def __init__(self):
        super().__init__()
        self.step, self.scores = nn.Linear(16, 16), nn.Linear(16, 2)

    def forward(self, x):
        for _ in range(3):
            x = 2 * torch.relu(self.step(x))
        return self.scores(x)


def test_a_layer_that_is_called_again_has_variance_one_over_its_calls():
    """The mean over the calls, although each call's input changes with the weight."""
    net = lw.initialize(Loop(), "lsuv", inputs=batch(64, 16))
    calls = outputs(net, batch(64, 16))[net.step]
    assert len(calls) == 3
    assert 0.9 < torch.stack([call.var(correction=0) for call in calls]).mean() < 1.1


def test_the_pass_leaves_no_trace():
    """Running statistics, modes and the global random numbers; `keep` holds."""
    net = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2)).eval()
    kept, random = net[3].weight.detach().clone(), torch.get_rng_state()
    lw.initialize(net, "lsuv", inputs=batch(16, 8), generator=torch.Generator(), keep=["3.weight"])
    assert not net[1].running_mean.any()
    assert not net.training
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(net[3].weight, kept)


def test_a_layer_without_variance_is_named():
    """It is left as it was, and the rest is scaled."""
    net = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 2))
    with pytest.warns(UserWarning, match="'lsuv' left as it was: 0.weight") as caught:
        lw.initialize(net, "lsuv", inputs=torch.zeros(4, 8))
    assert len(caught) == 1


def test_it_needs_a_batch():
    """And says what one looks like."""
    with pytest.raises(OptionError) as caught:
        lw.initialize(nn.Linear(3, 3), "lsuv")
    assert str(caught.value) == (
        "recipe 'lsuv' expected inputs, received none. Fix: pass a batch, such as "
        "inputs=torch.randn(64, 3, 32, 32)."
    )
