"""Recipes: equal to torch's formulas under the same seed, repeatable, and careful."""

import math
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from layerwright.errors import OptionError, ShapeError
from layerwright.initialization.recipes import RECIPES, initialize

FORMULA_RECIPES = [name for name in RECIPES if name != "default"]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def values(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def equal(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


def article_network():
    """The network of the tutorials: convolutions, normalisation, linear layers."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 5),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 4, 3, bias=False),
        nn.GroupNorm(2, 4),
        nn.Flatten(),
        nn.Linear(16, 6),
        nn.LayerNorm(6),
        nn.Linear(6, 1),
    )


TORCHS_OWN = {
    "normal": (lambda w, g: nn.init.normal_(w, 0, 0.02, generator=g),) * 2,
    "xavier": (lambda w, g: nn.init.xavier_uniform_(w, generator=g),) * 2,
    "kaiming": (lambda w, g: nn.init.kaiming_normal_(w, generator=g),) * 2,
    "by-type": (
        lambda w, g: nn.init.kaiming_normal_(w, mode="fan_out", nonlinearity="relu", generator=g),
        lambda w, g: nn.init.xavier_uniform_(w, generator=g),
    ),
    "orthogonal": (lambda w, g: nn.init.orthogonal_(w, generator=g),) * 2,
}


@pytest.mark.parametrize("recipe", FORMULA_RECIPES)
@pytest.mark.parametrize("with_generator", [True, False])
def test_weights_equal_torchs_formulas_bit_for_bit(recipe, with_generator):
    """The loop that tutorials write with torch.nn.init gives the same numbers."""
    expected, found = article_network(), article_network()
    torch.manual_seed(5)
    generator = seeded(5) if with_generator else None
    of_convolutions, of_linear = TORCHS_OWN[recipe]
    for layer in expected:
        if isinstance(layer, nn.Conv2d):
            of_convolutions(layer.weight, generator)
        elif isinstance(layer, nn.Linear):
            of_linear(layer.weight, generator)
        elif isinstance(layer, (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)):
            nn.init.ones_(layer.weight)
        if getattr(layer, "bias", None) is not None:
            nn.init.zeros_(layer.bias)
    torch.manual_seed(5)
    assert initialize(found, recipe, generator=seeded(5) if with_generator else None) is found
    assert equal(values(found), values(expected))


MAKERS = {
    "linear": lambda: nn.Linear(4, 3),
    "bilinear": lambda: nn.Bilinear(2, 3, 4),
    "convolution": lambda: nn.Conv2d(4, 4, 3, groups=2),
    "transposed": lambda: nn.ConvTranspose1d(2, 3, 2),
    "norm": lambda: nn.BatchNorm1d(4),
    "norm without parameters": lambda: nn.BatchNorm1d(4, affine=False),
    "instance norm": lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
    "rms norm": lambda: nn.RMSNorm(4),
    "prelu": lambda: nn.PReLU(2),
    "embedding": lambda: nn.Embedding(5, 3, padding_idx=1),
    "bag": lambda: nn.EmbeddingBag(5, 3),
    "lstm": lambda: nn.LSTM(3, 4, num_layers=2, bidirectional=True, proj_size=2),
    "gru cell": lambda: nn.GRUCell(3, 4),
    "attention": lambda: nn.MultiheadAttention(4, 2, kdim=3, vdim=2, add_bias_kv=True),
    "encoder": lambda: nn.TransformerEncoderLayer(4, 2, 8),
    "transformer": lambda: nn.Transformer(4, 2, 1, 1, 8, batch_first=True),
    "nested": lambda: nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Linear(3, 2)), nn.PReLU()),
}


@pytest.mark.parametrize("name", MAKERS)
def test_default_repeats_the_constructor(name):
    """From the same seed `reset_parameters` gives what the constructor gave, bit for bit."""
    torch.manual_seed(3)
    expected = values(MAKERS[name]())
    module = MAKERS[name]()
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.add_(1)
    torch.manual_seed(3)
    initialize(module, "default")
    assert equal(values(module), expected)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_generator_decides_everything_and_disturbs_nothing(recipe, name):
    """Same state, same values, whatever was there before; the global random state stays."""
    one, other = MAKERS[name](), MAKERS[name]()
    before = torch.get_rng_state()
    initialize(one, recipe, generator=seeded(7))
    initialize(other, recipe, generator=seeded(7))
    assert torch.equal(torch.get_rng_state(), before)
    assert equal(values(one), values(other))
    if any(parameter.dim() > 1 for parameter in one.parameters()):
        initialize(other, recipe, generator=seeded(8))
        assert not equal(values(one), values(other))


def test_a_generator_moves_on():
    """Two networks from one generator differ, also where modules reset themselves."""
    for recipe in RECIPES:
        generator = seeded()
        one, other = nn.Linear(4, 4), nn.Linear(4, 4)
        initialize(one, recipe, generator=generator)
        initialize(other, recipe, generator=generator)
        assert not torch.equal(one.weight, other.weight)


VARIANCES = {
    # fans by hand: how many products one output sums, how many outputs one input value reaches
    "linear": (lambda: nn.Linear(300, 200), 300, 200),
    "convolution": (lambda: nn.Conv2d(30, 40, (3, 5)), 30 * 15, 40 * 15),
    "grouped convolution": (lambda: nn.Conv2d(40, 80, 5, groups=4), 10 * 25, 20 * 25),
    "depthwise convolution": (lambda: nn.Conv2d(400, 400, 5, groups=400), 25, 25),
    "transposed convolution": (lambda: nn.ConvTranspose2d(30, 50, 5), 30 * 25, 50 * 25),
    "transposed in groups": (lambda: nn.ConvTranspose2d(40, 60, 5, groups=2), 20 * 25, 30 * 25),
    "convolution 3d": (lambda: nn.Conv3d(10, 20, 5), 10 * 125, 20 * 125),
}


@pytest.mark.parametrize("name", VARIANCES)
def test_variances_follow_the_fans(name):
    """Within 5 % (over 10,000 values each) of 2/fan-in, 2/fan-out and 2/(fan-in + fan-out)."""
    build, fan_in, fan_out = VARIANCES[name]
    of_type = 2 / (fan_in + fan_out) if name == "linear" else 2 / fan_out
    expected = {
        "normal": 0.02**2,
        "kaiming": 2 / fan_in,
        "xavier": 2 / (fan_in + fan_out),
        "by-type": of_type,
    }
    for recipe, variance in expected.items():
        layer = initialize(build(), recipe, generator=seeded())
        assert layer.weight.numel() >= 10_000
        assert layer.weight.mean().abs() < 4 * math.sqrt(variance / layer.weight.numel())
        assert layer.weight.var().item() == pytest.approx(variance, rel=0.05), recipe
        assert not layer.bias.any()


def test_xavier_is_uniform_within_its_bound_and_kaiming_is_not():
    """The largest value is the bound; a normal distribution goes beyond."""
    bound = math.sqrt(6 / 500)
    layer = initialize(nn.Linear(300, 200), "xavier", generator=seeded())
    assert 0.999 * bound < layer.weight.abs().max() <= bound
    layer = initialize(nn.Linear(300, 200), "kaiming", generator=seeded())
    assert layer.weight.abs().max() > 3.5 * layer.weight.std()


def test_kaiming_keeps_the_size_of_activations_and_fan_out_that_of_gradients():
    """Through 20 layers with ReLUs; Xavier loses a factor of 2 in each."""

    def sizes(build, recipe, shape):
        layers = [layer for _ in range(20) for layer in (build(), nn.ReLU())]
        net = initialize(nn.Sequential(*layers), recipe, generator=seeded())
        x = torch.randn(shape, generator=seeded(1)).requires_grad_()
        y = net(x)
        y.backward(torch.randn(y.shape, generator=seeded(2)))
        return y.square().mean().item() * 2, x.grad.square().mean().item()

    forward, _ = sizes(lambda: nn.Linear(256, 256), "kaiming", (64, 256))
    assert 0.4 < forward < 2.5
    forward, _ = sizes(lambda: nn.Linear(256, 256), "xavier", (64, 256))
    assert forward < 2**-15
    _, backward = sizes(
        lambda: nn.Conv2d(32, 32, 3, padding=1, padding_mode="circular"), "by-type", (4, 32, 8, 8)
    )
    assert 0.3 < backward < 3


class CustomConv(nn.Module):
    """A convolution that is no nn.Conv2d, and scales its channels."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.full((64, 32, 3, 3), 9.0))
        self.bias = nn.Parameter(torch.full((64,), 9.0))


class CustomLinear(nn.Module):
    """Multiplies from the right: its weight is (in, out)."""

    def __init__(self):
        super().__init__()
        self.in_features, self.out_features = 400, 100
        self.W = nn.Parameter(torch.full((400, 100), 9.0))
        self.b = nn.Parameter(torch.full((100,), 9.0))


class CustomNorm(nn.Module):
    """A gain beside a shift, with running statistics and no reset_parameters."""

    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((4,), 9.0))
        self.beta = nn.Parameter(torch.full((4,), 9.0))
        self.register_buffer("running_mean", torch.full((4,), 9.0))
        self.register_buffer("running_var", torch.full((4,), 9.0))
        self.register_buffer("num_batches_tracked", torch.tensor(9))


def test_custom_layers_are_recognised_by_their_structure():
    """None of these classes is torch's, and none has told anybody what it is."""
    net = nn.Sequential(CustomConv(), CustomNorm(), CustomLinear())
    initialize(net, "by-type", generator=seeded())
    convolution, norm, linear = net
    assert convolution.kernel.var().item() == pytest.approx(2 / (64 * 9), rel=0.05)
    assert not convolution.bias.any()
    assert norm.gamma.tolist() == [1.0] * 4
    assert norm.beta.tolist() == [0.0] * 4
    assert norm.running_mean.tolist() == [0.0] * 4
    assert norm.running_var.tolist() == [1.0] * 4
    assert norm.num_batches_tracked == 0
    assert linear.W.var().item() == pytest.approx(2 / 500, rel=0.05)
    assert not linear.b.any()
    initialize(linear, "kaiming", generator=seeded())
    assert linear.W.var().item() == pytest.approx(2 / 400, rel=0.05)


class LayerScale(nn.Module):
    """A gain that must start small, which only its own reset knows."""

    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.empty(3, 1, 1))
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.constant_(self.gamma, 1e-6)


