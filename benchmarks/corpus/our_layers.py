"""Every layer and network of this project, with inputs of the forms that matter."""

from collections.abc import Iterator

import torch
from torch import nn

from layerwright.contract.case import Case
from layerwright.layers.activation.relu import ReLU
from layerwright.layers.activation.sigmoid import Sigmoid
from layerwright.layers.activation.tanh import Tanh
from layerwright.layers.convolution.conv2d import Conv2d
from layerwright.layers.convolution.conv_block import ConvBlock
from layerwright.layers.linear.linear import Linear
from layerwright.layers.normalization.batch_norm1d import BatchNorm1d
from layerwright.layers.normalization.batch_norm2d import BatchNorm2d
from layerwright.layers.pooling.avg_pool2d import AvgPool2d
from layerwright.layers.pooling.block_pool2d import BlockPool2d
from layerwright.layers.pooling.max_pool2d import MaxPool2d
from layerwright.layers.regularization.dropout import Dropout
from layerwright.networks import NETWORKS, network_class
from layerwright.targets import build_network


def our_layers(*, training: bool) -> Iterator[Case]:
    """Yield a case for each layer and network, in training or eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for name, layer, x in [*_layers(), *_networks()]:
            yield Case(layer.train(training), x, name=name)


def _layers() -> Iterator[tuple[str, nn.Module, torch.Tensor]]:
    vector, image = torch.randn(4, 6), torch.randn(4, 3, 8, 8)
    yield "Linear", Linear(6, 5), vector
    yield "Linear, three dims", Linear(6, 5, bias=False), torch.randn(2, 3, 6)
    yield "Linear, one sample", Linear(6, 5), torch.randn(6)
    yield "Conv2d", Conv2d(3, 4, 3, padding=1), image
    yield "Conv2d, strided", Conv2d(3, 4, 3, stride=2, bias=False), image
    yield "Conv2d, grouped", Conv2d(3, 6, 3, dilation=2, groups=3, padding="same"), image
    yield "Conv2d, one sample", Conv2d(3, 4, 3), torch.randn(3, 8, 8)
    yield "ConvBlock", ConvBlock(3, 4, 3, padding=1), image
    for activation in (ReLU, Sigmoid, Tanh):
        yield activation.__name__, activation(), vector
    yield "BatchNorm1d", BatchNorm1d(6), vector
    yield "BatchNorm2d", BatchNorm2d(3), image
    yield "MaxPool2d", MaxPool2d(2), image
    yield "AvgPool2d", AvgPool2d(2), image
    yield "BlockPool2d", BlockPool2d(4), image
    yield "Dropout", Dropout(0.5), vector


def _networks() -> Iterator[tuple[str, nn.Module, torch.Tensor]]:
    for name in NETWORKS:
        size = getattr(network_class(name), "image_size", None) or 8
        shape = (10,) if name == "linear-regression" else (1, size, size)
        outputs = 1 if name.endswith("regression") else 10
        network = build_network(name, input_shape=shape, num_outputs=outputs)
        yield name, network, torch.randn(4, *shape)
