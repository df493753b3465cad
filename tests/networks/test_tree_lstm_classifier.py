"""Classifiers of trees and of sequences: a row's answer is that of its tree or sequence alone."""

import pytest
import torch
from torch import nn

from layerwright.errors import OptionError, ShapeError
from layerwright.networks.lstm_classifier import LSTMClassifier
from layerwright.networks.tree_lstm_classifier import TreeLSTMClassifier

# nodes and parents of max(3, sum(1, 4)), of a digit, of two trees side by side, of none
TOKENS = torch.tensor([[6, 4, 8, 2, 5], [3, 0, 0, 0, 0], [7, 1, 1, 6, 2], [0, 0, 0, 0, 0]])
PARENTS = torch.tensor([[-1, 0, 0, 2, 2], [-1, 9, 0, 0, 0], [-1, 0, 0, -1, 3], [0, 1, 2, 3, 4]])


@pytest.fixture
def network():
    torch.manual_seed(0)
    return TreeLSTMClassifier(10, 3, embed_dim=4, hidden_size=5).double()


def test_each_tree_is_read_by_itself(network):
    """Padding and the other trees of a batch have no effect; states of several roots add up."""
    answers = network(TOKENS, PARENTS)
    for row, size in enumerate([5, 1, 5, 0]):
        x = network.embedding(TOKENS[row, :size])
        h, _ = network.tree_lstm(x, PARENTS[row, :size])
        alone = network.output(h[PARENTS[row, :size] == -1].sum(0))
        torch.testing.assert_close(answers[row], alone)
    assert torch.equal(answers[3], network.output.bias)
    torch.testing.assert_close(network(TOKENS[:1], PARENTS[:1]), answers[:1])


def test_the_order_of_nodes_and_children_has_no_effect(network):
    """A tree is what it is, however its nodes are numbered."""
    order = torch.tensor([4, 2, 0, 3, 1])  # new place -> old place; the root stands in the middle
    places = order.argsort()
    parents = PARENTS[:1, order]
    renumbered = torch.where(parents < 0, parents, places[parents.clamp(min=0)])
    torch.testing.assert_close(
        network(TOKENS[:1, order], renumbered), network(TOKENS[:1], PARENTS[:1])
    )


def test_the_structure_matters(network):
    """The same nodes in another tree get another answer."""
    chain = torch.tensor([[-1, 0, 1, 2, 3]])
    assert not torch.allclose(network(TOKENS[:1], chain), network(TOKENS[:1], PARENTS[:1]))


@pytest.mark.parametrize(
    ("tokens", "parents", "text"),
    [
        (
            TOKENS[0],
            PARENTS[0],
            (
                "TreeLSTMClassifier expected tokens and parent of one shape (N, L), "
                "received (5,) and (5,)."
            ),
        ),
        (
            TOKENS[:1],
            PARENTS[:1] + 3,
            ("TreeLSTMClassifier expected parents from -1 (a root) to 4, received 2 to 5."),
        ),
        (
            TOKENS[:1],
            torch.tensor([[1, 0, -1, -1, -1]]),
            (
                "TreeLSTM expected trees, received a circle: node 0 has no root above it. "
                "Fix: parent is -1 at the root of each tree."
            ),
        ),
    ],
)
def test_what_is_no_tree_is_refused(network, tokens, parents, text):
    """A parent in another row would join two samples."""
    with pytest.raises(ShapeError) as caught:
        network(tokens, parents)
    assert str(caught.value) == text


@pytest.mark.parametrize("build", [TreeLSTMClassifier, LSTMClassifier])
def test_impossible_options_are_refused(build):
    """The message names the network and the option."""
    with pytest.raises(OptionError) as caught:
        build(10, 5, hidden_size=0)
    assert str(caught.value) == (
        f"{build.__name__} expected hidden_size to be a whole number from 1, received 0."
    )


def test_sequences_are_those_of_torch():
    """Each is read by itself, up to its end; one of no tokens gets the answer to zeros."""
    torch.manual_seed(0)
    network = LSTMClassifier(10, 3, embed_dim=4, hidden_size=5, num_layers=2).double()
    reference = nn.LSTM(4, 5, 2).double()
    reference.load_state_dict(network.lstm.state_dict())
    tokens, lengths = torch.randint(10, (4, 6)), torch.tensor([6, 1, 0, 4])
    answers = network(tokens, lengths)
    for row, length in enumerate(lengths.tolist()):
        h = torch.zeros(5).double()
        if length:
            h = reference(network.embedding(tokens[row, :length]))[1][0][-1]
        torch.testing.assert_close(answers[row], network.output(h))
    torch.testing.assert_close(network(tokens[:1]), answers[:1])
