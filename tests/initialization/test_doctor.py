"""The init doctor: finds what is sick, names the cure, accuses nobody else, changes nothing."""

import copy
import math
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

import layerwright as lw
from layerwright.errors import MissingExtraError, OptionError
from layerwright.networks import NETWORKS

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from corpus.our_layers import our_layers


def deep(activation, depth, *, start=None, out=10):
    """Linear layers of 64 units with an activation each; start(weight) draws, biases are zero."""
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


def scaled(factor):
    return lambda layer: layer.weight.mul_(factor)


BATCH = torch.randn(12, 64, generator=torch.Generator().manual_seed(1))

SICK = {  # name: network, kind of the finding, the layer that is named, and whether it alone
    "fading tanh": (lambda: deep(nn.Tanh, 30), "signal lost", None),
    "exploding": (lambda: deep(nn.ReLU, 9, start=nn.init.normal_), "exploding", None),
    "chaotic": (
        lambda: deep(nn.Tanh, 16, start=lambda w: nn.init.normal_(w, 0, 2)),
        "gradient explodes",
        "0",
    ),
    "one weak layer": (
        lambda: changed(deep(nn.Tanh, 8, start=nn.init.xavier_normal_), 8, scaled(1e-3)),
        "outlier",
        "8",
    ),
    "one strong layer": (
        lambda: changed(deep(nn.Tanh, 8, start=nn.init.xavier_normal_), 10, scaled(1e3)),
        "outlier",
        "10",
    ),
    "one layer of zeros": (
        lambda: changed(deep(nn.ReLU, 5, start=nn.init.kaiming_normal_), 4, scaled(0)),
        "dead",
        "4",
    ),
    "one dead layer": (
        lambda: changed(deep(nn.ReLU, 4), 4, lambda layer: layer.bias.fill_(-50)),
        "dead",
        "4",
    ),
    "equal units": (
        lambda: deep(nn.ReLU, 2, start=lambda weight: nn.init.constant_(weight, 0.1)),
        "symmetric",
        "0",
    ),
}


@pytest.mark.parametrize("name", SICK)
def test_a_sick_network_is_told_with_a_cure_that_holds(name):
    """The kind, the layer, and a recipe after which the doctor finds nothing."""
    build, kind, layer = SICK[name]
    torch.manual_seed(2)
    net = build()
    diagnosis = lw.diagnose_initialization(net, BATCH)
    finding = diagnosis.findings[0]
    assert (finding.kind, diagnosis.ok) == (kind, False), diagnosis.verdict
    if layer is not None:
        assert finding.layer == layer, diagnosis.verdict
    assert finding.cure in diagnosis.verdict
    exec(finding.cure, {"lw": lw, "network": net, "batch": BATCH})
    assert lw.diagnose_initialization(net, BATCH).ok


@pytest.mark.parametrize("depth", [14, 30])
def test_what_no_recipe_cures_is_sick_all_the_same(depth):
    """Also where rounding leaves nothing of the signal; what helps most is no cure, and said so."""
    torch.manual_seed(2)
    diagnosis = lw.diagnose_initialization(deep(nn.Sigmoid, depth), BATCH)
    (finding,) = diagnosis.findings
    assert (finding.kind, finding.cured, diagnosis.ok) == ("signal lost", False, False)
    assert (diagnosis.before.dependence == 0) == (depth == 30)
    assert "helps, and is no cure" in diagnosis.verdict
    assert "no recipe cures it" in diagnosis.verdict


class Block(nn.Module):
    """A pre-norm block, whose branches may be scaled, or start at zero."""

    def __init__(self, scale=None, *, zero=False):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(16), nn.Linear(16, 64), nn.Linear(64, 16)
        self.scale = None if scale is None else nn.Parameter(torch.full((16,), scale))
        if zero:
            nn.init.zeros_(self.down.weight)
            nn.init.zeros_(self.down.bias)

    def forward(self, x):
        branch = self.down(nn.functional.gelu(self.up(self.norm(x))))
        return x + (branch if self.scale is None else self.scale * branch)


class LowRank(nn.Module):
    """A frozen layer with an adapter that starts at zero."""

    def __init__(self):
        super().__init__()
        self.base = nn.Linear(16, 16).requires_grad_(requires_grad=False)
        self.down = nn.Parameter(torch.randn(4, 16) / 4)
        self.up = nn.Parameter(torch.zeros(16, 4))

    def forward(self, x):
        return self.base(x) + x @ self.down.T @ self.up.T


