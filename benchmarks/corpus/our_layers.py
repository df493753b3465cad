"""Every layer and network of this project, with inputs of the forms that matter."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from layerwright.contract.case import Case
from layerwright.layers.activation.relu import ReLU
from layerwright.layers.activation.sigmoid import Sigmoid
from layerwright.layers.activation.tanh import Tanh
from layerwright.layers.attention.additive_attention_pooling import AdditiveAttentionPooling
from layerwright.layers.attention.attention import Attention
from layerwright.layers.attention.key_value_cache import KeyValueCache
from layerwright.layers.attention.rotary_positions import RotaryPositions
from layerwright.layers.convolution.conv2d import Conv2d
from layerwright.layers.convolution.conv_block import ConvBlock
from layerwright.layers.gating.gated_conv2d import GatedConv2d
from layerwright.layers.gating.gated_linear_unit import ACTIVATIONS, GatedLinearUnit
from layerwright.layers.gating.highway import Highway
from layerwright.layers.gating.squeeze_excite import SqueezeExcite
from layerwright.layers.heads.classify_and_locate_head import ClassifyAndLocateHead
from layerwright.layers.heads.classify_head import ClassifyHead
from layerwright.layers.linear.linear import Linear
from layerwright.layers.normalization.batch_norm1d import BatchNorm1d
from layerwright.layers.normalization.batch_norm2d import BatchNorm2d
from layerwright.layers.normalization.group_norm import GroupNorm
from layerwright.layers.normalization.layer_norm import LayerNorm
from layerwright.layers.normalization.rms_norm import RMSNorm
from layerwright.layers.pooling.avg_pool2d import AvgPool2d
from layerwright.layers.pooling.block_pool2d import BlockPool2d
from layerwright.layers.pooling.max_pool2d import MaxPool2d
from layerwright.layers.pooling.pool_to_size2d import PoolToSize2d
from layerwright.layers.recurrent.bigru import BiGRU
from layerwright.layers.recurrent.bilstm import BiLSTM
from layerwright.layers.recurrent.gru import GRU
from layerwright.layers.recurrent.lstm import LSTM
from layerwright.layers.recurrent.lstm_cell import LSTMCell
from layerwright.layers.recurrent.transducer_joint import TransducerJoint
from layerwright.layers.recurrent.transducer_loss import TransducerLoss
from layerwright.layers.recurrent.tree_lstm import TreeLSTM
from layerwright.layers.regularization.dropout import Dropout
from layerwright.layers.regularization.spatial_dropout import SpatialDropout
from layerwright.layers.regularization.spectral_bound import SpectralBound, bound_spectral_norm
from layerwright.layers.regularization.weight_standardization import (
    WeightStandardization,
    standardize_weight,
)
from layerwright.layers.residual.layer_scale import LayerScale
from layerwright.layers.residual.padded_shortcut import PaddedShortcut
from layerwright.layers.residual.residual import Residual
from layerwright.layers.residual.reversible_block import ReversibleBlock
from layerwright.layers.residual.reversible_sequence import ReversibleSequence
from layerwright.layers.residual.stochastic_depth import StochasticDepth
from layerwright.networks import NETWORKS, network_class
from layerwright.targets import build_network

# As many kinds of parts as by default, and fewer of each.
SMALL_OPTIONS: dict[str, dict[str, Any]] = {
    "gated-convnet": {"widths": (4, 6)},
    "resnet": {"depth": 8, "width": 4},
    "resnet9": {"width": 4},
    "single-shot-detector": {"width": 4},
}
TEXT_NETWORKS = ("bag-of-ngrams", "lstm-classifier", "text-bilstm", "text-cnn", "text-transformer")
TREE_NETWORK = "tree-lstm-classifier"


def our_layers(*, training: bool) -> Iterator[Case]:
    """Yield a case for each layer and network, in training or eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        families = (
            _layers, _normalization, _regularization, _heads, _reversible, _attention, _gating,
            _residual, _recurrent, _networks, _text_networks, _tree_network,
        )  # fmt: skip
        rows = [row for family in families for row in family()]
        for name, layer, x, *more in rows:
            kwargs, given = (*more, {}, {})[:2]
            yield Case(layer.train(training), x, kwargs, traits=given, name=name)


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


