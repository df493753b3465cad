"""Parameter roles, read from the structure of torch's layers and of users' own."""

import math
from io import StringIO

import pytest
import torch
from rich.console import Console
from torch import nn
from torch.nn.utils import parametrizations

from layerwright.errors import OptionError, ShapeError
from layerwright.training.parameter_groups import (
    ParameterRole,
    parameter_groups,
    parameter_roles,
    roles_table,
)


def roles(network):
    return {item.name: item.role for item in parameter_roles(network)}


TORCH_LAYERS = {
    "linear to one output": (nn.Linear(5, 1), {"weight": "weight", "bias": "bias"}),
    "linear from one input": (nn.Linear(1, 5), {"weight": "weight", "bias": "bias"}),
    "linear one to one": (nn.Linear(1, 1, bias=False), {"weight": "weight"}),
    "1x1 convolution to one map": (nn.Conv2d(4, 1, 1), {"weight": "weight", "bias": "bias"}),
    "depthwise 1x1 convolution": (
        nn.Conv2d(4, 4, 1, groups=4),
        {"weight": "weight", "bias": "bias"},
    ),
    "convolution 1d": (nn.Conv1d(2, 3, 3), {"weight": "weight", "bias": "bias"}),
    "transposed convolution": (nn.ConvTranspose3d(2, 3, 2), {"weight": "weight", "bias": "bias"}),
    "bilinear": (nn.Bilinear(2, 3, 4), {"weight": "weight", "bias": "bias"}),
    "batch norm": (nn.BatchNorm2d(3), {"weight": "gain", "bias": "bias"}),
    "group norm": (nn.GroupNorm(1, 3), {"weight": "gain", "bias": "bias"}),
    "instance norm": (nn.InstanceNorm1d(3, affine=True), {"weight": "gain", "bias": "bias"}),
    "layer norm over two dims": (nn.LayerNorm([3, 4]), {"weight": "gain", "bias": "bias"}),
    "rms norm over two dims": (nn.RMSNorm([3, 4]), {"weight": "gain"}),
    "prelu": (nn.PReLU(3), {"weight": "gain"}),
    "embedding": (nn.Embedding(5, 3), {"weight": "embedding"}),
    "embedding of one dim": (nn.Embedding(5, 1), {"weight": "embedding"}),
    "embedding bag": (nn.EmbeddingBag(5, 3), {"weight": "embedding"}),
    "lstm": (
        nn.LSTM(3, 4, proj_size=2),
        {
            "weight_ih_l0": "weight",
            "weight_hh_l0": "weight",
            "bias_ih_l0": "bias",
            "bias_hh_l0": "bias",
            "weight_hr_l0": "weight",
        },
    ),
    "gru cell": (
        nn.GRUCell(3, 1),
        {"weight_ih": "weight", "weight_hh": "weight", "bias_ih": "bias", "bias_hh": "bias"},
    ),
    "attention": (
        nn.MultiheadAttention(4, 2, add_bias_kv=True),
        {
            "in_proj_weight": "weight",
            "in_proj_bias": "bias",
            "bias_k": "bias",
            "bias_v": "bias",
            "out_proj.weight": "weight",
            "out_proj.bias": "bias",
        },
    ),
    "weight norm": (
        parametrizations.weight_norm(nn.Linear(3, 5)),
        {
            "bias": "bias",
            "parametrizations.weight.original0": "gain",
            "parametrizations.weight.original1": "weight",
        },
    ),
    "spectral norm": (
        parametrizations.spectral_norm(nn.Conv2d(2, 1, 1)),
        {"bias": "bias", "parametrizations.weight.original": "weight"},
    ),
    "parametrised embedding": (
        parametrizations.spectral_norm(nn.Embedding(5, 3)),
        {"parametrizations.weight.original": "embedding"},
    ),
}


@pytest.mark.parametrize("name", TORCH_LAYERS)
def test_roles_in_torchs_layers(name):
    """Each parameter of torch's own layers has the role that its layer gives it."""
    layer, expected = TORCH_LAYERS[name]
    assert roles(layer) == expected


class Bag(nn.Module):
    """Holds parameters of given shapes under given names."""

    def __init__(self, **shapes):
        super().__init__()
        for name, shape in shapes.items():
            setattr(self, name, nn.Parameter(torch.zeros(shape)))


