"""lw.trace: numbers as of plain loops, the sick layer is named, and nothing is left behind."""

import io
import json
import math
import random
import warnings

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn
from torch.utils.checkpoint import checkpoint

import layerwright as lw
from layerwright.errors import OptionError, ShapeError

BATCH = torch.randn(12, 64, generator=torch.Generator().manual_seed(1))


def deep(activation, depth, *, start=None, out=10):
    """Linear layers of 64 units with an activation each; start(weight) draws, biases are zero."""
    torch.manual_seed(2)
    layers = [layer for _ in range(depth) for layer in (nn.Linear(64, 64), activation())]
    net = nn.Sequential(*layers, nn.Linear(64, out))
    for layer in net:
        if start is not None and isinstance(layer, nn.Linear):
            start(layer.weight)
            nn.init.zeros_(layer.bias)
    return net


def changed(net, place, change):
    with torch.no_grad():
        change(net[place])
    return net


def flat(values):
    return [float(value) for value in values.detach().double().flatten()]


def mean_of(values):
    return sum(values) / len(values)


def spread_of(values):
    middle = mean_of(values)
    return math.sqrt(mean_of([(value - middle) ** 2 for value in values]))


def test_numbers_are_those_of_plain_loops():
    """Mean, spread, zeros and variation of outputs, and the same of gradients of the loss."""
    torch.manual_seed(0)
    first, last, x, target = (
        nn.Linear(5, 7),
        nn.Linear(7, 3),
        torch.randn(6, 5),
        torch.arange(6) % 3,
    )
    net = nn.Sequential(first, nn.ReLU(), last)
    found = lw.trace(net, x, target, loss=nn.functional.cross_entropy)
    hidden = first(x)
    active = hidden.relu()
    scores = last(active)
    tensors = {"0": hidden, "1": active, "2": scores, "(output)": scores}
    for tensor in (hidden, active, scores):
        tensor.retain_grad()
    nn.functional.cross_entropy(scores, target).backward()
    for name, tensor in tensors.items():
        row, values, slopes = found.find(name), flat(tensor), flat(tensor.grad)
        assert row.mean == pytest.approx(mean_of(values), abs=1e-7)
        assert row.spread == pytest.approx(spread_of(values), rel=1e-5)
        assert row.zeros == pytest.approx(mean_of([value == 0 for value in values]))
        assert row.gradient_mean == pytest.approx(mean_of(slopes), abs=1e-8)
        assert row.gradient_spread == pytest.approx(spread_of(slopes), rel=1e-5)
        assert row.gradient_zeros == pytest.approx(mean_of([value == 0 for value in slopes]))
        assert row.gradient_norm == pytest.approx(math.sqrt(sum(v * v for v in slopes)), rel=1e-5)
        over_samples = [spread_of(flat(column)) ** 2 for column in tensor.T]
        rms = math.sqrt(mean_of([value**2 for value in values]))
        assert row.varying == pytest.approx(math.sqrt(mean_of(over_samples)) / rms, rel=1e-5)
    assert [layer.name for layer in found.layers] == ["(input)", "0", "1", "2", "(output)"]
    assert found.find("0").weight == pytest.approx(
        math.sqrt(mean_of([w * w for w in flat(first.weight)]))
    )
    assert (found.find("2").final, found.find("0").final) == (True, False)


def test_dead_and_saturated_shares_are_counted():
    """Of four units one is zero for each sample; of four values of tanh one is flat."""
    x = torch.tensor([[1.0, -1.0, -1.0, 2.0], [1.0, 1.0, -3.0, 2.0]])
    relu = lw.trace(nn.Sequential(nn.ReLU(), nn.Linear(4, 2)), x).find("0")
    assert (relu.dead, relu.zeros, relu.saturated) == (0.25, 3 / 8, 0.0)
    x = torch.tensor([[0.1, 0.2, 9.0, -0.3], [0.1, 9.0, 0.3, -0.3]])
    tanh = lw.trace(nn.Sequential(nn.Tanh(), nn.Linear(4, 2)), x).find("0")
    assert (tanh.dead, tanh.saturated) == (0.0, 0.25)