class Gate(nn.Module):
    """A weight, a bias and a slope, which starts at 0.25."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.full((50, 60), 9.0))
        self.bias = nn.Parameter(torch.full((50,), 9.0))
        self.slope = nn.Parameter(torch.full((), 9.0))


class ResettingGate(Gate):
    def reset_parameters(self):
        nn.init.constant_(self.weight, 7)
        nn.init.constant_(self.bias, 7)
        nn.init.constant_(self.slope, 0.25)


@pytest.mark.parametrize("recipe", FORMULA_RECIPES)
def test_gains_start_as_their_own_module_says(recipe):
    """PReLU's slope is 0.25 and a layer scale tiny; weights and biases beside follow the recipe."""
    net = nn.Sequential(nn.PReLU(), LayerScale(), ResettingGate())
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(9)
    initialize(net, recipe, generator=seeded())
    assert net[0].weight.item() == 0.25
    torch.testing.assert_close(net[1].gamma, torch.full((3, 1, 1), 1e-6))
    assert net[2].slope.item() == 0.25
    assert not net[2].bias.any()
    assert 0 < net[2].weight.std() < 0.3


@pytest.mark.parametrize("recipe", FORMULA_RECIPES)
def test_a_gain_without_reset_is_left_and_reported(recipe):
    """Nobody knows how it starts; `keep` says that this is meant."""
    net = nn.Sequential(Gate())
    message = (
        f"initialisation recipe {recipe!r} left as it was: 0.slope (Gate). "
        "Fix: give the class a reset_parameters method, or name the parameter in keep."
    )
    with pytest.warns(UserWarning, match="recipe") as caught:
        initialize(net, recipe, generator=seeded())
    assert [str(item.message) for item in caught] == [message]
    assert caught[0].filename == __file__
    assert net[0].slope.item() == 9
    assert not net[0].bias.any()
    initialize(net, recipe, keep=["*.slope"])  # a warning would fail


