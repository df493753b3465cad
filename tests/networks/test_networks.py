"""What all networks promise: shapes, sizes they compute themselves, messages, independence."""

import copy
import pickle
from dataclasses import FrozenInstanceError

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.regularization.dropout import Dropout
from layerwright.networks.convnet import ConvNet
from layerwright.networks.customnet import CustomNet
from layerwright.networks.gated_convnet import GatedConvNet, GatedConvNetConfig
from layerwright.networks.lenet import LeNet
from layerwright.networks.linear_regression import LinearRegression
from layerwright.networks.logistic_regression import LogisticRegression
from layerwright.networks.resnet import ResNet
from layerwright.networks.resnet9 import ResNet9, ResNet9Config
from layerwright.networks.simplenet import SimpleNet
from layerwright.networks.softmax_classifier import SoftmaxClassifier

COMPILER = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


def convolutional(maps, hidden, flat, channels, classes):
    """Two 5x5 convolutions and linear layers, in the order of most tutorials."""
    first, second = maps
    layers = [nn.Conv2d(channels, first, 5), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(first, second, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    for units in hidden:
        layers += [nn.Linear(flat, units), nn.ReLU()]
        flat = units
    return nn.Sequential(*layers, nn.Linear(flat, classes))


def padded(channels, flat, classes, *, batch_norm=False):
    """Two padded 3x3 convolutions, 128 units and dropout, in the order of most tutorials."""
    layers = []
    for before, after in ((channels, 32), (32, 64)):
        layers.append(nn.Conv2d(before, after, 3, padding=1, bias=not batch_norm))
        layers += [nn.BatchNorm2d(after)] if batch_norm else []
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(flat, 128), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(*layers, nn.Linear(128, classes))


def linear(features, outputs):
    """One layer; a single output loses its dim, as the targets have none."""
    layers = [nn.Flatten(), nn.Linear(features, outputs)]
    return nn.Sequential(*layers, *([nn.Flatten(0)] if outputs == 1 else []))


def convolution(before, after, stride=1):
    """A padded 3x3 convolution and its batch norm."""
    return [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)]


class Sum(nn.Module):
    """A branch beside what it is added to, which loses pixels and gains zeros where it must."""

    def __init__(self, *branch, then=None):
        super().__init__()
        self.branch, self.then = nn.Sequential(*branch), then or nn.Identity()

    def forward(self, x):
        y = self.branch(x)
        kept = x[:, :, ::2, ::2] if y.shape[2] < x.shape[2] else x
        zeros = y.new_zeros(len(y), y.shape[1] - x.shape[1], *y.shape[2:])
        return self.then(torch.cat([kept, zeros], 1) + y)


def residual(channels, classes, num_blocks, width=16):
    """The network of He et al. for 32x32 images, with shortcuts of option A."""
    layers = [*convolution(channels, width), nn.ReLU()]
    before = width
    for maps in (width, 2 * width, 4 * width):
        for _ in range(num_blocks):
            first = convolution(before, maps, stride=1 if maps == before else 2)
            layers.append(Sum(*first, nn.ReLU(), *convolution(maps, maps), then=nn.ReLU()))
            before = maps
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))


class Times(nn.Module):
    """Multiply by a number."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


def residual9(channels, classes, width):
    """Page's ResNet-9, with pooling before batch norm."""

    def stage(before, after):
        conv, norm = convolution(before, after)
        return [conv, nn.MaxPool2d(2), norm, nn.ReLU()]

    def pair(maps):
        return Sum(*convolution(maps, maps), nn.ReLU(), *convolution(maps, maps), nn.ReLU())

    w = width
    layers = [*convolution(channels, w), nn.ReLU(), *stage(w, 2 * w), pair(2 * w)]
    layers += [*stage(2 * w, 4 * w), *stage(4 * w, 8 * w), pair(8 * w)]
    layers += [nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8 * w, classes)]
    return nn.Sequential(*layers, Times(1 / 8))


