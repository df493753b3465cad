"""AdditiveAttentionPooling against loops in plain Python."""

import copy
import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck

from layerwright.errors import ShapeError
from layerwright.layers.attention.additive_attention_pooling import AdditiveAttentionPooling

# torch's own doing: what its compiler uses inside is deprecated
COMPILER = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


def build(query_features=None):
    """A layer of 3 features in float64."""
    return AdditiveAttentionPooling(3, 4, query_features, dtype=torch.float64)


def random(*shape):
    """Random numbers in float64."""
    return torch.randn(shape, dtype=torch.float64)


def pooled(layer, rows, query, hidden):
    """One sequence's answer, and its weights, by loops."""
    weight, bias = layer.position.weight.tolist(), layer.position.bias.tolist()
    if layer.query is not None:
        bias = [
            b + sum(u * q for u, q in zip(line, query, strict=True))
            for b, line in zip(bias, layer.query.weight.tolist(), strict=True)
        ]
    weights = []
    for row, is_hidden in zip(rows, hidden, strict=True):
        inside = [
            math.tanh(b + sum(w * f for w, f in zip(line, row, strict=True)))
            for line, b in zip(weight, bias, strict=True)
        ]
        score = sum(v * z for v, z in zip(layer.score.weight[0].tolist(), inside, strict=True))
        weights.append(0.0 if is_hidden else math.exp(score))
    total = sum(weights) or 1.0
    weights = [weight / total for weight in weights]
    return [
        sum(w * row[f] for w, row in zip(weights, rows, strict=True)) for f in range(3)
    ], weights


@settings(deadline=None, max_examples=40)
@given(
    samples=st.integers(0, 3),
    length=st.integers(0, 5),
    query_features=st.sampled_from([None, 1, 2]),
    share_hidden=st.sampled_from([None, 0.0, 0.5, 1.0]),
    seed=st.integers(0, 1000),
)
def test_agrees_with_loops(samples, length, query_features, share_hidden, seed):
    """Answers and weights are the formula's, for lengths from zero and masks that hide all."""
    torch.manual_seed(seed)
    layer, x = build(query_features), random(samples, length, 3)
    query = None if query_features is None else random(samples, query_features)
    mask = None if share_hidden is None else torch.rand(samples, length) < share_hidden
    got = layer(x, query, key_padding_mask=mask)
    weights = layer.weights(x, query, key_padding_mask=mask)
    assert got.shape == (samples, 3)
    assert weights.shape == (samples, length)
    for n in range(samples):
        wanted = pooled(
            layer,
            x[n].tolist(),
            None if query is None else query[n].tolist(),
            [False] * length if mask is None else mask[n].tolist(),
        )
        assert got[n].tolist() == pytest.approx(wanted[0], rel=1e-10, abs=1e-12)
        assert weights[n].tolist() == pytest.approx(wanted[1], rel=1e-10)


def test_nothing_to_see_gives_zeros():
    """A sequence that is empty or all hidden gives zeros, and gradients that are finite."""
    layer = build()
    x = random(2, 3, 3).requires_grad_()
    y = layer(x, key_padding_mask=torch.tensor([[True] * 3, [True, False, True]]))
    y.sin().sum().backward()
    assert y[0].tolist() == [0, 0, 0]
    assert torch.equal(y[1], x[1, 1])
    assert x.grad[0].abs().max() == 0
    assert x.grad[1, ::2].abs().max() == 0
    assert all(p.grad.isfinite().all() for p in layer.parameters())
    assert layer(random(2, 0, 3)).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert layer(random(0, 3)).tolist() == [0, 0, 0]


def test_no_nan_is_met_on_the_way():
    """Anomaly detection, which looks at each step of backward, sees none where all is hidden."""
    layer, x = build(), random(2, 3, 3).requires_grad_()
    torch.autograd.set_detect_anomaly(True)
    try:
        layer(x, key_padding_mask=torch.ones(2, 3, dtype=torch.bool)).sum().backward()
    finally:
        torch.autograd.set_detect_anomaly(False)


def test_one_sample_needs_no_batch():
    """Without a batch dim the answer is that of a batch of one, query and mask too."""
    layer, x, query = build(2), random(4, 3), random(2)
    mask = torch.tensor([False, True, False, False])
    got = layer(x, query, key_padding_mask=mask)
    torch.testing.assert_close(got, layer(x[None], query[None], key_padding_mask=mask[None])[0])