@pytest.mark.parametrize(
    ("name", "shape", "role"),
    [
        ("weight", (7,), "gain"),
        ("alpha", (), "gain"),
        ("scale", (7,), "gain"),
        ("scale", (7, 1, 1), "gain"),
        ("layer_scale", (1, 7), "gain"),
        ("gamma", (1, 1, 1, 7), "gain"),
        ("class_token", (1, 1, 7), "gain"),
        ("temperature", (1, 1, 1), "gain"),
        ("b", (7,), "bias"),
        ("bias", (3, 7), "bias"),
        ("head_bias", (7, 1, 1), "bias"),
        ("W", (7, 1), "weight"),
        ("kernel", (1, 7, 1, 1), "weight"),
        ("weight", (1, 7), "weight"),
        ("scale", (3, 7), "weight"),
        ("relative_position_bias_table", (3, 7), "weight"),
        ("table", (3, 7), "weight"),
        ("queries", (2, 3, 7), "weight"),
    ],
)
def test_roles_in_layers_of_the_users_own(name, shape, role):
    """The shape decides, and the attribute's name where the shape says too little."""
    assert roles(Bag(**{name: shape})) == {name: role}


def test_a_shift_is_a_bias_only_beside_its_gain():
    """The beta of a normalisation is a bias, the beta of a Swish is not."""
    assert roles(Bag(gamma=(3,), beta=(3,))) == {"gamma": "gain", "beta": "bias"}
    assert roles(Bag(scale=(3, 1, 1), shift=(3, 1, 1))) == {"scale": "gain", "shift": "bias"}
    assert roles(Bag(beta=())) == {"beta": "gain"}


def test_parameters_in_lists_and_dicts_belong_to_the_module_that_holds_them():
    """The attribute that holds the list names them, for rules and for declared roles."""

    class Lists(nn.Module):
        parameter_roles = {"tables": "embedding"}  # noqa: RUF012

        def __init__(self):
            super().__init__()
            self.bias = nn.ParameterList([nn.Parameter(torch.zeros(2, 3))])
            self.tables = nn.ParameterDict({"words": nn.Parameter(torch.zeros(2, 3))})
            self.rest = nn.ParameterList([nn.Parameter(torch.zeros(2, 3))])

    assert roles(Lists()) == {"bias.0": "bias", "tables.words": "embedding", "rest.0": "weight"}
    assert {item.module for item in parameter_roles(Lists())} == {"Lists"}


class Positions(nn.Module):
    """Declares what its parameters are."""

    parameter_roles = {"table": "embedding", "alpha": "weight", "matrix": "gain"}  # noqa: RUF012

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(5, 3))
        self.alpha = nn.Parameter(torch.zeros(3))
        self.matrix = nn.Parameter(torch.zeros(3, 3))
        self.other = nn.Parameter(torch.zeros(3, 3))


def test_a_declared_role_wins_over_the_structure():
    """The class attribute `parameter_roles`; what it does not name is read from the structure."""
    assert roles(nn.Sequential(Positions())) == {
        "0.table": "embedding",
        "0.alpha": "weight",
        "0.matrix": "gain",
        "0.other": "weight",
    }


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (
            {"tabel": "embedding"},
            (
                "Positions.parameter_roles expected names of its parameters, received 'tabel'. "
                "Did you mean 'table'?"
            ),
        ),
        (
            {"zzz": "bias"},
            (
                "Positions.parameter_roles expected names of its parameters, received 'zzz'. "
                "Fix: remove the name."
            ),
        ),
        (
            {"table": "embeding"},
            (
                "unknown parameter role 'embeding'. Did you mean 'embedding'? "
                "Known: bias, embedding, gain, weight."
            ),
        ),
    ],
)
def test_misspelt_declarations_are_refused(declared, message):
    """A role that would silently not apply is an error."""
    layer = Positions()
    layer.parameter_roles = declared
    with pytest.raises(OptionError) as caught:
        parameter_roles(layer)
    assert str(caught.value) == message


def test_a_declared_parameter_may_be_switched_off():
    """A registered None, such as a bias that was not wanted, may be declared all the same."""

    class Switchable(nn.Module):
        parameter_roles = {"offset": "bias"}  # noqa: RUF012

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2, 2))
            self.register_parameter("offset", None)

    assert roles(Switchable()) == {"weight": "weight"}