def gated(channels, classes, widths):
    """One residual gated convolution in each stage."""
    layers, before = [], channels
    for maps in widths:
        layers += [nn.AvgPool2d(2)] if layers else []
        layers += [nn.Conv2d(before, 2 * maps, 3, padding=1), nn.GLU(1)]
        branch = nn.Conv2d(maps, 2 * maps, 3, padding=1), nn.GLU(1)
        layers.append(Sum(nn.BatchNorm2d(maps), *branch))
        before = maps
    layers += [nn.BatchNorm2d(before), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(before, classes))


# id: network, the same network in plain torch.nn, number of parameters counted by hand
BUILDS = {
    "linear-regression": (
        lambda: LinearRegression((13,)),
        lambda: linear(13, 1),
        13 + 1,
    ),
    "linear-regression-3-outputs": (
        lambda: LinearRegression((2, 5), num_outputs=3),
        lambda: linear(10, 3),
        10 * 3 + 3,
    ),
    "logistic-regression": (
        lambda: LogisticRegression((30,)),
        lambda: linear(30, 1),
        30 + 1,
    ),
    "softmax-classifier": (
        lambda: SoftmaxClassifier((1, 8, 8), 10),
        lambda: linear(64, 10),
        64 * 10 + 10,
    ),
    "simplenet": (
        SimpleNet,
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)),
        784 * 128 + 128 + 128 * 10 + 10,
    ),
    "simplenet-3x32x32": (
        lambda: SimpleNet((3, 32, 32), 7, hidden_units=20),
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(3072, 20), nn.ReLU(), nn.Linear(20, 7)),
        3072 * 20 + 20 + 20 * 7 + 7,
    ),
    "customnet": (
        CustomNet,
        lambda: padded(1, 64 * 7 * 7, 10),
        9 * 32 + 32 + 9 * 32 * 64 + 64 + 3136 * 128 + 128 + 128 * 10 + 10,
    ),
    "customnet-1x8x8": (
        lambda: CustomNet((1, 8, 8)),
        lambda: padded(1, 64 * 2 * 2, 10),
        9 * 32 + 32 + 9 * 32 * 64 + 64 + 256 * 128 + 128 + 128 * 10 + 10,
    ),
    "customnet-batch-norm-3x32x32": (
        lambda: CustomNet((3, 32, 32), 100, batch_norm=True),
        lambda: padded(3, 64 * 8 * 8, 100, batch_norm=True),
        27 * 32 + 2 * 32 + 9 * 32 * 64 + 2 * 64 + 4096 * 128 + 128 + 128 * 100 + 100,
    ),
    "convnet": (
        ConvNet,
        lambda: convolutional((10, 20), (50,), 320, 1, 10),
        25 * 10 + 10 + 25 * 10 * 20 + 20 + 320 * 50 + 50 + 50 * 10 + 10,
    ),
    "convnet-3x32x32": (
        lambda: ConvNet((3, 32, 32)),
        lambda: convolutional((10, 20), (50,), 500, 3, 10),
        75 * 10 + 10 + 25 * 10 * 20 + 20 + 500 * 50 + 50 + 50 * 10 + 10,
    ),
    "lenet": (
        LeNet,
        lambda: convolutional((6, 16), (120, 84), 256, 1, 10),
        25 * 6 + 6 + 25 * 6 * 16 + 16 + 256 * 120 + 120 + 120 * 84 + 84 + 84 * 10 + 10,
    ),
    "lenet-3x32x32": (
        lambda: LeNet((3, 32, 32)),
        lambda: convolutional((6, 16), (120, 84), 400, 3, 10),
        75 * 6 + 6 + 25 * 6 * 16 + 16 + 400 * 120 + 120 + 120 * 84 + 84 + 84 * 10 + 10,
    ),
}
BUILDS |= {
    "resnet": (ResNet, lambda: residual(3, 10, 3), 269_722),  # 0.27 million in the paper
    "resnet-14-1x28x28": (
        lambda: ResNet((1, 28, 28), 7, depth=14, width=4),
        lambda: residual(1, 7, 2, 4),
        9 * 4 + 8
        + 9 * 4 * 4 * 4 + 4 * 8
        + 9 * (4 * 8 + 3 * 8 * 8) + 4 * 16
        + 9 * (8 * 16 + 3 * 16 * 16) + 4 * 32
        + 16 * 7 + 7,
    ),
    "resnet9": (
        lambda: ResNet9(width=8),
        lambda: residual9(3, 10, 8),
        9 * (3 * 8 + 8 * 16 + 2 * 16 * 16 + 16 * 32 + 32 * 64 + 2 * 64 * 64)
        + 2 * (8 + 3 * 16 + 32 + 3 * 64)
        + 64 * 10 + 10,
    ),
    "resnet9-1x28x28": (
        lambda: ResNet9((1, 28, 28), 5, ResNet9Config(width=4)),
        lambda: residual9(1, 5, 4),
        9 * (4 + 4 * 8 + 2 * 8 * 8 + 8 * 16 + 16 * 32 + 2 * 32 * 32)
        + 2 * (4 + 3 * 8 + 16 + 3 * 32)
        + 32 * 5 + 5,
    ),
    "gated-convnet": (
        lambda: GatedConvNet(widths=(8, 12)),
        lambda: gated(3, 10, (8, 12)),
        9 * 3 * 16 + 16 + 16 + 9 * 8 * 16 + 16
        + 9 * 8 * 24 + 24 + 24 + 9 * 12 * 24 + 24
        + 24 + 12 * 10 + 10,
    ),
}  # fmt: skip
ALL = pytest.mark.parametrize("build", BUILDS)