def test_default_leaves_and_reports_what_cannot_reset_itself():
    """Up to five names, then a number."""
    net = nn.Sequential(Gate(), nn.Linear(2, 2), Gate())
    with pytest.warns(UserWarning, match="recipe") as caught:
        initialize(net, "default")
    assert [str(item.message) for item in caught] == [
        (
            "initialisation recipe 'default' left as it was: 0.weight (Gate), 0.bias (Gate), "
            "0.slope (Gate), 2.weight (Gate), 2.bias (Gate) and 1 more. "
            "Fix: give the class a reset_parameters method, or name the parameter in keep."
        )
    ]
    assert net[0].weight.unique().item() == 9


def test_default_lets_a_parent_have_the_last_word():
    """A block that zeroes its last gain keeps doing so, as in its constructor."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def reset_parameters(self):
            nn.init.zeros_(self.norm.weight)

    block = Block()
    initialize(block, "default")
    assert not block.norm.weight.any()


@pytest.mark.parametrize("recipe", ["normal", "xavier", "kaiming", "by-type", "orthogonal"])
def test_embeddings_are_normal_and_their_padding_row_is_zero(recipe):
    """No fan applies to a table."""
    table = initialize(nn.Embedding(400, 50, padding_idx=3), recipe, generator=seeded())
    std = 0.02 if recipe == "normal" else 1.0
    assert table.weight.std().item() == pytest.approx(std, rel=0.05)
    assert not table.weight[3].any()
    assert table.weight[2].all()


def test_a_declared_embedding_is_treated_as_one():
    """The class attribute `parameter_roles` is heard here too."""

    class Positions(nn.Module):
        parameter_roles = {"table": "embedding"}  # noqa: RUF012

        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.zeros(400, 50))

    layer = initialize(Positions(), "xavier", generator=seeded())
    assert layer.table.std().item() == pytest.approx(1.0, rel=0.05)


def test_recurrent_weights_are_drawn_gate_by_gate():
    """Each gate's state-to-state matrix is orthogonal, its input matrix has its own fans."""
    lstm = initialize(nn.LSTM(100, 64, num_layers=2), "by-type", generator=seeded())
    for gate in lstm.weight_hh_l1.detach().chunk(4):
        torch.testing.assert_close(gate @ gate.T, torch.eye(64), atol=1e-5, rtol=0)
    assert lstm.weight_ih_l0.var().item() == pytest.approx(2 / 164, rel=0.05)
    assert not any(p.any() for name, p in lstm.named_parameters() if "bias" in name)
    gru = initialize(nn.GRUCell(100, 64), "kaiming", generator=seeded())
    assert gru.weight_hh.var().item() == pytest.approx(2 / 64, rel=0.05)
    assert gru.weight_ih.var().item() == pytest.approx(2 / 100, rel=0.05)
    x = torch.randn(5, 2, 100)
    assert lstm(x)[0].shape == (5, 2, 64)  # torch's flattened copy still fits


