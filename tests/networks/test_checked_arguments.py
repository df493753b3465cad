"""What networks say about arguments and batches that do not fit, text by text."""

from inspect import signature

import pytest
import torch

from layerwright.errors import OptionError, ShapeError
from layerwright.networks import NETWORKS, network_class
from layerwright.networks.convnet import ConvNet
from layerwright.networks.customnet import CustomNet
from layerwright.networks.lenet import LeNet
from layerwright.networks.linear_regression import LinearRegression
from layerwright.networks.logistic_regression import LogisticRegression
from layerwright.networks.simplenet import SimpleNet
from layerwright.networks.softmax_classifier import SoftmaxClassifier

# Texts and trees differ in size: their networks are not built for one.
SHAPED = [name for name in NETWORKS if "input_shape" in signature(network_class(name)).parameters]


@pytest.mark.parametrize("network", [ConvNet, LeNet, CustomNet])
def test_image_networks_want_three_dims(network):
    """A flat input shape is refused with what is wanted."""
    with pytest.raises(ShapeError) as caught:
        network((784,))
    assert str(caught.value) == (
        f"{network.__name__} expected input_shape to be (channels, height, width), "
        "received (784,). Fix: give images, or use simplenet, which takes any shape."
    )


@pytest.mark.parametrize("shape", [(), (1, 0, 28), (-1, 28, 28), (1.5, 2), 784, "abc"])
@pytest.mark.parametrize("name", SHAPED)
def test_impossible_input_shapes_are_refused(name, shape):
    """Whatever is no shape of a sample gets the same message from every network."""
    network = network_class(name)
    with pytest.raises(ShapeError) as caught:
        network(shape)
    assert str(caught.value) == (
        f"{network.__name__} expected input_shape to hold the sizes of one sample, whole numbers "
        f"from 1, received {shape!r}. Fix: leave the batch dim out, such as (1, 28, 28)."
    )


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: ConvNet(num_classes=0),
            "ConvNet expected num_classes to be a whole number from 1, received 0.",
        ),
        (
            lambda: LeNet(num_classes=2.5),
            "LeNet expected num_classes to be a whole number from 1, received 2.5.",
        ),
        (
            lambda: CustomNet(hidden_units=0),
            "CustomNet expected hidden_units to be a whole number from 1, received 0.",
        ),
        (
            lambda: SimpleNet(hidden_units=-3),
            "SimpleNet expected hidden_units to be a whole number from 1, received -3.",
        ),
        (
            lambda: LinearRegression(num_outputs=0),
            "LinearRegression expected num_outputs to be a whole number from 1, received 0.",
        ),
        (
            lambda: SoftmaxClassifier(num_classes=1),
            "SoftmaxClassifier expected num_classes to be a whole number from 2, received 1.",
        ),
        (
            lambda: LogisticRegression(num_classes=10),
            (
                "LogisticRegression expected num_classes=2 (or 1), received 10. "
                "Fix: use softmax-classifier, its form for more classes."
            ),
        ),
        (
            lambda: CustomNet(dropout=2),
            "Dropout expected p to be a probability in [0, 1], received 2.",
        ),
    ],
)
def test_impossible_options_are_refused(make, text):
    """The message names the option, what it may be and what it was."""
    with pytest.raises(OptionError) as caught:
        make()
    assert str(caught.value) == text


@pytest.mark.parametrize("name", SHAPED)
def test_batches_of_another_shape_are_refused(name):
    """The message tells a missing batch dim from samples of another shape."""
    network = network_class(name)((1, 28, 28))
    start = f"{type(network).__name__} expected a batch of shape (N, 1, 28, 28), received "
    fixes = {
        (1, 28, 28): "add the batch dim of a single sample with x.unsqueeze(0).",
        (4, 3, 32, 32): "build the network with input_shape=(3, 32, 32), or reshape the batch.",
        (4, 784): "build the network with input_shape=(784,), or reshape the batch.",
        (2, 2, 28, 14): "build the network with input_shape=(2, 28, 14), or reshape the batch.",
        (784,): "put the samples along dim 0 and their features along dim 1.",
        (): "put the samples along dim 0 and their features along dim 1.",
    }
    for shape, fix in fixes.items():
        with pytest.raises(ShapeError) as caught:
            network(torch.zeros(shape))
        assert str(caught.value) == f"{start}{shape}. Fix: {fix}"