class Shared(nn.Module):
    """One layer is called twice, and a function is an activation."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(torch.tanh(self.layer(x)))


def test_calls_of_a_shared_layer_are_pooled():
    """Two calls make one row, and a function is named after the layer before it."""
    torch.manual_seed(0)
    net, x = Shared(), torch.randn(5, 4)
    row = lw.trace(net, x).find("layer")
    values = flat(net.layer(x)) + flat(net(x))
    assert (row.num_calls, row.num_values) == (2, 40)
    assert row.mean == pytest.approx(mean_of(values), abs=1e-6)
    assert row.spread == pytest.approx(spread_of(values), rel=1e-5)
    assert lw.trace(net, x).find("layer: tanh").role == "activation"


def test_a_layer_is_measured_before_an_activation_overwrites_it():
    """As with `inplace=True`, also on the network's own input."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    working = nn.Sequential(
        nn.ReLU(inplace=True), *list(plain)[1:2], nn.ReLU(inplace=True), plain[3]
    )
    x = torch.randn(6, 4)
    before = x.clone()
    assert lw.trace(working, x).layers == lw.trace(plain, x).layers
    assert x.equal(before)


def test_very_small_gradients_do_not_vanish_in_the_arithmetic():
    """Squares of 1e-30 are zero in float32."""
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[1.0, -1.0, 2.0, -2.0]]) * 1e-30)
    row = lw.trace(net, torch.randn(3, 4), loss=lambda y: y.sum()).find("0")
    assert row.gradient_mean == pytest.approx(0.0, abs=1e-35)
    assert row.gradient_spread == pytest.approx(2e-30 * math.sqrt(2.5), rel=1e-5, abs=0)
    assert row.gradient_norm == pytest.approx(2e-30 * math.sqrt(30), rel=1e-5, abs=0)


SICK = {  # name: network, kind of trouble, the layer that is named or None for any
    "fading": (lambda: deep(nn.Tanh, 40), "signal lost", None),
    "fading gradient": (lambda: deep(nn.Tanh, 30), "gradient vanishes", None),
    "exploding": (lambda: deep(nn.ReLU, 9, start=nn.init.normal_), "explodes", None),
    "chaotic": (
        lambda: deep(nn.Tanh, 20, start=lambda w: nn.init.normal_(w, 0, 2)),
        "gradient explodes",
        None,
    ),
    "dead": (lambda: changed(deep(nn.ReLU, 4), 4, lambda m: m.bias.fill_(-50)), "dead", "5"),
    "all zeros": (
        lambda: changed(deep(nn.ReLU, 4), 4, lambda m: (m.weight.zero_(), m.bias.zero_())),
        "signal lost",
        "4",
    ),
    "not a number": (
        lambda: changed(deep(nn.ReLU, 4), 4, lambda m: m.weight.fill_(math.nan)),
        "not finite",
        "4",
    ),
}


@pytest.mark.parametrize("name", SICK)
def test_the_first_layer_that_dies_or_explodes_is_named(name):
    """In the verdict, with an arrow in the table, and for programs."""
    build, kind, layer = SICK[name]
    found = lw.trace(build(), BATCH)
    assert not found.ok
    trouble = next(item for item in found.troubles if item.kind == kind)
    assert layer in (None, trouble.layer)
    assert trouble.layer in trouble.text
    assert " ".join(trouble.text.split()) in " ".join(found.verdict.split())
    assert "<-" in str(found)


class Branch(nn.Module):
    """A branch that hardly counts: its scale starts near zero, as in deep vision networks."""

    def __init__(self):
        super().__init__()
        self.stem, self.up, self.down = nn.Linear(64, 16), nn.Linear(16, 64), nn.Linear(64, 16)
        self.scale = nn.Parameter(torch.full((16,), 1e-8))

    def forward(self, x):
        x = self.stem(x)
        return x + self.scale * self.down(nn.functional.gelu(self.up(x)))


class Conditioned(nn.Module):
    """A layer that gets the same for each sample."""

    def __init__(self):
        super().__init__()
        self.time, self.layer, self.head = nn.Linear(1, 64), nn.Linear(64, 64), nn.Linear(64, 3)

    def forward(self, x):
        return self.head(torch.relu(self.layer(x) + self.time(x.new_ones(len(x), 1))))


