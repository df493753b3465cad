"""What text networks promise: padding has no effect, and any length is a length."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from layerwright.errors import OptionError, ShapeError
from layerwright.initialization.recipes import initialize
from layerwright.networks import NETWORKS, network_class
from layerwright.networks.bag_of_ngrams import BagOfNgrams
from layerwright.networks.text_bilstm import TextBiLSTM
from layerwright.networks.text_cnn import TextCNN
from layerwright.networks.text_transformer import TextTransformer

SIZE = 30
TEXTS = ["bag-of-ngrams", "text-bilstm", "text-cnn", "text-transformer"]
ALL = pytest.mark.parametrize("name", TEXTS)


def built(name, **options):
    """A network in double precision and eval mode, with no weight at zero."""
    torch.manual_seed(0)
    network = network_class(name)(SIZE, 3, **options).double().eval()
    if name == "bag-of-ngrams":
        nn.init.normal_(network.weights.weight)
        nn.init.normal_(network.bias)
    return network


def batch():
    """Four texts side by side, with garbage behind their ends."""
    torch.manual_seed(1)
    return torch.randint(1, SIZE, (4, 7)), torch.tensor([7, 3, 1, 0])


@ALL
def test_padding_never_changes_an_answer(name):
    """A text has the answer that it has alone, whatever stands behind it and however far."""
    network = built(name)
    tokens, lengths = batch()
    expected = torch.cat([network(row[None, :n]) for row, n in zip(tokens, lengths, strict=True)])
    assert expected.isfinite().all()
    others = torch.where(torch.arange(7) < lengths[:, None], tokens, (tokens + 5) % SIZE)
    wider = F.pad(others, (0, 4), value=9)
    for padded in (tokens, others, wider):
        torch.testing.assert_close(network(padded, lengths), expected)
    assert (expected[0] - expected[1]).abs().max() > 1e-3
    torch.testing.assert_close(network(tokens[:, :0]), expected[3:].expand(4, 3))


@pytest.mark.parametrize("name", TEXTS[1:])
def test_words_start_small_and_padding_at_zero(name):
    """After the recipe "default" too, which draws what the constructor draws."""
    torch.manual_seed(0)
    network = network_class(name)(5000)
    for _ in range(2):
        table = network.embedding.weight.detach()
        assert table[1:].std().item() == pytest.approx(0.1, rel=0.02)
        assert not table[0].any()
        with torch.no_grad():
            network.embedding.weight.fill_(1.0)
        initialize(network, "default")


@ALL
def test_garbage_gets_no_gradient(name):
    """Only words that stand in a text are learned from, in training mode too."""
    network = built(name).train()
    tokens, lengths = batch()
    network(tokens, lengths).square().sum().backward()
    table = next(module for module in network.modules() if isinstance(module, nn.Embedding))
    learned = table.weight.grad.abs().sum(1).nonzero().flatten().tolist()
    assert set(learned) <= {*tokens[0].tolist(), *tokens[1, :3].tolist(), *tokens[2, :1].tolist()}
    assert learned
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


def test_a_bag_is_logistic_regression_on_rows_of_length_one():
    """The same as a matrix product with zeros and ones, divided by their norm."""
    network = built("bag-of-ngrams")
    sets = [[2, 5, 9, 11], [7]]
    rows = torch.zeros(2, SIZE, dtype=torch.float64)
    for row, numbers in zip(rows, sets, strict=True):
        row[numbers] = 1
    expected = F.normalize(rows) @ network.weights.weight + network.bias
    tokens = torch.tensor([sets[0], [7, 0, 0, 0]])
    torch.testing.assert_close(network(tokens, torch.tensor([4, 1])), expected)
    fresh = BagOfNgrams(SIZE)
    assert not any(parameter.any() for parameter in fresh.parameters())


def test_a_cnn_takes_the_strongest_window():
    """Each window on its own, in a plain loop over words and widths."""
    network = built("text-cnn", kernel_sizes=(1, 2, 5), num_maps=4, embed_dim=6)
    tokens, lengths = batch()
    logits = network(tokens, lengths)
    for row, length, answer in zip(tokens, lengths.tolist(), logits, strict=True):
        words = [network.embedding.weight[token] for token in row[:length]]
        found = []
        for convolution, size in zip(network.convolutions, (1, 2, 5), strict=True):
            strongest = torch.zeros(4, dtype=torch.float64)
            for centre in range(length):
                value = convolution.bias.clone()
                for step in range(size):
                    place = centre + step - (size - 1) // 2
                    if 0 <= place < length:
                        value = value + convolution.weight[:, :, step] @ words[place]
                strongest = torch.maximum(strongest, value)
            found.append(strongest)
        torch.testing.assert_close(answer, network.output(torch.cat(found)))


def test_a_bilstm_is_torchs_with_attention_pooling():
    """`nn.LSTM` on one text, then a softmax by hand."""
    network = built("text-bilstm", embed_dim=6, hidden_size=5, num_layers=2)
    reference = nn.LSTM(6, 5, 2, bidirectional=True, batch_first=True).double()
    reference.load_state_dict(network.bilstm.state_dict())
    tokens, lengths = batch()
    words = network.embedding(tokens[1:2, :3])
    states = reference(words)[0][0]
    pooling = network.pooling
    weights = pooling.score(torch.tanh(pooling.position(states))).softmax(0)
    expected = network.output((weights * states).sum(0))
    torch.testing.assert_close(network(tokens, lengths)[1], expected)


def test_a_transformer_sees_the_order_of_words():
    """Positions matter, and where a text stands among other texts does not."""
    network = built("text-transformer", embed_dim=16)
    tokens, lengths = batch()
    answers = network(tokens, lengths)
    turned = network(tokens.flip(1), torch.full((4,), 7))
    assert (answers[0] - turned[0]).abs().max() > 1e-4
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(network(tokens[order], lengths[order]), answers[order])


@pytest.mark.parametrize(
    ("tokens", "lengths", "message"),
    [
        (
            torch.rand(2, 3),
            None,
            (
                "TextCNN expected tokens to be whole numbers of shape (N, L), received "
                "torch.float32 of shape (2, 3). "
                "Fix: one row of numbers for each text, as a vocabulary gives."
            ),
        ),
        (
            torch.ones(3, dtype=torch.int64),
            None,
            (
                "TextCNN expected tokens to be whole numbers of shape (N, L), received torch.int64 "
                "of shape (3,). Fix: one row of numbers for each text, as a vocabulary gives."
            ),
        ),
        (
            torch.ones(2, 3, dtype=torch.int64),
            torch.tensor([1]),
            (
                "TextCNN expected lengths to be whole numbers of shape (2,), one for each text, "
                "received torch.int64 of shape (1,)."
            ),
        ),
    ],
)
def test_wrong_inputs_are_named(tokens, lengths, message):
    """Shape and dtype of tokens and lengths."""
    with pytest.raises(ShapeError) as caught:
        TextCNN(SIZE)(tokens, lengths)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: BagOfNgrams(0),
            "BagOfNgrams expected vocabulary_size to be a whole number from 1, received 0.",
        ),
        (
            lambda: TextCNN(9, kernel_sizes=()),
            "TextCNN expected the number of kernel_sizes to be a whole number from 1, received 0.",
        ),
        (
            lambda: TextCNN(9, kernel_sizes=(3, 0)),
            "TextCNN expected each of kernel_sizes to be a whole number from 1, received 0.",
        ),
        (
            lambda: TextBiLSTM(9, hidden_size=1.5),
            "TextBiLSTM expected hidden_size to be a whole number from 1, received 1.5.",
        ),
        (
            lambda: TextTransformer(9, num_layers=0),
            "TextTransformer expected num_layers to be a whole number from 1, received 0.",
        ),
        (
            lambda: TextTransformer(9, embed_dim=10, num_heads=4),
            "Attention expected num_heads to divide embed_dim, received 4 and 10.",
        ),
    ],
)
def test_impossible_options_are_named(build, message):
    """The network and the option."""
    with pytest.raises(OptionError) as caught:
        build()
    assert str(caught.value) == message


def test_text_networks_are_found_by_name():
    """They stand in the table, and are told by what they ask for."""
    assert set(TEXTS) <= set(NETWORKS)