def _normalization() -> Iterator[tuple[str, nn.Module, torch.Tensor]]:
    vector, sequence, image = torch.randn(4, 6), torch.randn(2, 5, 6), torch.randn(4, 6, 5, 7)
    yield "LayerNorm", LayerNorm(6), vector
    yield "LayerNorm, sequence", LayerNorm(6), sequence
    yield "LayerNorm, two dims", LayerNorm((5, 6), bias=False), sequence
    yield "LayerNorm, one sample", LayerNorm(6), torch.randn(6)
    yield "LayerNorm, not learned", LayerNorm(6, elementwise_affine=False), vector
    yield "RMSNorm", RMSNorm(6), vector
    yield "RMSNorm, two dims", RMSNorm((5, 6)), sequence
    yield "RMSNorm, not learned", RMSNorm(6, elementwise_affine=False), vector
    yield "GroupNorm", GroupNorm(3, 6), image
    yield "GroupNorm, one group", GroupNorm(1, 6), vector
    yield "GroupNorm, not learned", GroupNorm(6, 6, affine=False), torch.randn(1, 6, 4)
    yield "PoolToSize2d, max", PoolToSize2d(2), image
    yield "PoolToSize2d, mean", PoolToSize2d((2, 3), mode="mean"), image
    yield "PoolToSize2d, one sample", PoolToSize2d(7), torch.randn(3, 5, 5)


def _regularization() -> Iterator[tuple[str, nn.Module, torch.Tensor]]:
    image, weight = torch.randn(4, 3, 8, 8), torch.randn(6, 3, 3, 3)
    yield "SpatialDropout", SpatialDropout(0.5), image
    yield "SpatialDropout, sequences", SpatialDropout(0.3, spatial_dims=1), torch.randn(4, 8, 5)
    yield "SpatialDropout, one sample", SpatialDropout(0.5), torch.randn(16, 4, 4)
    yield "WeightStandardization", WeightStandardization(), weight
    yield "standardize_weight", standardize_weight(Conv2d(3, 4, 3)), image
    yield "SpectralBound", SpectralBound(weight), weight
    yield "bound_spectral_norm", bound_spectral_norm(Linear(6, 5), 0.5), torch.randn(4, 6)
    yield "bound_spectral_norm, kernel", bound_spectral_norm(Conv2d(3, 4, 3), 0.3), image


def _attention() -> Iterator[tuple[Any, ...]]:
    x, memory, heads = torch.randn(4, 6, 8), torch.randn(4, 5, 12), torch.randn(2, 3, 5, 4)
    padding = {"key_padding_mask": torch.arange(6) >= torch.tensor([[6], [4], [1], [3]])}
    rotary, cached = RotaryPositions(4), KeyValueCache(*torch.randn(2, 4, 2, 5, 4))
    yield "Attention", Attention(8, 2), x
    yield "Attention, causal", Attention(8, 2, is_causal=True, rotary=rotary), x
    yield "Attention, padded", Attention(8, 4, num_kv_heads=2, dropout=0.1), x, padding
    yield "Attention, to another sequence", Attention(8, 2, kdim=12, bias=False), (x, memory)
    yield "Attention, added mask", Attention(8, 2), x, {"attn_mask": torch.randn(6, 6)}
    yield "Attention, cached", Attention(8, 2, is_causal=True), x[:, :2], {"cache": cached}
    yield "Attention, one sample", Attention(8, 2), x[0]
    yield "Attention, length one", Attention(8, 2, is_causal=True), x[:1, :1]
    yield "RotaryPositions", rotary, heads
    yield "RotaryPositions, starts", rotary, (heads, torch.tensor([[3], [0]]))
    yield "RotaryPositions, interleaved", RotaryPositions(4, interleaved=True), heads
    yield "AdditiveAttentionPooling", AdditiveAttentionPooling(8, 5), x
    yield "AdditiveAttentionPooling, padded", AdditiveAttentionPooling(8, 5), x, padding
    asked = AdditiveAttentionPooling(8, 5, query_features=7)
    yield "AdditiveAttentionPooling, query", asked, (x, torch.randn(4, 7)), padding
    yield "AdditiveAttentionPooling, length one", AdditiveAttentionPooling(8, 5), x[:, :1]
    yield "AdditiveAttentionPooling, one sample", AdditiveAttentionPooling(8, 5), x[0]


def _gating() -> Iterator[tuple[Any, ...]]:
    vector, image = torch.randn(4, 6), torch.randn(4, 6, 5, 5)
    for name in ACTIVATIONS:
        yield f"GatedLinearUnit, {name}", GatedLinearUnit(6, activation=name), vector
    yield "GatedLinearUnit, sizes", GatedLinearUnit(6, 5, 3, bias=False), torch.randn(4, 3, 6)
    yield "GatedLinearUnit, one sample", GatedLinearUnit(6), vector[0]
    yield "GatedConv2d", GatedConv2d(6, 4, 3, padding=1), image
    yield "GatedConv2d, strided", GatedConv2d(6, 4, 3, 2, bias=False), image
    yield "GatedConv2d, one sample", GatedConv2d(6, 4, 3), image[0]
    yield "Highway", Highway(6), vector
    yield "Highway, sequence", Highway(6, activation="tanh"), torch.randn(2, 3, 6)
    yield "Highway, one sample", Highway(6), vector[0]
    yield "SqueezeExcite", SqueezeExcite(6), image
    yield "SqueezeExcite, one sample", SqueezeExcite(6), image[0]
    yield "SqueezeExcite, one pixel", SqueezeExcite(6), image[:1, :, :1, :1]