SOUND = {
    "relu": lambda: deep(nn.ReLU, 6, start=nn.init.kaiming_normal_),
    "tanh": lambda: deep(nn.Tanh, 8, start=nn.init.xavier_normal_),
    "sigmoid": lambda: deep(nn.Sigmoid, 3),
    "a branch that hardly counts": Branch,
    "a layer that sees the same in each sample": Conditioned,
    "a head that starts at zero": lambda: changed(
        deep(nn.ReLU, 3), 6, lambda m: (m.weight.zero_(), m.bias.zero_())
    ),
    "large scores": lambda: changed(deep(nn.ReLU, 3), 6, lambda m: m.weight.mul_(1e8)),
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_networks_are_not_accused(name):
    """What looks odd in one number is judged by what it does to the network."""
    found = lw.trace(SOUND[name](), BATCH)
    assert found.ok, found.verdict


@pytest.mark.parametrize("network", ["customnet", "lenet", "resnet9", "gated-convnet"])
def test_our_own_networks_are_not_accused(network):
    """As they start, on random images."""
    from layerwright.networks import network_class

    torch.manual_seed(0)
    net = network_class(network)(input_shape=(3, 32, 32), num_classes=10)
    found = lw.trace(net, torch.randn(4, 3, 32, 32))
    assert found.ok, found.verdict


class Stateful(nn.Module):
    """Everything that a forward pass may change."""

    def __init__(self):
        super().__init__()
        self.norm, self.layer = nn.BatchNorm1d(4), nn.Linear(4, 4)

    def forward(self, x):
        x = x + 0.1 * float(np.random.rand()) + 0.1 * random.random()
        return nn.functional.dropout(self.layer(self.norm(x)), 0.5, training=self.training)


def test_nothing_is_left_behind():
    """Weights, gradients, running statistics, modes, hooks and random numbers are as before."""
    torch.manual_seed(0)
    net, x = Stateful(), torch.randn(6, 4)
    net.layer.weight.grad = torch.ones(4, 4)
    states = {name: value.clone() for name, value in net.state_dict().items()}
    numbers = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    found = lw.trace(net, x)
    assert lw.trace(net, x) == found
    assert all(value.equal(states[name]) for name, value in net.state_dict().items())
    assert net.layer.weight.grad.equal(torch.ones(4, 4))
    assert net.layer.bias.grad is None
    assert torch.get_rng_state().equal(numbers[0])
    assert random.getstate() == numbers[1]
    assert (np.random.get_state()[1] == numbers[2]).all()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_the_mode_is_the_callers():
    """Batch norm in eval mode uses its running statistics, and the table says so."""
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    assert "in training mode" in str(lw.trace(net, torch.randn(8, 4)))
    net.eval()
    assert "in eval mode" in str(lw.trace(net, torch.randn(1, 4)))
    assert not net.training


def test_inputs_of_every_form():
    """A tuple of positional arguments, and a dict of named ones with whole numbers among them."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.layer = nn.Embedding(9, 4), nn.Linear(4, 2)

        def forward(self, tokens, *, scale):
            return {"scores": self.layer(self.table(tokens).mean(1) * scale)}

    found = lw.trace(Net(), {"tokens": torch.arange(9).reshape(3, 3), "scale": torch.ones(3, 1)})
    assert [layer.name for layer in found.layers] == ["(input)", "table", "layer", "(output)"]
    assert found.find("table").role == "table"
    bilinear = nn.Bilinear(3, 4, 2)
    assert lw.trace(bilinear, (torch.randn(5, 3), torch.randn(5, 4))).find("(network)").final


def test_what_was_not_measured_says_so():
    """No gradient without anything that requires one; none between samples in a batch of one."""
    net = nn.Sequential(nn.Embedding(9, 4), nn.Flatten()).requires_grad_(requires_grad=False)
    found = lw.trace(net, torch.arange(8).reshape(4, 2))
    assert found.find("0").gradient_norm is None
    assert "gradients were not measured" in found.verdict
    alone = lw.trace(nn.Linear(4, 2), torch.randn(1, 4))
    assert alone.find("(output)").varying is None
    assert "holds one only" in alone.verdict


def test_gradients_pass_through_frozen_layers():
    """A network with no parameter that trains is measured all the same, by its input's gradient."""
    net = deep(nn.ReLU, 2).requires_grad_(requires_grad=False)
    assert lw.trace(net, BATCH).find("0").gradient_norm > 0


def test_a_saturated_layer_is_a_note():
    """A gate that is always open is saturated too, and sound."""
    net = changed(deep(nn.Tanh, 2), 0, lambda m: m.bias.fill_(20.0))
    found = lw.trace(net, BATCH)
    assert "note: 100% of the values of 1 lie where it is flat" in found.verdict


def test_json_holds_all_numbers(tmp_path):
    """Also of a network whose values are not finite: JSON has neither NaN nor infinity."""
    for net in (deep(nn.ReLU, 2), SICK["not a number"][0]()):
        found = lw.trace(net, BATCH)
        found.save(tmp_path / "trace.json")
        read = json.loads((tmp_path / "trace.json").read_text())
        assert read["ok"] is found.ok
        assert [row["mean"] for row in read["layers"]] == [row.mean for row in found.layers]
        assert ": NaN" not in (tmp_path / "trace.json").read_text()


def test_the_table_fits_and_has_colour_in_a_terminal():
    """Plain text is at most 100 characters wide; rich's console gets colours."""
    found = lw.trace(SICK["dead"][0](), BATCH)
    assert max(map(len, str(found).splitlines())) <= 100
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system="standard")
    console.print(found)
    assert "\x1b[" in console.file.getvalue()


