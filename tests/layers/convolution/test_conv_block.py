"""ConvBlock: which steps it takes, in which order, and what it refuses."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.activation.relu import ReLU
from layerwright.layers.activation.sigmoid import Sigmoid
from layerwright.layers.activation.tanh import Tanh
from layerwright.layers.convolution import Conv2d, ConvBlock
from layerwright.layers.normalization.batch_norm2d import BatchNorm2d
from layerwright.layers.pooling.avg_pool2d import AvgPool2d
from layerwright.layers.pooling.max_pool2d import MaxPool2d

NORMALIZATIONS = {None: None, "batch": nn.BatchNorm2d}
ACTIVATIONS = {None: None, "relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
POOLINGS = {None: None, "max": nn.MaxPool2d, "avg": nn.AvgPool2d}


@pytest.mark.parametrize("normalization", NORMALIZATIONS, ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("pooling", POOLINGS, ids=str)
def test_every_choice_agrees_with_torch(normalization, activation, pooling):
    """Output, gradients and state are those of torch's layers in a row, in training and eval."""
    block = ConvBlock(
        3,
        4,
        3,
        stride=(1, 2),
        padding=1,
        normalization=normalization,
        activation=activation,
        pooling=pooling,
        dtype=torch.float64,
    )
    steps = [
        nn.Conv2d(3, 4, 3, (1, 2), 1, bias=normalization is None, dtype=torch.float64),
        NORMALIZATIONS[normalization] and nn.BatchNorm2d(4, dtype=torch.float64),
        ACTIVATIONS[activation] and ACTIVATIONS[activation](),
        POOLINGS[pooling] and POOLINGS[pooling](2),
    ]
    wanted = nn.Sequential(*filter(None, steps))
    for ours, theirs in zip(block.state_dict().values(), wanted.state_dict().values(), strict=True):
        theirs.copy_(ours)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    for training in (True, False):
        results = []
        for layer in (block.train(training), wanted.train(training)):
            leaf = x.clone().requires_grad_()
            layer.zero_grad()
            y = layer(leaf)
            y.square().sum().backward()
            results.append([y, leaf.grad, *(p.grad for p in layer.parameters())])
            results[-1] += layer.state_dict().values()
        for got, expected in zip(*results, strict=True):
            torch.testing.assert_close(got, expected)


def test_default_steps():
    """Without a word a block normalises and rectifies; what is not wanted is None."""
    block = ConvBlock(3, 4, 3)
    assert isinstance(block.convolution, Conv2d)
    assert isinstance(block.normalization, BatchNorm2d)
    assert isinstance(block.activation, ReLU)
    assert block.pooling is None
    bare = ConvBlock(3, 4, 3, normalization=None, activation=None)
    assert bare.normalization is None
    assert bare.activation is None
    x = torch.randn(1, 3, 5, 5)
    assert torch.equal(bare(x), bare.convolution(x))


@pytest.mark.parametrize(
    ("bias", "normalization", "learned"),
    [
        (None, "batch", False),
        (None, None, True),
        (True, "batch", True),
        (False, None, False),
    ],
)
def test_bias_only_where_it_is_of_use(bias, normalization, learned):
    """A normalisation takes the convolution's bias away, unless it is asked for."""
    block = ConvBlock(3, 4, 3, bias=bias, normalization=normalization)
    assert (block.convolution.bias is not None) == learned


def test_names_stand_for_our_layers():
    """The layers behind the names are this package's own."""
    assert isinstance(ConvBlock(3, 4, 3, activation="sigmoid").activation, Sigmoid)
    assert isinstance(ConvBlock(3, 4, 3, activation="tanh").activation, Tanh)
    assert isinstance(ConvBlock(3, 4, 3, pooling="max").pooling, MaxPool2d)
    assert isinstance(ConvBlock(3, 4, 3, pooling="avg").pooling, AvgPool2d)