def _residual() -> Iterator[tuple[Any, ...]]:
    x, image = torch.randn(4, 6, 8), torch.randn(2, 3, 6, 6)
    branch, norm = GatedLinearUnit(8), LayerNorm(8)
    yield "LayerScale", LayerScale(8), x
    yield "LayerScale, maps", LayerScale(3, dim=-3), image
    yield "LayerScale, one sample", LayerScale(8), x[0, 0]
    yield "PaddedShortcut", PaddedShortcut(3, 5, 2), image
    yield "PaddedShortcut, one sample", PaddedShortcut(3, 3, 2), image[0]
    yield "StochasticDepth", StochasticDepth(0.5), x
    yield "StochasticDepth, batch of one", StochasticDepth(0.5), x[:1]
    yield "Residual", Residual(branch), x
    whole = Residual(branch, norm=norm, layer_scale=LayerScale(8), drop_probability=0.2)
    yield "Residual, pre-norm", whole, x
    yield "Residual, post-norm", Residual(branch, norm=norm, norm_first=False), x
    shortcut = Conv2d(3, 4, 1, stride=2)
    yield "Residual, shortcut", Residual(Conv2d(3, 4, 3, 2, 1), shortcut=shortcut), image
    padding = {"key_padding_mask": torch.arange(6) >= torch.tensor([[6], [4], [1], [3]])}
    yield "Residual, attention", Residual(Attention(8, 2), norm=norm), x, padding
    yield "Residual, one sample", Residual(branch), x[0]


def _recurrent() -> Iterator[tuple[Any, ...]]:
    x, lengths = torch.randn(4, 5, 3), torch.tensor([5, 2, 0, 3])
    mask = {"mask": torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 1, 0], [0] * 5, [1, 0, 1, 0, 1]]) > 0}
    for cls in (LSTM, BiLSTM, GRU, BiGRU):
        name = cls.__name__
        yield name, cls(3, 4), x
        yield f"{name}, lengths", cls(3, 4, 2, dropout=0.5), (x, lengths)
        yield f"{name}, mask", cls(3, 4), x, mask
        yield f"{name}, batch of one", cls(3, 4), (x[:1], lengths[:1])
        yield f"{name}, length one", cls(3, 4, bias=False), (x[:, :1], lengths.clamp(max=1))
        yield f"{name}, one sample", cls(3, 4), (x[0], lengths[1])
    yield "LSTMCell", LSTMCell(3, 4), x[0]
    yield "LSTMCell, state", LSTMCell(3, 4), (x[0], (torch.randn(5, 4), torch.randn(5, 4)))
    yield "LSTMCell, one sample", LSTMCell(3, 4, bias=False), x[0, 0]
    by_depth = {"data_dependent_shape": True}  # as many steps as the deepest tree has levels
    for name, parent in (
        ("forest", [3, -1, 1, 1, 2, 3, -1, 6]),
        ("chain", [1, 2, 3, -1]),
        ("single node", [-1]),
    ):
        nodes = torch.randn(len(parent), 3), torch.tensor(parent)
        yield f"TreeLSTM, {name}", TreeLSTM(3, 5), nodes, {}, by_depth
    encoded, predicted = torch.randn(4, 5, 6), torch.randn(4, 3, 4)
    yield "TransducerJoint", TransducerJoint(6, 4, 8, 5), (encoded, predicted)
    yield "TransducerJoint, one sample", TransducerJoint(6, 4, 8, 5), (encoded[0], predicted[0])
    logits, targets = torch.randn(4, 5, 3, 6), torch.randint(1, 6, (4, 2))
    ends = torch.tensor([5, 1, 3, 4]), torch.tensor([2, 1, 0, 2])
    yield "TransducerLoss", TransducerLoss(), (logits, targets, *ends)
    yield "TransducerLoss, samples", TransducerLoss(reduction="none"), (logits, targets, *ends)
    one = logits[1, :1], targets[1], ends[0][1], ends[1][1]
    yield "TransducerLoss, one frame", TransducerLoss(), one