def test_tied_parameters_are_initialised_once_as_the_embedding():
    """In every recipe the tie holds, and the head's own formula does not overwrite the table."""
    for recipe in RECIPES:
        for embedding_first in (True, False):
            embedding, head = nn.Embedding(200, 50), nn.Linear(50, 200)
            head.weight = embedding.weight
            layers = [embedding, head] if embedding_first else [head, embedding]
            net = initialize(nn.Sequential(*layers), recipe, generator=seeded())
            assert head.weight is embedding.weight
            std = 0.02 if recipe == "normal" else 1.0
            assert embedding.weight.std().item() == pytest.approx(std, rel=0.05)
            assert len(list(net.parameters())) == 2


def test_a_shared_module_is_initialised_once():
    """The numbers are those of a network that has it once."""
    shared = nn.Linear(4, 4)
    initialize(nn.Sequential(shared, nn.ReLU(), shared), "xavier", generator=seeded())
    once = initialize(nn.Linear(4, 4), "xavier", generator=seeded())
    assert torch.equal(shared.weight, once.weight)


def test_frozen_parameters_are_initialised_too_unless_kept():
    """`keep` takes patterns, for parameters and buffers; all other values are the same."""
    net, whole = article_network(), article_network()
    net.requires_grad_(False)
    net.load_state_dict(whole.state_dict())
    net[1].running_mean.fill_(3)
    kept = values(net)
    initialize(whole, "xavier", generator=seeded())
    initialize(net, "xavier", generator=seeded(), keep=["0.weight", "1.*"])
    found = values(net)
    for name, value in found.items():
        expected = kept if name == "0.weight" or name.startswith("1.") else values(whole)
        assert torch.equal(value, expected[name]), name
    assert not any(parameter.requires_grad for parameter in net.parameters())