def test_own_steps():
    """A step may be a module, its class, or any function of a tensor."""
    norm = nn.GroupNorm(2, 4)
    block = ConvBlock(3, 4, 3, normalization=norm, activation=nn.GELU, pooling=F.relu)
    assert block.normalization is norm
    assert isinstance(block.activation, nn.GELU)
    x = torch.randn(1, 3, 5, 5)
    assert torch.equal(block(x), F.relu(F.gelu(norm(block.convolution(x)))))
    classes = ConvBlock(3, 4, 3, normalization=nn.BatchNorm2d, pooling=nn.AvgPool2d, pool_size=3)
    assert classes.normalization.num_features == 4
    assert classes.pooling.kernel_size == 3


def test_pooling_options():
    """The window's size and stride reach the pooling."""
    block = ConvBlock(1, 2, 1, pooling="max", pool_size=3, pool_stride=1)
    assert block(torch.zeros(1, 1, 5, 5)).shape == (1, 2, 3, 3)
    assert ConvBlock(1, 2, 1, pooling="avg", pool_size=(1, 5))(torch.zeros(1, 1, 5, 5)).shape == (
        1,
        2,
        5,
        1,
    )


def test_convolution_options():
    """Everything that a convolution can do, it can do in a block."""
    options = {
        "stride": 2,
        "padding": 2,
        "dilation": 2,
        "groups": 2,
        "padding_mode": "circular",
    }
    block = ConvBlock(4, 6, (3, 2), bias=True, **options)
    assert repr(block.convolution) == repr(Conv2d(4, 6, (3, 2), **options))


def test_device_and_dtype_reach_every_step():
    """Parameters and buffers are made where and as they are wanted."""
    block = ConvBlock(3, 4, 3, device="meta", dtype=torch.float64)
    tensors = [t for t in block.state_dict().values() if t.is_floating_point()]
    assert {(t.device.type, t.dtype) for t in tensors} == {("meta", torch.float64)}


def test_unbatched_input():
    """An image without a batch passes where no step insists on a batch."""
    block = ConvBlock(3, 4, 3, normalization=None, pooling="max")
    x = torch.randn(3, 6, 6)
    torch.testing.assert_close(block(x), block(x[None])[0])


def test_reset_starts_every_step_anew():
    """`reset_parameters` gives the values and the statistics of a new block."""
    torch.manual_seed(1)
    block = ConvBlock(3, 4, 3, pooling="max")
    start = copy.deepcopy(block.state_dict())
    block(torch.randn(2, 3, 6, 6))
    for parameter in block.parameters():
        parameter.data.zero_()
    torch.manual_seed(1)
    block.reset_parameters()
    for name, value in block.state_dict().items():
        assert torch.equal(value, start[name]), name


def test_copies_compute_the_same():
    """A deep copy and an unpickled block are independent and equal."""
    block = ConvBlock(3, 4, 3, activation=F.gelu, pooling="avg").eval()
    x = torch.randn(1, 3, 6, 6)
    for twin in (copy.deepcopy(block), pickle.loads(pickle.dumps(block))):
        assert torch.equal(twin(x), block(x))


def test_functions_are_printed_by_name():
    """`print` shows steps that are no modules too."""
    assert repr(ConvBlock(3, 4, 3, normalization=None, activation=F.gelu)) == (
        "ConvBlock(\n  activation=gelu\n"
        "  (convolution): Conv2d(3, 4, kernel_size=(3, 3), stride=(1, 1))\n)"
    )


@pytest.mark.parametrize(
    ("role", "names"),
    [
        ("normalization", "'batch'"),
        ("activation", "'relu', 'sigmoid', 'tanh'"),
        ("pooling", "'avg', 'max'"),
    ],
)
@pytest.mark.parametrize("value", ["layer", 3, False], ids=repr)
def test_unknown_steps_are_refused(role, names, value):
    """The message names the step, what it may be and what it was."""
    with pytest.raises(OptionError) as caught:
        ConvBlock(3, 4, 3, **{role: value})
    assert str(caught.value) == (
        f"ConvBlock expected {role} to be {names}, a module, a function of a tensor or None, "
        f"received {value!r}."
    )


def test_the_step_that_does_not_fit_speaks():
    """A wrong input is refused by the convolution, in its own words."""
    with pytest.raises(ShapeError, match=r"^Conv2d expected an input of shape"):
        ConvBlock(3, 4, 3)(torch.zeros(1, 2, 5, 5))