def test_large_scores_do_not_overflow():
    """Scores of thousands choose one position, in half precision too."""
    layer = AdditiveAttentionPooling(3, 4)
    nn.init.constant_(layer.score.weight, 5000)
    layer.to(torch.bfloat16)
    weights = layer.weights(torch.randn(2, 5, 3, dtype=torch.bfloat16))
    assert weights.dtype == torch.bfloat16
    torch.testing.assert_close(weights.float().sum(-1), torch.ones(2), rtol=0, atol=0.02)


def test_bfloat16_and_autocast_stay_close():
    """Half precision and autocast give nearly what double gives."""
    layer, x = build(), random(2, 5, 3)
    wanted = layer(x).float()
    half = copy.deepcopy(layer).bfloat16()(x.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), wanted, rtol=0.05, atol=0.05)
    single = copy.deepcopy(layer).float()
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(single(x.float()).float(), wanted, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("masked", [True, False])
def test_derivatives_pass_finite_differences(masked):
    """Gradients of inputs and parameters agree with finite differences."""
    layer = build(2)
    x, query = random(2, 3, 3).requires_grad_(), random(2, 2).requires_grad_()
    mask = torch.tensor([[False, True, False], [True] * 3]) if masked else None
    names, parameters = zip(*layer.named_parameters(), strict=True)

    def run(x, query, *parameters):
        tensors = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(layer, tensors, (x, query), {"key_padding_mask": mask})

    assert gradcheck(run, (x, query, *parameters))


@COMPILER
def test_composes_with_compilation_export_and_vmap():
    """A compiled graph, an exported one of free sizes, a trace and vmap give the eager result."""
    layer, x = build(), random(3, 4, 3)
    options = {"key_padding_mask": torch.arange(4) >= torch.tensor([[4], [2], [0]])}
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, **options), layer(x, **options))
    torch.testing.assert_close(torch.fx.symbolic_trace(nn.Sequential(layer))(x), layer(x))
    torch.testing.assert_close(torch.func.vmap(layer)(x), layer(x))
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    free = {"x": sizes, "key_padding_mask": sizes}
    program = torch.export.export(layer, (x,), options, dynamic_shapes=free).module()
    x, mask = random(5, 7, 3), torch.rand(5, 7) < 0.5
    torch.testing.assert_close(program(x, key_padding_mask=mask), layer(x, key_padding_mask=mask))


def test_state_survives():
    """A state dict, a deep copy and a pickle give the same answers."""
    layer, other, x, query = build(2), build(2), random(2, 3, 3), random(2, 2)
    other.load_state_dict(layer.state_dict())
    for twin in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x, query), layer(x, query))


def test_reset_draws_all_parameters():
    """`reset_parameters` leaves nothing as it was."""
    layer = build(2)
    before = copy.deepcopy(layer.state_dict())
    layer.reset_parameters()
    assert len(before) == 4
    for name, value in layer.state_dict().items():
        assert not torch.equal(value, before[name])


@pytest.mark.parametrize(
    ("query_features", "shape", "query", "text"),
    [
        (
            None,
            (2, 3, 4),
            None,
            (
                "AdditiveAttentionPooling expected x to be (N, L, 3) or (L, 3), received "
                "(2, 3, 4). Fix: batch first, features last, or build it with other in_features."
            ),
        ),
        *(
            (
                query_features,
                (2, 3, 3),
                query,
                (
                    f"AdditiveAttentionPooling expected query to be {wanted}, received {query}. "
                    "Fix: query_features says how many features it has, None that there is none."
                ),
            )
            for query_features, query, wanted in (
                (None, (2, 4), None),
                (4, None, (2, 4)),
                (4, (1, 4), (2, 4)),
                (4, (4,), (2, 4)),
            )
        ),
    ],
)
def test_inputs_that_do_not_fit_are_refused(query_features, shape, query, text):
    """A query for nobody, a missing one, or one that would be broadcast, is named."""
    with pytest.raises(ShapeError) as caught:
        AdditiveAttentionPooling(3, 4, query_features)(
            torch.zeros(shape), None if query is None else torch.zeros(query)
        )
    assert str(caught.value) == text


def test_masks_that_do_not_fit_are_refused():
    """A mask of another shape is named with its layer."""
    with pytest.raises(ShapeError) as caught:
        AdditiveAttentionPooling(3, 4)(
            torch.zeros(2, 3, 3), key_padding_mask=torch.zeros(3, dtype=torch.bool)
        )
    assert str(caught.value) == (
        "AdditiveAttentionPooling expected key_padding_mask to be torch.bool of shape (2, 3), "
        "received torch.bool of shape (3,). "
        "Fix: one value for each key, True where there is only padding."
    )


def test_repr_shows_the_options():
    """Printing shows the sizes."""
    assert build(2).extra_repr() == "3, hidden_features=4, query_features=2"