@pytest.mark.parametrize("recipe", [*RECIPES, "own"])
def test_keep_holds_for_every_recipe(recipe):
    """Whole modules that reset themselves, and a user's function."""
    net = nn.Sequential(nn.Linear(3, 3))
    before = values(net)
    initialize(net, fill_with_ones if recipe == "own" else recipe, keep="0.weight")
    assert torch.equal(net[0].weight, before["0.weight"])
    assert not torch.equal(net[0].bias, before["0.bias"])


def fill_with_ones(net):
    """A user's recipe."""
    for parameter in net.parameters():
        parameter.fill_(1)


def test_a_parametrised_weight_gets_the_recipes_value():
    """Weight norm computes the very weight that a plain layer would have got."""
    for recipe in RECIPES:
        plain, normed = nn.Linear(6, 5), parametrizations.weight_norm(nn.Linear(6, 5))
        initialize(plain, recipe, generator=seeded())
        initialize(normed, recipe, generator=seeded())
        torch.testing.assert_close(normed.weight, plain.weight)
        assert torch.equal(normed.bias, plain.bias)


def test_an_orthogonal_weight_stays_orthogonal():
    """The value goes through the parametrisation, which makes it orthogonal."""
    layer = parametrizations.orthogonal(nn.Linear(5, 5))
    before = layer.weight.detach().clone()
    initialize(layer, "xavier", generator=seeded())
    torch.testing.assert_close(layer.weight @ layer.weight.T, torch.eye(5), atol=1e-5, rtol=0)
    assert not torch.allclose(layer.weight, before)


class Symmetric(nn.Module):
    """A parametrisation that cannot be inverted."""

    def forward(self, matrix):
        return matrix.triu() + matrix.triu(1).transpose(-1, -2)


@pytest.mark.parametrize("recipe", ["default", "by-type"])
def test_a_parametrisation_that_takes_no_value_is_refused(recipe):
    """The message says what to do instead."""
    layer = nn.Linear(4, 4)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    with pytest.raises(OptionError) as caught:
        initialize(nn.Sequential(layer), recipe)
    assert str(caught.value) == (
        "0.parametrizations.weight.original expected a parametrisation that can take a value, "
        "received: parametrization Symmetric does not implement right_inverse. "
        "Fix: initialise the layer before it is parametrised, or give it a right_inverse."
    )


def test_low_precision_and_odd_parameters():
    """bfloat16 is filled, orthogonal matrices included; whole numbers are left and reported."""
    rnn = initialize(nn.RNN(3, 4).bfloat16(), "by-type", generator=seeded())
    assert rnn.weight_hh_l0.dtype == torch.bfloat16
    product = rnn.weight_hh_l0.float() @ rnn.weight_hh_l0.float().T
    torch.testing.assert_close(product, torch.eye(4), atol=0.03, rtol=0)
    odd = nn.Module()
    odd.codes = nn.Parameter(torch.ones(3, 4, dtype=torch.int8), requires_grad=False)
    with pytest.warns(UserWarning, match=r"left as it was: codes \(Module\)"):
        initialize(odd, "xavier")
    assert odd.codes.unique().item() == 1


def test_empty_weights_are_no_problem():
    """A layer without inputs has nothing to draw."""
    layer = nn.Linear(1, 3)
    layer.weight = nn.Parameter(torch.empty(3, 0))
    for recipe in FORMULA_RECIPES:
        assert not initialize(layer, recipe).bias.any()


def test_values_follow_the_device_of_the_generator_not_of_the_module():
    """Numbers are drawn where the generator is, so that a GPU starts with the CPU's weights."""
    from layerwright.initialization import formulas

    drawn_on = []

    def formula(tensor, fans, generator):
        drawn_on.append(tensor.device.type)

    target = torch.empty(3, 4, device="meta")
    formulas.draw(formula, target, nn.Linear(4, 3), 1, seeded())
    formulas.draw(formula, target, nn.Linear(4, 3), 1, None)
    assert drawn_on == ["cpu", "meta"]


def test_gradients_and_identity_of_parameters_survive():
    """In place: an optimizer that holds the parameters sees the new values."""
    net = article_network()
    before = {name: (id(p), p.requires_grad) for name, p in net.named_parameters()}
    initialize(net)
    assert {name: (id(p), p.requires_grad) for name, p in net.named_parameters()} == before
    assert all(parameter.is_leaf for parameter in net.parameters())