@pytest.mark.parametrize("order", ["embedding first", "linear first"])
def test_a_tied_embedding_counts_once_and_as_an_embedding(order):
    """Whichever of the two modules comes first."""
    embedding, head = nn.Embedding(5, 3), nn.Linear(3, 5)
    head.weight = embedding.weight
    layers = [embedding, head] if order == "embedding first" else [head, embedding]
    found = parameter_roles(nn.Sequential(*layers))
    assert [(item.name, item.role) for item in found if item.role != "bias"] == [
        ("0.weight", "embedding")
    ]
    assert len(found) == 2


def small_network():
    return nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2))


def test_groups_hold_each_trainable_parameter_once_in_order():
    """Weights decay, the rest does not, and nothing is lost."""
    net = small_network()
    net[3].bias.requires_grad_(False)
    decaying, resting = parameter_groups(net, 0.1)
    assert (decaying["weight_decay"], resting["weight_decay"]) == (0.1, 0.0)
    assert [id(p) for p in decaying["params"]] == [id(net[1].weight), id(net[3].weight)]
    assert [id(p) for p in resting["params"]] == [
        id(net[0].weight),
        id(net[1].bias),
        id(net[2].weight),
        id(net[2].bias),
    ]


def test_without_weight_decay_there_is_one_group():
    """In the order of `parameters()`, and with an explicit weight decay of 0."""
    net = small_network()
    (group,) = parameter_groups(net, 0)
    assert group["weight_decay"] == 0.0
    assert [id(p) for p in group["params"]] == [id(p) for p in net.parameters()]


def test_a_group_that_would_be_empty_is_left_out():
    """Torch refuses empty groups in places."""
    assert len(parameter_groups(nn.Linear(2, 2, bias=False), 0.1)) == 1
    assert len(parameter_groups(nn.LayerNorm(2), 0.1)) == 1


def test_frozen_parameters_are_listed_and_do_not_decay():
    """The table shows them; no group holds them."""
    layer = nn.Linear(2, 3)
    layer.weight.requires_grad_(False)
    assert parameter_roles(layer) == [
        ParameterRole("weight", "weight", (3, 2), decays=False, module="Linear", trainable=False),
        ParameterRole("bias", "bias", (3,), decays=False, module="Linear", trainable=True),
    ]
    (group,) = parameter_groups(layer, 0.1)
    assert [id(p) for p in group["params"]] == [id(layer.bias)]


@pytest.mark.parametrize("network", [nn.ReLU(), nn.Linear(2, 2).requires_grad_(False)])
def test_a_network_without_trainable_parameters_is_refused(network):
    """There would be nothing to train."""
    with pytest.raises(OptionError) as caught:
        parameter_groups(network, 0.0)
    assert str(caught.value) == (
        f"{type(network).__name__} expected a parameter with requires_grad, received none. "
        "Fix: register its tensors as nn.Parameter, or unfreeze a layer."
    )


@pytest.mark.parametrize("weight_decay", [-0.1, math.inf, math.nan])
def test_an_impossible_weight_decay_is_refused(weight_decay):
    """Negative decay would let weights grow."""
    with pytest.raises(OptionError) as caught:
        parameter_groups(nn.Linear(2, 2), weight_decay)
    assert str(caught.value) == (
        f"weight_decay expected a number from 0, received {weight_decay!r}. "
        "Fix: use 0 for none, or a small number such as 0.01."
    )


def test_a_lazy_parameter_has_no_role_yet():
    """Its shape is unknown until the first batch."""
    with pytest.raises(ShapeError) as caught:
        parameter_groups(nn.Sequential(nn.LazyLinear(3)), 0.1)
    assert str(caught.value) == (
        "0.weight expected a shape, received a lazy parameter of LazyLinear. "
        "Fix: run the network on one batch first."
    )


def test_the_table_prints_one_row_per_parameter():
    """Name, module, shape, role and whether it decays."""
    net = nn.Sequential(nn.Linear(4, 3), Bag(alpha=()))
    net[0].weight.requires_grad_(False)
    screen = StringIO()
    Console(width=100, file=screen).print(roles_table(net))
    rows = [line.split() for line in screen.getvalue().splitlines()]
    assert rows == [
        ["parameter", "module", "shape", "role", "weight", "decay"],
        ["0.weight", "Linear", "3", "x", "4", "weight", "frozen"],
        ["0.bias", "Linear", "3", "bias", "no"],
        ["1.alpha", "Bag", "scalar", "gain", "no"],
    ]