def batch_for(network, size=4):
    """A batch of random samples of the network's shape."""
    parameter = next(network.parameters())
    return torch.randn(size, *network.input_shape, dtype=parameter.dtype)


def without_dropout(network):
    """Take the chance out of a network, ours or torch's; dropout has its own tests."""
    for module in network.modules():
        if isinstance(module, (Dropout, nn.Dropout)):
            module.p = 0.0
    return network


@ALL
def test_number_of_parameters(build):
    """The parameters are as many as counted by hand."""
    make, _, count = BUILDS[build]
    assert sum(parameter.numel() for parameter in make().parameters()) == count


@ALL
def test_equals_a_plain_torch_build(build):
    """Under copied weights outputs and gradients are those of torch.nn, in training and eval."""
    make, make_plain, _ = BUILDS[build]
    ours, plain = without_dropout(make().double()), without_dropout(make_plain().double())
    for parameter, other in zip(ours.parameters(), plain.parameters(), strict=True):
        parameter.data.copy_(other.data)
    x = batch_for(ours, 5)
    for training in (True, False):
        results = []
        for network in (ours.train(training), plain.train(training)):
            network.zero_grad()
            y = network(x)
            y.square().sum().backward()
            results.append((y.detach(), [parameter.grad for parameter in network.parameters()]))
        torch.testing.assert_close(results[0], results[1])


@ALL
def test_one_step_lowers_the_loss(build):
    """Every parameter gets a gradient, and a small step against it lowers the loss."""
    torch.manual_seed(1)
    network = without_dropout(BUILDS[build][0]().double().train())
    x = batch_for(network, 8)
    target = torch.randn_like(network(x))
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4)
    before = F.mse_loss(network(x), target)
    before.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())
    optimizer.step()
    assert F.mse_loss(network(x), target) < before


@ALL
def test_samples_do_not_mix(build):
    """In eval, changing one sample changes its own row and no other."""
    network = BUILDS[build][0]().double().eval()
    x = batch_for(network, 4)
    changed = x.clone()
    changed[2] += 1
    before, after = network(x), network(changed)
    different = [not torch.equal(before[n], after[n]) for n in range(4)]
    assert different == [False, False, True, False]