def test_a_users_recipe_runs_once_under_the_generator():
    """It gets the module, needs no no_grad, and leaves the global random state alone."""
    calls = []

    def mine(module):
        calls.append(module)
        module.weight.normal_()

    one, other = nn.Linear(3, 3), nn.Linear(3, 3)
    before = torch.get_rng_state()
    initialize(one, mine, generator=seeded(2))
    initialize(other, mine, generator=seeded(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.weight, other.weight)
    assert calls == [one, other]


def test_a_recipe_for_single_layers_is_noticed():
    """The tutorials' init_weights does nothing when called with a whole network."""

    def init_weights(layer):
        if isinstance(layer, nn.Linear):
            nn.init.ones_(layer.weight)

    net = nn.Sequential(nn.Linear(2, 2))
    with pytest.warns(UserWarning, match="recipe") as caught:
        initialize(net, init_weights)
    assert [str(item.message) for item in caught] == [
        (
            "initialisation recipe 'init_weights' changed no parameter of Sequential. "
            "Fix: if it is meant for single layers, pass "
            "lambda network: network.apply(init_weights)."
        )
    ]
    initialize(net, lambda network: network.apply(init_weights))
    assert net[0].weight.tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_an_error_in_a_recipe_leaves_the_global_random_state_alone():
    """The state comes back whatever happens."""

    def broken(module):
        torch.manual_seed(99)
        raise KeyError("mine")

    layer = nn.Linear(2, 2)
    before = torch.get_rng_state()
    with pytest.raises(KeyError):
        initialize(layer, broken, generator=seeded())
    assert torch.equal(torch.get_rng_state(), before)


def old_weight_norm():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.Sequential(nn.utils.weight_norm(nn.Linear(2, 2)))


@pytest.mark.parametrize(
    ("module", "options", "kind", "message"),
    [
        (
            nn.Linear(2, 2),
            {"recipe": "xaver"},
            OptionError,
            (
                "unknown initialisation recipe 'xaver'. Did you mean 'xavier'? "
                "Known: by-type, default, kaiming, lsuv, normal, orthogonal, xavier."
            ),
        ),
        (
            nn.Linear(2, 2),
            {"recipe": 1},
            OptionError,
            (
                "initialisation recipe expected a name or a callable (module) -> None, received 1. "
                "Fix: choose one of default, normal, xavier, kaiming, by-type, orthogonal, or give "
                "a function."
            ),
        ),
        (
            torch.zeros(2),
            {},
            OptionError,
            "initialize expected an nn.Module, received Tensor. Fix: pass the network itself.",
        ),
        (
            nn.Linear(2, 2),
            {"keep": ["wieght"]},
            OptionError,
            "keep expected names of parameters, received 'wieght'. Did you mean 'weight'?",
        ),
        (
            nn.Linear(2, 2),
            {"keep": "zzz.*"},
            OptionError,
            (
                "keep expected names of parameters, received 'zzz.*'. "
                "Fix: see named_parameters() for them."
            ),
        ),
        (
            nn.Sequential(nn.LazyLinear(3)),
            {},
            ShapeError,
            (
                "0.weight expected a shape, received a lazy parameter of LazyLinear. "
                "Fix: run the network on one batch first."
            ),
        ),
        (
            nn.Sequential(nn.Linear(2, 3, device="meta")),
            {"recipe": "default"},
            OptionError,
            (
                "0.weight expected values to replace, received a parameter on the meta device. "
                "Fix: pass device='cpu', or another device with memory."
            ),
        ),
        (
            old_weight_norm(),
            {},
            OptionError,
            (
                "0.weight_g expected a tensor that can be assigned, received the magnitude of "
                "torch.nn.utils.weight_norm. Fix: use torch.nn.utils.parametrizations.weight_norm."
            ),
        ),
    ],
)
def test_impossible_requests_are_refused(module, options, kind, message):
    """Before a single value has changed."""
    before = values(module) if isinstance(module, nn.Linear) else {}
    with pytest.raises(kind) as caught:
        initialize(module, **options)
    assert str(caught.value) == message
    if before:
        assert equal(values(module), before)


def test_a_module_without_parameters_comes_back():
    """Nothing to do is no error."""
    for recipe in RECIPES:
        relu = nn.ReLU()
        assert initialize(relu, recipe) is relu