WRONG = {
    "no module": (lambda: lw.trace(torch.relu, BATCH), "expected an nn.Module"),
    "no tensor": (lambda: lw.trace(nn.Linear(4, 2), "x"), "tensors of a batch"),
    "wrong shape": (
        lambda: lw.trace(nn.Linear(4, 2), BATCH),
        "Linear expected to run on the inputs",
    ),
    "whole numbers": (lambda: lw.trace(nn.Flatten(), torch.ones(2, 2).long()), "put out none"),
    "meta": (lambda: lw.trace(nn.Linear(4, 2, device="meta"), BATCH), "meta device"),
    "target alone": (lambda: lw.trace(deep(nn.ReLU, 1), BATCH, BATCH), "expected a loss"),
    "a loss's name": (lambda: lw.trace(deep(nn.ReLU, 1), BATCH, loss="mse"), "a callable"),
    "loss does not fit": (
        lambda: lw.trace(deep(nn.ReLU, 1), BATCH, BATCH, loss=nn.functional.cross_entropy),
        "the loss expected the network's output and the target",
    ),
    "no scalar": (
        lambda: lw.trace(deep(nn.ReLU, 1), BATCH, loss=torch.relu),
        r"returned \(12, 10\)",
    ),
    "suffix": (lambda: lw.trace(deep(nn.ReLU, 1), BATCH).save("x.txt"), "a file .json"),
    "folder": (lambda: lw.trace(deep(nn.ReLU, 1), BATCH).save("/no/such/x.json"), "be written"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_is_one_short_error(name):
    """What was expected, what was received, how to fix it."""
    call, message = WRONG[name]
    with pytest.raises(OptionError, match=message):
        call()


def test_a_lazy_network_is_told_to_run_first():
    """It has no weights to hang anything on."""
    with pytest.raises(ShapeError, match="run the network on one batch first"):
        lw.trace(nn.LazyLinear(4), BATCH)


def test_what_torchscript_compiled_takes_no_hooks():
    """A part of it is passed over; a whole network of it is refused in one sentence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        part = torch.jit.script(nn.Sequential(nn.Linear(64, 64), nn.ReLU()))
    found = lw.trace(nn.Sequential(part, nn.Linear(64, 10)), BATCH)
    assert [layer.name for layer in found.layers] == ["(input)", "1", "(output)"]
    with pytest.raises(OptionError, match="received one of TorchScript"):
        lw.trace(part, BATCH)


def test_a_recomputed_part_is_measured_once():
    """Activation checkpointing calls its layers again in backward."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(64, 64), nn.Linear(64, 10)

        def forward(self, x):
            return self.last(checkpoint(self.part, x, use_reentrant=False))

        def part(self, x):
            return torch.relu(self.first(x))

    row = lw.trace(Net(), BATCH).find("first")
    assert row.num_calls == 1
    assert row.gradient_norm > 0


def test_a_failed_pass_takes_the_hooks_away():
    """The next forward pass is an ordinary one, and functions are not watched any more."""
    net = nn.Sequential(nn.Linear(64, 4), nn.Linear(5, 2))
    with pytest.raises(OptionError):
        lw.trace(net, BATCH)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert not torch.overrides._get_current_function_mode_stack()
