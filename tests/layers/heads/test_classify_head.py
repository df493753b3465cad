"""ClassifyHead: pooling, dropout and a weighted sum, one after another."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.heads.classify_head import ClassifyHead

# torch's own doing: what its compiler uses inside is deprecated
COMPILER = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


@settings(deadline=None, max_examples=40)
@given(
    batch=st.sampled_from([None, 0, 1, 3]),
    channels=st.integers(1, 4),
    size=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pooling=st.sampled_from(["mean", "max"]),
)
def test_scores_are_weighted_sums_of_pooled_maps(batch, channels, size, pooling):
    """Sample by sample and class by class, in plain numbers."""
    head = ClassifyHead(channels, 3, pooling=pooling, dropout=0.9, dtype=torch.float64).eval()
    x = torch.randn(*(() if batch is None else (batch,)), channels, *size, dtype=torch.float64)
    y = head(x)
    assert y.shape == (*x.shape[:-3], 3)
    for maps, scores in zip(x.reshape(-1, channels, *size), y.reshape(-1, 3), strict=True):
        values = [one.flatten().tolist() for one in maps]
        pooled = [max(v) if pooling == "max" else sum(v) / len(v) for v in values]
        wanted = [
            sum(w * h for w, h in zip(row, pooled, strict=True)) + b
            for row, b in zip(head.linear.weight.tolist(), head.linear.bias.tolist(), strict=True)
        ]
        assert scores.tolist() == pytest.approx(wanted)


def test_dropout_acts_on_pooled_values_in_training_only():
    """With all dropped only the bias is left."""
    head = ClassifyHead(4, 3, dropout=1.0)
    x = torch.randn(2, 4, 3, 3)
    assert torch.equal(head(x), head.linear.bias.expand(2, 3))
    assert not torch.equal(head.eval()(x), head.linear.bias.expand(2, 3))


@COMPILER
def test_derivatives_compilation_tracing_and_export():
    """Finite differences agree; compiled, traced and exported it computes the same."""
    head = ClassifyHead(3, 2, dtype=torch.float64)
    x = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert gradcheck(head, x)
    torch._dynamo.reset()
    compiled = torch.compile(head, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), head(x))
    assert torch.equal(torch.fx.symbolic_trace(nn.Sequential(head))(x), head(x))
    torch.testing.assert_close(torch.export.export(head, (x,)).module()(x), head(x))


def test_state_and_types(tmp_path):
    """The state goes round through a file; bfloat16 stays bfloat16."""
    head, fresh = ClassifyHead(3, 2), ClassifyHead(3, 2)
    x = torch.randn(2, 3, 2, 2)
    assert not torch.equal(head(x), fresh(x))
    torch.save(head.state_dict(), tmp_path / "state.pt")
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(head(x), fresh(x))
    assert head.bfloat16()(x.bfloat16()).dtype == torch.bfloat16
    before = fresh.linear.weight.clone()
    fresh.reset_parameters()
    assert not torch.equal(before, fresh.linear.weight)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"in_channels": 0},
            "ClassifyHead expected in_channels to be a whole number from 1, received 0.",
        ),
        (
            {"pooling": "avg"},
            "ClassifyHead expected pooling to be one of mean, max, received 'avg'.",
        ),
        ({"dropout": 2}, "Dropout expected p to be a probability in [0, 1], received 2."),
    ],
)
def test_impossible_options_are_refused(options, text):
    """The message names the option, what it may be and what it was."""
    with pytest.raises(OptionError) as caught:
        ClassifyHead(**{"in_channels": 3, "num_classes": 2, **options})
    assert str(caught.value) == text


@pytest.mark.parametrize("shape", [(3,), (2, 4, 5, 5), (3, 0, 5), (1, 2, 3, 4, 5)])
def test_inputs_that_do_not_fit_are_refused(shape):
    """The message names what fits and the ways out."""
    with pytest.raises(ShapeError) as caught:
        ClassifyHead(3, 2)(torch.zeros(shape))
    assert str(caught.value) == (
        f"ClassifyHead expected (N, 3, H, W) or (3, H, W) with H and W from 1, received {shape}. "
        "Fix: make the channels the third dim from the end, or change in_channels."
    )