class LastStep(nn.Module):
    """Reads words with a recurrent layer, and scores its last state."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, 16)
        self.lstm = nn.LSTM(16, 16, num_layers=2, batch_first=True)
        self.scores = nn.Linear(16, 3)

    def forward(self, tokens):
        return self.scores(self.lstm(self.embedding(tokens))[0][:, -1])


class Experts(nn.Module):
    """Each sample goes to one expert; most experts see none."""

    def __init__(self):
        super().__init__()
        self.router = nn.Linear(16, 8)
        self.experts = nn.ModuleList(nn.Linear(16, 4) for _ in range(8))

    def forward(self, x):
        gate = self.router(x).softmax(-1)
        best = nn.functional.one_hot(gate.argmax(-1), 8) * gate
        return sum(best[:, i : i + 1] * torch.relu(self.experts[i](x)) for i in range(8))


def generator():
    """A GAN's generator, drawn as its paper says."""
    net = nn.Sequential(
        nn.ConvTranspose2d(8, 16, 4, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True),
        nn.ConvTranspose2d(16, 8, 4, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True),
        nn.ConvTranspose2d(8, 3, 4, 2, 1, bias=False), nn.Tanh(),
    )  # fmt: skip
    for layer in net:
        if isinstance(layer, nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0, 0.02)
    return net


def normalised(depth):
    layers = [(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU()) for _ in range(depth)]
    return nn.Sequential(*[item for three in layers for item in three], nn.Linear(64, 10))


VECTORS = torch.randn(8, 16, generator=torch.Generator().manual_seed(3))
SOUND = {
    "small scores": lambda: (changed(deep(nn.ReLU, 3), -1, scaled(1e-4)), BATCH),
    "scores of zero": lambda: (changed(deep(nn.Tanh, 3), -1, scaled(0)), BATCH),
    "10 layers as torch starts them": lambda: (deep(nn.ReLU, 10), BATCH),
    "an odd layer that is normalised": lambda: (
        changed(changed(normalised(6), 3, scaled(1e-3)), 9, scaled(1e3)), BATCH
    ),
    "layer scale": lambda: (nn.Sequential(*[Block(1e-6) for _ in range(4)]), VECTORS),
    "ReZero": lambda: (nn.Sequential(*[Block(0.0) for _ in range(4)]), VECTORS),
    "zero branches": lambda: (nn.Sequential(*[Block(zero=True) for _ in range(4)]), VECTORS),
    "LoRA": lambda: (nn.Sequential(LowRank(), nn.ReLU(), LowRank(), nn.ReLU(), LowRank()), VECTORS),
    "LSTM": lambda: (LastStep(), torch.arange(40).reshape(4, 10) * 7 % 20),
    "experts": lambda: (Experts(), VECTORS),
    "generator": lambda: (generator(), torch.randn(4, 8, 1, 1)),
    "spectral norm": lambda: (
        nn.Sequential(
            *[m for _ in range(8) for m in (spectral_norm(nn.Linear(16, 16)), nn.ReLU())],
            nn.Linear(16, 1),
        ),
        VECTORS,
    ),
    "batch of one": lambda: (normalised(2), BATCH[:1]),
    "data that is not scaled": lambda: (deep(nn.Tanh, 2), 1000 + 1000 * BATCH),
}  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_network_is_not_accused(name):
    """Zeros that training leaves, small scores, odd scales that a normalisation takes away."""
    torch.manual_seed(4)
    net, inputs = SOUND[name]()
    diagnosis = lw.diagnose_initialization(net, inputs)
    assert diagnosis.ok, diagnosis.verdict


def our_networks():
    """Return a case of each network of ours, in the form that the contract takes first."""
    found = {}
    for case in our_layers(training=True):
        found.setdefault(case.name.split(",")[0], case)
    return [pytest.param(found[name], id=name) for name in NETWORKS]


@pytest.mark.parametrize("case", our_networks())
def test_no_network_of_ours_is_accused(case):
    """Neither as its constructor starts it, nor after each recipe."""
    for recipe in (None, "by-type", "kaiming", "xavier", "orthogonal"):
        net = copy.deepcopy(case.factory)
        if recipe is not None:
            lw.initialize(net, recipe, generator=torch.Generator().manual_seed(5))
        diagnosis = lw.diagnose_initialization(net, case.inputs)
        assert diagnosis.ok, (recipe, diagnosis.verdict)