def _heads() -> Iterator[tuple[str, nn.Module, torch.Tensor]]:
    maps, anchors = torch.randn(3, 6, 5, 4), [(0.2, 0.2), (0.4, 0.3)]
    yield "ClassifyHead", ClassifyHead(6, 4, dropout=0.2), maps
    yield "ClassifyHead, max", ClassifyHead(6, 4, pooling="max"), maps
    yield "ClassifyHead, one sample", ClassifyHead(6, 4), torch.randn(6, 5, 4)
    yield "ClassifyAndLocateHead", ClassifyAndLocateHead(6, 4, anchors), maps
    yield "ClassifyAndLocateHead, one box", ClassifyAndLocateHead(6, 1, [(0.3, 0.3)]), maps[:1]


def _reversible() -> Iterator[tuple[str, nn.Module, torch.Tensor]]:
    def branch(*steps: nn.Module) -> nn.Module:
        return nn.Sequential(*steps)

    def block() -> ReversibleBlock:
        return ReversibleBlock(branch(LayerNorm(3), Linear(3, 3)), branch(Linear(3, 3), Tanh()))

    image = torch.randn(3, 4, 5, 5)
    maps = [branch(BatchNorm2d(2), ReLU(), Conv2d(2, 2, 3, padding=1)) for _ in range(2)]
    noisy = branch(Linear(3, 3), Dropout(0.5))
    yield "ReversibleBlock", block(), torch.randn(4, 6)
    yield "ReversibleBlock, images", ReversibleBlock(*maps), image
    yield "ReversibleBlock, dropout", ReversibleBlock(noisy, Linear(3, 3)), torch.randn(4, 6)
    last = ReversibleBlock(Linear(3, 3), Linear(3, 3), dim=-1)
    yield "ReversibleBlock, one sample", last, torch.randn(6)
    yield "ReversibleSequence", ReversibleSequence(block(), block(), block()), torch.randn(4, 6)


def _networks() -> Iterator[tuple[str, nn.Module, torch.Tensor]]:
    for name in NETWORKS:
        if name in (*TEXT_NETWORKS, TREE_NETWORK):
            continue
        size = getattr(network_class(name), "image_size", None) or 8
        shape = (10,) if name == "linear-regression" else (1, size, size)
        outputs = 1 if name.endswith("regression") else 10
        small = SMALL_OPTIONS.get(name)
        network = build_network(name, input_shape=shape, num_outputs=outputs, options=small)
        yield name, network, torch.randn(4, *shape)
    x = torch.randn(4, 3, 16, 16)
    for name, small in SMALL_OPTIONS.items():
        network = build_network(name, input_shape=(3, 16, 16), num_outputs=5, options=small)
        yield f"{name}, three channels", network, x
        yield f"{name}, batch of one", network, x[:1]
    mirrored = {"width": 4, "mirrored": True}
    network = build_network("resnet9", input_shape=(3, 16, 16), num_outputs=5, options=mirrored)
    yield "resnet9, mirrored", network, x


# A text of one word leaves nothing to attend to, and no state to carry on.
_UNUSED_BY_ONE_WORD = ("*.q_proj.*", "*.k_proj.*", "*.weight_hh_*", "pooling.*")


def _text_networks() -> Iterator[tuple[Any, ...]]:
    tokens, lengths = torch.randint(1, 20, (4, 6)), torch.tensor([6, 1, 0, 4])
    for name in TEXT_NETWORKS:
        network = build_network(name, num_outputs=3, vocabulary_size=20)
        yield name, network, (tokens, lengths)
        yield f"{name}, no padding", network, tokens
        alone = {"unused_parameters": _UNUSED_BY_ONE_WORD}
        yield f"{name}, length one", network, (tokens[:, :1], lengths.clamp(max=1)), {}, alone
        yield f"{name}, batch of one", network, (tokens[:1], lengths[:1])


def _tree_network() -> Iterator[tuple[Any, ...]]:
    by_depth = {"data_dependent_shape": True}  # as TreeLSTM: the deepest tree decides
    for name, tokens, parent in (
        (
            "trees",
            [[6, 1, 7, 2, 3], [1, 0, 0, 0, 0], [0] * 5],
            [[-1, 0, 0, 2, 2], [-1] * 5, [0] * 5],
        ),
        ("a chain", [[6, 7, 8]], [[-1, 0, 1]]),
        ("a single node", [[4]], [[-1]]),
    ):
        network = build_network(TREE_NETWORK, num_outputs=3, vocabulary_size=10)
        trees = torch.tensor(tokens), torch.tensor(parent)
        yield f"{TREE_NETWORK}, {name}", network, trees, {}, by_depth