@ALL
def test_state_dict_round_trip(build):
    """Weights saved from one instance make another compute the same; so do copies."""
    make = BUILDS[build][0]
    network, other = make().eval(), make().eval()
    x = batch_for(network)
    assert not torch.equal(network(x), other(x))
    other.load_state_dict(network.state_dict())
    for twin in (other, copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(network(x), twin(x))


@ALL
def test_empty_and_single_batches(build):
    """A batch of one and a batch of none keep the batch dim."""
    network = BUILDS[build][0]().eval()
    tail = network(batch_for(network)).shape[1:]
    for size in (0, 1):
        assert network(batch_for(network, size)).shape == (size, *tail)


@ALL
def test_channels_last_gives_the_same(build):
    """Another memory format of weights and batch changes nothing, row by row."""
    network = BUILDS[build][0]().double().eval()
    x = batch_for(network)
    expected = network(x)
    if x.dim() == 4:
        network = network.to(memory_format=torch.channels_last)
        x = x.to(memory_format=torch.channels_last)
    torch.testing.assert_close(network(x), expected)


@ALL
def test_building_draws_for_parameters_only(build):
    """Sizes are computed, not probed: what building draws is what the layers' own starts draw."""
    make = BUILDS[build][0]
    torch.manual_seed(7)
    network = make()
    after = torch.get_rng_state()
    torch.manual_seed(7)
    for module in network.modules():
        if not list(module.children()) and hasattr(module, "reset_parameters"):
            module.reset_parameters()
    assert torch.equal(torch.get_rng_state(), after)


@COMPILER
@pytest.mark.parametrize("build", [
    "simplenet", "customnet-batch-norm-3x32x32", "lenet",
    "resnet-14-1x28x28", "resnet9-1x28x28", "gated-convnet",
])  # fmt: skip
def test_compiles_traces_and_exports(build):
    """One compiled graph, a symbolic trace and an exported program compute the same."""
    network = BUILDS[build][0]().eval()
    x = batch_for(network)
    expected = network(x)
    torch._dynamo.reset()
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), expected)
    torch.testing.assert_close(torch.fx.symbolic_trace(network)(x), expected)
    batch = {0: torch.export.Dim.DYNAMIC}
    exported = torch.export.export(network, (x,), dynamic_shapes=(batch,)).module()
    torch.testing.assert_close(exported(x[:3]), expected[:3])


@settings(deadline=None, max_examples=25)
@given(
    network=st.sampled_from([ConvNet, CustomNet, LeNet]),
    channels=st.integers(1, 3),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    num_classes=st.integers(1, 5),
)
def test_any_size_that_fits_works_and_others_are_refused(
    network, channels, height, width, num_classes
):
    """From the stated smallest size on, forward works; below it the constructor says so."""
    smallest = 4 if network is CustomNet else 16
    shape = (channels, height, width)
    if min(height, width) < smallest:
        with pytest.raises(ShapeError) as caught:
            network(shape, num_classes)
        assert str(caught.value) == (
            f"{network.__name__} needs maps of at least {smallest}x{smallest}, "
            f"received input_shape={shape}. "
            "Fix: scale the images up, or use simplenet, which takes any size."
        )
        return
    built = network(shape, num_classes)
    assert built(torch.randn(2, *shape)).shape == (2, num_classes)


@settings(deadline=None, max_examples=15)
@given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=4), outputs=st.integers(2, 4))
def test_flat_networks_take_any_shape(shape, outputs):
    """Networks of linear layers flatten samples of any shape."""
    x = torch.randn(3, *shape)
    assert SimpleNet(shape, outputs)(x).shape == (3, outputs)
    assert SoftmaxClassifier(shape, outputs)(x).shape == (3, outputs)
    assert LinearRegression(shape, outputs)(x).shape == (3, outputs)
    assert LinearRegression(shape)(x).shape == (3,)
    assert LogisticRegression(shape)(x).shape == (3,)


