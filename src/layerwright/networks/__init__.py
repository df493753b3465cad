"""Networks built from layerwright's layers, by name.

Every network takes the shape of one sample and the number of classes (or outputs), computes its
own sizes from them, and says what fits when they do not:

    network = network_class("lenet")(input_shape=(3, 32, 32), num_classes=10)

They return logits: the loss applies softmax or sigmoid. Each class has an attribute `image_size`,
the height and width to which small images such as 8x8 digits are scaled for it, or None where it
takes them as they are.
"""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

from layerwright.names import look_up

if TYPE_CHECKING:
    from torch import nn

# Named, not imported: the list of networks is needed where torch is not (--help).
NETWORKS: Mapping[str, str] = MappingProxyType(
    {
        "bag-of-ngrams": "layerwright.networks.bag_of_ngrams:BagOfNgrams",
        "convnet": "layerwright.networks.convnet:ConvNet",
        "customnet": "layerwright.networks.customnet:CustomNet",
        "gated-convnet": "layerwright.networks.gated_convnet:GatedConvNet",
        "lenet": "layerwright.networks.lenet:LeNet",
        "linear-regression": "layerwright.networks.linear_regression:LinearRegression",
        "logistic-regression": "layerwright.networks.logistic_regression:LogisticRegression",
        "lstm-classifier": "layerwright.networks.lstm_classifier:LSTMClassifier",
        "resnet": "layerwright.networks.resnet:ResNet",
        "resnet9": "layerwright.networks.resnet9:ResNet9",
        "simplenet": "layerwright.networks.simplenet:SimpleNet",
        "single-shot-detector": "layerwright.networks.single_shot_detector:SingleShotDetector",
        "softmax-classifier": "layerwright.networks.softmax_classifier:SoftmaxClassifier",
        "text-bilstm": "layerwright.networks.text_bilstm:TextBiLSTM",
        "text-cnn": "layerwright.networks.text_cnn:TextCNN",
        "text-transformer": "layerwright.networks.text_transformer:TextTransformer",
        "tree-lstm-classifier": "layerwright.networks.tree_lstm_classifier:TreeLSTMClassifier",
    }
)

__all__ = ["NETWORKS", "network_class"]


def network_class(name: str) -> "type[nn.Module]":
    """Return the class of a built-in network; this imports torch.

    Args:
        name: one of `NETWORKS`, spelt exactly.

    Raises:
        OptionError: there is no such network; the message holds the nearest name.
    """
    module, _, class_name = look_up("network", name, NETWORKS).partition(":")
    found: type[nn.Module] = getattr(import_module(module), class_name)
    return found