class Restless(nn.Module):
    """Counts its calls, keeps statistics, drops values, and writes into its input."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(16, 16), nn.BatchNorm1d(16), nn.Linear(16, 2)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls = self.calls + 1
        x.mul_(1.5)
        return self.last(nn.functional.dropout(self.norm(self.first(x)), 0.5, self.training))


def test_nothing_changes_in_the_network_or_the_process():
    """Values, gradients, buffers, modes, frozen flags, hooks, inputs and random numbers stay."""
    net = Restless()
    net(VECTORS.clone()).sum().backward()
    net.norm.eval()
    net.first.weight.requires_grad_(requires_grad=False)
    before, inputs = copy.deepcopy(net.state_dict()), VECTORS.clone()
    grads = {name: p.grad.clone() for name, p in net.named_parameters()}
    buffer, random = net.calls, torch.get_rng_state()
    lw.diagnose_initialization(net, inputs, recipe="lsuv")
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(torch.equal(p.grad, grads[name]) for name, p in net.named_parameters())
    assert net.calls is buffer
    assert (net.training, net.norm.training, net.first.weight.requires_grad) == (True, False, False)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert torch.equal(inputs, VECTORS)
    assert torch.equal(torch.get_rng_state(), random)


def test_the_numbers_are_those_of_plain_torch():
    """Scale, dependence, gain and gradient of a layer, computed by hand."""
    torch.manual_seed(6)
    net = nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 4))
    row = lw.diagnose_initialization(net, VECTORS[:2]).before.find("0")
    hidden = net[0](VECTORS[:2])
    difference = (hidden[0] - hidden[1]).square().mean().sqrt() / math.sqrt(2)
    moved = (VECTORS[0] - VECTORS[1]).square().mean().sqrt() / math.sqrt(2)
    scale = hidden.square().mean().sqrt()
    assert row.scale == pytest.approx(scale.item(), rel=1e-5)
    assert row.dependence == pytest.approx((difference / scale).item(), rel=1e-5)
    assert row.gain == pytest.approx((difference / moved).item(), rel=1e-5)
    norms = []
    for seed in (0, 1):
        weight = torch.randn(2, 4, generator=torch.Generator().manual_seed(seed))
        kept = net[0](VECTORS[:2]).detach().requires_grad_()
        (net[2](kept.tanh()) * weight / weight.norm()).sum().backward()
        norms.append(kept.grad.norm().item())
    assert row.gradient == pytest.approx(sum(norms) / 2, rel=1e-5)


def test_dead_and_saturated_units_are_counted_of_modules_and_functions():
    """Also of an activation with a formula of its own, and never of a softmax or a pooling."""

    class Own(nn.Module):
        def forward(self, x):
            return x.clamp(min=0)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.own = nn.Linear(16, 4), nn.Linear(4, 4), Own()
            self.softmax = nn.Softmax(-1)

        def forward(self, x):
            return self.softmax(torch.tanh(self.second(self.own(self.first(x)))))

    net = Net()
    with torch.no_grad():
        net.first.bias.copy_(torch.tensor([-100.0, -100.0, 100.0, 100.0]))
        net.second.weight.zero_()
        net.second.bias.copy_(torch.tensor([9.0, 0.0, -9.0, 9.0]))
    signal = lw.diagnose_initialization(net, VECTORS).before
    assert signal.find("own").dead == 0.5
    assert signal.find("second: tanh").saturated == 0.75
    assert [layer.name for layer in signal.layers if layer.role == "activation"] == [
        "own",
        "second: tanh",
    ]


def test_a_recipe_is_shown_before_and_after():
    """Of a healthy network too, in the table and in the numbers."""
    net = nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 2))
    diagnosis = lw.diagnose_initialization(net, VECTORS, recipe="normal")
    assert diagnosis.ok
    assert diagnosis.after.find("0").scale < diagnosis.before.find("0").scale
    lines = str(diagnosis).splitlines()
    assert lines[0] == "Sequential, before -> after normal"
    assert max(map(len, lines)) <= 100
    assert diagnosis.as_dict()["after"]["layers"][0]["name"] == "0"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: lw.diagnose_initialization("net", VECTORS),
            (
                "diagnose_initialization expected an nn.Module, received str. "
                "Fix: pass the network itself."
            ),
        ),
        (
            lambda: lw.diagnose_initialization(nn.Linear(3, 3), VECTORS),
            (
                "Linear expected to run on the inputs, and raised RuntimeError: mat1 and mat2 "
                "shapes cannot be multiplied (8x16 and 3x3). Fix: pass a batch that it takes."
            ),
        ),
        (
            lambda: lw.diagnose_initialization(nn.Linear(3, 3), "x"),
            (
                "inputs expected the tensors of a batch, received str without any. Fix: pass what "
                "forward takes, such as torch.randn(64, 3, 32, 32)."
            ),
        ),
        (
            lambda: lw.diagnose_initialization(nn.Linear(3, 3, device="meta"), VECTORS),
            (
                "diagnose_initialization expected parameters with values, received some on the "
                'meta device. Fix: lw.initialize(network, device="cpu") first.'
            ),
        ),
    ],
)
def test_wrong_usage_is_explained(call, message):
    """What was expected, what was received, what to do."""
    with pytest.raises(OptionError) as caught:
        call()
    assert str(caught.value) == message


def test_a_picture_is_png_or_svg(tmp_path):
    """Drawn with matplotlib, if it is there; else the extra is named."""
    diagnosis = lw.diagnose_initialization(deep(nn.Tanh, 2), BATCH, recipe="xavier")
    try:
        import matplotlib as mpl  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtraError, match=r"layerwright\[plot\]"):
            diagnosis.save_picture(tmp_path / "init.svg")
        return
    diagnosis.save_picture(tmp_path / "init.svg")
    diagnosis.save_picture(tmp_path / "init.png")
    assert "after xavier" in (tmp_path / "init.svg").read_text()
    assert (tmp_path / "init.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OptionError, match=r"expected a file \.png or \.svg, received"):
        diagnosis.save_picture(tmp_path / "init.pdf")