def test_options_are_built_in():
    """Dropout acts in training only, with its own p; batch norm comes where asked for."""
    network = CustomNet((1, 8, 8), dropout=0.0)
    x = batch_for(network)
    assert torch.equal(network(x), network.eval()(x))
    network = CustomNet((1, 8, 8), dropout=0.9)
    assert not torch.equal(network(x), network(x))
    kinds = [type(module).__module__ for module in CustomNet(batch_norm=True).modules()]
    assert sum("batch_norm2d" in kind for kind in kinds) == 2


@pytest.mark.parametrize("build", BUILDS)
def test_layers_are_our_own(build):
    """No layer of torch.nn computes anything; Identity stands where batch norm is left out."""
    for module in BUILDS[build][0]().modules():
        if not list(module.children()):
            assert type(module).__module__.startswith("layerwright.layers") or (
                type(module) is nn.Identity
            )


def test_pooling_before_relu_changes_nothing():
    """ReLU after max pooling equals ReLU before it, gradients included, with ties at zero too."""
    network = CustomNet((1, 6, 6))
    x = torch.randint(-2, 3, (3, 2, 6, 6)).double().requires_grad_()
    upstream = torch.randn(3, 2, 3, 3, dtype=torch.float64)
    first = network.relu1(network.pool1(x))
    second = network.pool1(network.relu1(x))
    assert torch.equal(first, second)
    gradients = [torch.autograd.grad(y, x, upstream)[0] for y in (first, second)]
    assert torch.equal(*gradients)


def test_mirrored_answers_are_the_mean_of_both_views():
    """In evaluation an image and its mirror image get one answer; training sees one view."""
    network = ResNet9((1, 8, 8), width=2, mirrored=True).double()
    twin = ResNet9((1, 8, 8), width=2).double()
    twin.load_state_dict(network.state_dict())
    x = batch_for(network)
    assert torch.equal(network(x), twin(x))
    network.eval()
    twin.eval()
    torch.testing.assert_close(network(x), (twin(x) + twin(x.flip(3))) / 2)
    torch.testing.assert_close(network(x), network(x.flip(3)))


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (
            lambda: ResNet(depth=21),
            "ResNet expected depth to be 6n + 2, such as 20, 32, 44 or 56, received 21.",
        ),
        (lambda: ResNet(depth=2), "ResNet expected depth to be a whole number from 8, received 2."),
        (lambda: ResNet(depht=20), "ResNet has no option 'depht'. Did you mean 'depth'?"),
        (
            lambda: ResNet(config=ResNet9Config(width=3)),
            (
                "ResNet expected config to be a ResNetConfig, "
                "received ResNet9Config(width=3, logit_scale=0.125, mirrored=False)."
            ),
        ),
        (
            lambda: ResNet9(logit_scale=0),
            "ResNet9 expected logit_scale to be a positive number, received 0.",
        ),
        (
            lambda: GatedConvNet(widths=()),
            (
                "GatedConvNet expected widths to hold a number for each stage, received (). "
                "Fix: widths=(32, 64, 128)"
            ),
        ),
        (
            lambda: GatedConvNet(widths=(4, 0)),
            "GatedConvNet expected each of widths to be a whole number from 1, received 0.",
        ),
    ],
)
def test_impossible_options_of_configurations_are_refused(build, text):
    """The message names the network, the option, what it may be and what it was."""
    with pytest.raises(OptionError) as caught:
        build()
    assert str(caught.value) == text


def test_options_take_the_place_of_those_in_a_configuration():
    """One by one or whole, the options are the same frozen object; a list of widths is one too."""
    whole = GatedConvNet((1, 8, 8), config=GatedConvNetConfig(widths=(3, 4), dropout=0.5))
    single = GatedConvNet((1, 8, 8), widths=[3, 4], dropout=0.5)
    assert whole.config == single.config == GatedConvNetConfig(widths=(3, 4), dropout=0.5)
    more = GatedConvNet((1, 8, 8), config=whole.config, num_blocks=2)
    assert more.config == GatedConvNetConfig(widths=(3, 4), dropout=0.5, num_blocks=2)
    with pytest.raises(FrozenInstanceError):
        whole.config.dropout = 0.1
