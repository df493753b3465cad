"""Attention against loops in plain Python, torch's own layer, and its own cache."""

import copy
import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.attention.attention import Attention
from layerwright.layers.attention.key_value_cache import KeyValueCache
from layerwright.layers.attention.masked_attention import join_masks
from layerwright.layers.attention.rotary_positions import RotaryPositions

# torch's own doing: what its compiler uses inside is deprecated
COMPILER = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


def build(*args, **options):
    """A layer in float64 whose biases are not zero."""
    layer = Attention(*args, dtype=torch.float64, **options)
    for projection in (layer.q_proj, layer.v_proj, layer.out_proj):
        if projection.bias is not None:
            nn.init.normal_(projection.bias)
    return layer


def random(*shape):
    """Random numbers in float64."""
    return torch.randn(shape, dtype=torch.float64)


def affine(rows, projection):
    """Rows through a projection, as lists."""
    weight = projection.weight.tolist()
    bias = [0.0] * len(weight) if projection.bias is None else projection.bias.tolist()
    return [
        [
            sum(w * f for w, f in zip(line, row, strict=True)) + b
            for line, b in zip(weight, bias, strict=True)
        ]
        for row in rows
    ]


def attended(layer, query, key, value, added):
    """One sample's answer by loops; `added` is (H, L, S) nested lists, -inf hides."""
    q, k, v = (
        affine(rows.tolist(), projection)
        for rows, projection in (
            (query, layer.q_proj),
            (key, layer.k_proj),
            (value, layer.v_proj),
        )
    )
    d = layer.embed_dim // layer.num_heads
    answers = []
    for i in range(len(q)):
        features, sees = [], False
        for h in range(layer.num_heads):
            shared = h * layer.num_kv_heads // layer.num_heads
            mine = q[i][h * d : (h + 1) * d]
            weights = {}
            for j in range(len(k)):
                if added[h][i][j] > -math.inf:
                    theirs = k[j][shared * d : (shared + 1) * d]
                    dot = sum(a * b for a, b in zip(mine, theirs, strict=True))
                    weights[j] = math.exp(dot / math.sqrt(d) + added[h][i][j])
            sees |= bool(weights)
            features += [
                sum(w * v[j][shared * d + f] for j, w in weights.items())
                / (sum(weights.values()) or 1)
                for f in range(d)
            ]
        out = affine([features], layer.out_proj)[0]
        answers.append(out if sees else [0.0] * layer.embed_dim)
    return answers


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_agrees_with_loops(data):
    """All ways to hide, shared heads, and lengths from zero give what the formula says."""
    size = st.integers(0, 4)
    samples, queries = data.draw(size), data.draw(size)
    causal = data.draw(st.booleans())
    keys = queries if causal else data.draw(size)
    heads, kv_heads = data.draw(st.sampled_from([(1, 1), (2, 2), (2, 1), (4, 2)]))
    torch.manual_seed(data.draw(st.integers(0, 1000)))
    layer = build(8, heads, num_kv_heads=kv_heads, kdim=3, vdim=5, is_causal=causal)
    query, key, value = (
        random(samples, queries, 8),
        random(samples, keys, 3),
        random(samples, keys, 5),
    )
    added = torch.zeros(samples, heads, queries, keys, dtype=torch.float64)
    padding = attn_mask = None
    if data.draw(st.booleans()):
        padding = torch.rand(samples, keys) < 0.5
        added = added.masked_fill(padding[:, None, None], -math.inf)
    kind = data.draw(st.sampled_from([None, (), (heads,), (samples, 1), (samples, heads)]))
    if kind is not None:
        attn_mask = torch.rand(*kind, queries, keys) < 0.5
        numbers = random(*attn_mask.shape) if data.draw(st.booleans()) else torch.zeros(())
        added = (added + numbers).masked_fill(attn_mask, -math.inf)
        if numbers.dim():
            attn_mask = numbers.masked_fill(attn_mask, -math.inf)
    if causal:
        added = added.masked_fill(torch.ones(queries, keys).triu(1).bool(), -math.inf)
    got = layer(query, key, value, key_padding_mask=padding, attn_mask=attn_mask)
    wanted = [
        attended(layer, *sample, added[n].tolist())
        for n, sample in enumerate(zip(query, key, value, strict=True))
    ]
    wanted = torch.tensor(wanted, dtype=torch.float64).reshape(samples, queries, 8)
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_agrees_with_torch(bias, masked):
    """Outputs and gradients are torch's, whose bias of the keys changes nothing."""
    layer = build(8, 2, kdim=3, vdim=5, bias=bias)
    theirs = nn.MultiheadAttention(
        8, 2, kdim=3, vdim=5, bias=bias, batch_first=True, dtype=torch.float64
    )
    with torch.no_grad():
        for name in "qkv":
            weight = getattr(layer, f"{name}_proj").weight
            getattr(theirs, f"{name}_proj_weight").copy_(weight)
        theirs.out_proj.load_state_dict(layer.out_proj.state_dict())
        if bias:
            theirs.in_proj_bias.copy_(torch.cat((layer.q_proj.bias, random(8), layer.v_proj.bias)))
    inputs = [random(3, 4, 8), random(3, 6, 3), random(3, 6, 5)]
    masks = {}
    if masked:
        masks["key_padding_mask"] = torch.arange(6) >= torch.tensor([[6], [2], [1]])
        masks["attn_mask"] = torch.rand(4, 6) < 0.3
        masks["attn_mask"][:, 0] = False  # torch's own gives NaN where nothing is seen
    results = []
    for attend in (layer, lambda *args, **options: theirs(*args, need_weights=False, **options)[0]):
        leaves = [x.clone().requires_grad_() for x in inputs]
        y = attend(*leaves, **masks)
        results.append([y, *torch.autograd.grad(y.sin().sum(), leaves)])
    for ours, wanted in zip(*results, strict=True):
        torch.testing.assert_close(ours, wanted)


@settings(deadline=None, max_examples=25)
@given(
    steps=st.lists(st.integers(0, 3), min_size=1, max_size=5),
    kv_heads=st.sampled_from([1, 2, 4]),
    rotary=st.sampled_from([None, False, True]),
    batch=st.sampled_from([None, 1, 3]),
    padded=st.booleans(),
)
def test_step_by_step_equals_one_causal_pass(steps, kv_heads, rotary, batch, padded):
    """Pieces of any lengths, none too, read with a cache give the outputs of the whole."""
    positions = None if rotary is None else RotaryPositions(2, interleaved=rotary)
    layer = build(8, 4, num_kv_heads=kv_heads, is_causal=True, rotary=positions)
    shape = () if batch is None else (batch,)
    x = random(*shape, sum(steps), 8)
    padding = torch.rand(*shape, sum(steps)) < 0.3 if padded else None
    wanted = layer(x, key_padding_mask=padding)
    cache, pieces, end = layer.empty_cache(batch), [], 0
    for step in steps:
        piece, end = x[..., end : end + step, :], end + step
        mask = padding[..., :end] if padded else None
        y, cache = layer(piece, key_padding_mask=mask, cache=cache)
        pieces.append(y)
        assert cache.length == end
    torch.testing.assert_close(torch.cat(pieces, -2), wanted, rtol=1e-10, atol=1e-10)


def test_a_cache_is_not_changed():
    """A call returns a new cache; the given one can be continued again, another way."""
    layer = build(8, 2, is_causal=True)
    x = random(2, 3, 8)
    _, cache = layer(x, cache=layer.empty_cache(2))
    before = [tensor.clone() for tensor in cache]
    first, _ = layer(x[:, :1], cache=cache)
    layer(x[:, 1:], cache=cache)
    again, _ = layer(x[:, :1], cache=cache)
    assert torch.equal(first, again)
    for tensor, old in zip(cache, before, strict=True):
        assert torch.equal(tensor, old)


def test_without_causality_a_cache_is_seen_whole():
    """Each query of a later piece sees all that was read, and its own piece."""
    layer = build(8, 2)
    x = random(2, 5, 8)
    _, cache = layer(x[:, :3], cache=layer.empty_cache(2))
    y, _ = layer(x[:, 3:], cache=cache)
    torch.testing.assert_close(y, layer(x[:, 3:], x))


HIDES_ALL = {
    "padding": {"key_padding_mask": torch.tensor([[True] * 4, [False] * 4])},
    "bool": {"attn_mask": torch.tensor([True, False])[:, None, None, None].expand(2, 1, 3, 4)},
    "numbers": {"attn_mask": torch.tensor([-math.inf, 0])[:, None, None, None].expand(2, 1, 3, 4)},
    "both": {
        "key_padding_mask": torch.tensor([[True, True, False, False], [False] * 4]),
        "attn_mask": torch.tensor([False, False, True, True])[None].expand(3, 4),
    },
}


@pytest.mark.parametrize("name", HIDES_ALL)
def test_a_query_that_sees_nothing_gives_zeros(name):
    """Not NaN, not the bias; its gradients are zero, and those of others are not."""
    layer = build(8, 2)
    query, key = random(2, 3, 8).requires_grad_(), random(2, 4, 8).requires_grad_()
    y = layer(query, key, **HIDES_ALL[name])
    y.sin().sum().backward()
    assert y[0].abs().max() == 0
    assert query.grad[0].abs().max() == 0
    assert key.grad[0].abs().max() == 0
    assert query.grad[1].abs().min() > 0
    assert all(p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("name", HIDES_ALL)
def test_no_kernel_is_given_an_empty_row(name):
    """The joined mask leaves something to see everywhere, and the rest as it was."""
    masks = {"key_padding_mask": None, "attn_mask": None, **HIDES_ALL[name]}
    mask, blind = join_masks(**masks, first=None, q=random(2, 2, 3, 4), keys=4)
    seen = (mask if mask.dtype == torch.bool else mask > -math.inf).expand(2, 2, 3, 4)
    assert seen[0].all()
    assert seen[1].any(-1).all()
    assert blind.expand(2, 2, 3, 1).flatten(1).tolist() == [[True] * 6, [False] * 6]


def test_a_head_that_sees_nothing_gives_zeros():
    """The other heads of the same query still speak, and the bias is added."""
    layer = build(8, 2)
    x = random(2, 3, 8)
    mask = torch.tensor([True, False])[:, None, None].expand(2, 3, 3)
    first_silent = copy.deepcopy(layer)
    first_silent.out_proj.weight.data[:, :4] = 0
    torch.testing.assert_close(layer(x, attn_mask=mask), first_silent(x))


def test_without_any_key_there_are_zeros():
    """A memory of length zero says nothing; it has no bias to say either."""
    y = build(8, 2)(random(2, 3, 8), random(2, 0, 8))
    assert y.tolist() == torch.zeros(2, 3, 8).tolist()


def test_padding_cannot_be_seen():
    """What stands at hidden positions changes nothing and gets no gradient."""
    layer = build(8, 2, num_kv_heads=1)
    x = random(2, 5, 8).requires_grad_()
    padding = torch.arange(5) >= torch.tensor([[3], [5]])
    other = torch.where(padding[..., None], random(2, 5, 8) * 100, x)
    y = layer(x[:, :2], x, key_padding_mask=padding)
    torch.testing.assert_close(y, layer(x[:, :2], other, key_padding_mask=padding))
    y.sum().backward()
    assert x.grad[0, 3:].abs().max() == 0


def test_one_sample_needs_no_batch():
    """Without a batch dim the answer is that of a batch of one, masks and all."""
    layer = build(8, 2, is_causal=True, rotary=RotaryPositions(4))
    x, padding, mask = random(4, 8), torch.tensor([True, False, False, True]), random(2, 4, 4)
    for options in ({}, {"key_padding_mask": padding}, {"attn_mask": mask}):
        batched = {name: value[None] for name, value in options.items()}
        torch.testing.assert_close(layer(x, **options), layer(x[None], **batched)[0])


def test_positions_are_relative():
    """With rotary positions, a later start changes nothing in what is seen."""
    layer = build(8, 2, is_causal=True, rotary=RotaryPositions(4))
    x = random(1, 6, 8)
    hidden = torch.arange(6) < 2
    late = layer(x, key_padding_mask=hidden[None])[:, 2:]
    torch.testing.assert_close(late, layer(x[:, 2:]))
    assert not torch.allclose(late, build(8, 2, is_causal=True)(x[:, 2:]))


def test_later_positions_are_hidden():
    """The gradient of an output with respect to later inputs is exactly zero."""
    layer = build(8, 2, is_causal=True)
    x = random(1, 5, 8).requires_grad_()
    (grad,) = torch.autograd.grad(layer(x)[0, 2].sum(), x)
    assert grad[0, 3:].abs().max() == 0
    assert grad[0, :3].abs().min() > 0


def test_dropout_acts_in_training_only():
    """Weights are dropped in training, keep their expected sum, and eval is the plain layer."""
    layer = build(8, 1, dropout=0.5, bias=False)
    x = random(1, 1, 8).expand(1, 64, 8)
    plain = layer.eval()(x)
    assert torch.equal(plain, layer(x))
    layer.train()
    # all values are one vector, so an output is it times the sum of 64 weights, each 2/64 or 0
    share = (layer(x) / plain)[0, :, 0]
    assert share.unique().numel() > 5
    # the mean of 4096 weights: 1, with a standard deviation of 1/64
    assert abs(share.mean().item() - 1) < 6 / 64


def test_bfloat16():
    """Half precision is kept and is close to double, with masks and a cache."""
    layer = build(16, 4, num_kv_heads=2, is_causal=True, rotary=RotaryPositions(4))
    half = copy.deepcopy(layer).to(torch.bfloat16)
    x, padding = random(2, 6, 16), torch.arange(6) >= torch.tensor([[6], [4]])
    got = half(x.bfloat16(), key_padding_mask=padding)
    assert got.dtype == torch.bfloat16
    wanted = layer(x, key_padding_mask=padding)
    torch.testing.assert_close(got.double(), wanted, rtol=0.05, atol=0.1)
    y, cache = half(x.bfloat16(), cache=half.empty_cache(2))
    assert {y.dtype, cache.keys.dtype, cache.values.dtype} == {torch.bfloat16}


def test_autocast_with_a_cache():
    """A cache begun in float32 takes up what autocast makes, and the answers stay close."""
    layer = Attention(16, 4, is_causal=True, rotary=RotaryPositions(4))
    x = torch.randn(2, 6, 16)
    cache = layer.empty_cache(2)
    with torch.autocast("cpu", torch.bfloat16):
        first, cache = layer(x[:, :4], cache=cache)
        second, cache = layer(x[:, 4:], cache=cache)
    got = torch.cat((first, second), 1)
    assert {got.dtype, cache.keys.dtype, cache.values.dtype} == {torch.bfloat16}
    torch.testing.assert_close(got.float(), layer(x), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("masked", [True, False])
def test_derivatives_pass_finite_differences(masked):
    """Gradients of inputs, parameters and an added mask agree with finite differences."""
    layer = build(4, 2, num_kv_heads=1, is_causal=True, rotary=RotaryPositions(2))
    x = random(2, 3, 4).requires_grad_()
    padding = torch.tensor([[True, False, False], [True, True, True]]) if masked else None
    added = random(3, 3).requires_grad_() if masked else None
    names, parameters = zip(*layer.named_parameters(), strict=True)

    def run(x, added, *parameters):
        return torch.func.functional_call(
            layer,
            dict(zip(names, parameters, strict=True)),
            (x,),
            {"key_padding_mask": padding, "attn_mask": added},
        )

    assert gradcheck(run, (x, added, *parameters))


@COMPILER
@pytest.mark.parametrize("causal", [True, False])
def test_composes_with_compilation_and_transforms(causal):
    """A compiled graph, a trace and vmap give the eager result, in one graph, with a cache too."""
    layer = build(8, 4, num_kv_heads=2, is_causal=causal, rotary=RotaryPositions(2))
    x, padding = random(3, 4, 8), torch.arange(4) >= torch.tensor([[4], [2], [0]])
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    masks = {"key_padding_mask": padding}
    torch.testing.assert_close(compiled(x, **masks), layer(x, **masks))
    with torch.no_grad():
        _, cache = layer(x, cache=layer.empty_cache(3))
    torch.testing.assert_close(compiled(x, cache=cache), layer(x, cache=cache))
    traced = torch.fx.symbolic_trace(nn.Sequential(layer))
    torch.testing.assert_close(traced(x), layer(x))
    torch.testing.assert_close(torch.func.vmap(layer)(x), layer(x))


@COMPILER
@pytest.mark.parametrize("step", [1, 2])
def test_compiled_steps_take_few_graphs(step):
    """A growing cache is read in one graph a step, and no more than four for all steps."""
    layer, graphs = build(8, 2, is_causal=True, rotary=RotaryPositions(4)), []
    torch._dynamo.reset()

    def counted(graph, _):
        graphs.append(graph)
        return graph

    compiled = torch.compile(layer, backend=counted, fullgraph=True)
    x, cache, pieces = random(2, 8 * step, 8), layer.empty_cache(2), []
    with torch.no_grad():
        for piece in x.split(step, 1):
            y, cache = compiled(piece, cache=cache)
            pieces.append(y)
        torch.testing.assert_close(torch.cat(pieces, 1), layer(x))
    assert len(graphs) <= 4


@COMPILER
def test_exports_a_step_with_free_sizes():
    """One exported step takes caches of any length from two on."""
    layer = build(8, 2, is_causal=True, rotary=RotaryPositions(4)).eval()
    x = random(2, 9, 8)
    with torch.no_grad():
        _, cache = layer(x[:, :3], cache=layer.empty_cache(2))
        length = {2: torch.export.Dim("length", min=2)}
        free = {"query": None, "cache": KeyValueCache(length, length)}
        program = torch.export.export(
            layer, (x[:, 3:4],), {"cache": cache}, dynamic_shapes=free
        ).module()
        _, cache = layer(x[:, :8], cache=layer.empty_cache(2))
        y, cache = program(x[:, 8:], cache=cache)
        torch.testing.assert_close(y, layer(x)[:, 8:])
    assert cache.keys.shape == (2, 2, 9, 4)


@COMPILER
def test_exports_with_free_sizes():
    """One exported program takes other batches, lengths and masks."""
    layer = build(8, 2, is_causal=True, rotary=RotaryPositions(4)).eval()
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
    x, padding = random(3, 4, 8), torch.arange(4) >= torch.tensor([[4], [2], [0]])
    for options in ({}, {"key_padding_mask": padding}):
        free = {"query": {0: batch, 1: length}, **{key: {0: batch, 1: length} for key in options}}
        program = torch.export.export(layer, (x,), options, dynamic_shapes=free).module()
        bigger = {name: torch.rand(5, 7) < 0.5 for name in options}
        y = random(5, 7, 8)
        torch.testing.assert_close(program(y, **bigger), layer(y, **bigger))


def test_state_survives():
    """A state dict, a deep copy and a pickle give the same answers; rotary adds no state."""
    layer = build(8, 2, rotary=RotaryPositions(4))
    x = random(2, 3, 8)
    other = build(8, 2, rotary=RotaryPositions(4))
    other.load_state_dict(layer.state_dict())
    assert len(layer.state_dict()) == 7
    for twin in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), layer(x))


def test_start_is_drawn_anew():
    """`reset_parameters` repeats what a new layer draws; weights keep Xavier's bound."""
    torch.manual_seed(0)
    layer = Attention(32, 4, num_kv_heads=2)
    start = copy.deepcopy(layer.state_dict())
    for parameter in layer.parameters():
        nn.init.ones_(parameter)
    other = copy.deepcopy(layer)
    torch.manual_seed(1)
    layer.reset_parameters()
    torch.manual_seed(1)
    other.reset_parameters()
    for name, value in layer.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])
        assert name.endswith("bias") or not torch.equal(value, start[name])
    assert layer.k_proj.weight.abs().max() <= math.sqrt(6 / (32 + 16))
    assert {bias.abs().max().item() for bias in (layer.q_proj.bias, layer.out_proj.bias)} == {0}


def test_device_and_dtype_reach_everything():
    """Parameters and caches are made where and as they are wanted."""
    layer = Attention(8, 2, device="meta", dtype=torch.bfloat16)
    tensors = [*layer.parameters(), *layer.empty_cache(3)]
    assert {(t.device.type, t.dtype) for t in tensors} == {("meta", torch.bfloat16)}
    assert layer.empty_cache(3).keys.shape == (3, 2, 0, 4)
    assert layer.empty_cache().keys.shape == (2, 0, 4)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"num_heads": 3},
            "Attention expected num_heads to divide embed_dim, received 3 and 8.",
        ),
        (
            {"num_heads": 0},
            "Attention expected num_heads to divide embed_dim, received 0 and 8.",
        ),
        (
            {"num_heads": 4, "num_kv_heads": 3},
            "Attention expected num_kv_heads to divide num_heads, received 3 and 4.",
        ),
        (
            {"num_heads": 2, "rotary": RotaryPositions(2)},
            "Attention expected rotary positions for heads of 4 features, received some for 2.",
        ),
        (
            {"num_heads": 2, "dropout": 1.0},
            "Attention expected dropout to be a probability in [0, 1), received 1.0.",
        ),
    ],
)
def test_impossible_options_are_refused(options, text):
    """The message names the option, what it may be and what it was."""
    with pytest.raises(OptionError) as caught:
        Attention(8, **options)
    assert str(caught.value) == text


AS_MANY = (
    "Attention expected query, key and value of as many samples, and a value for each key, "
    "received {}. Fix: make the dims before the features equal."
)
FEATURES = "Fix: batch first, features last; kdim and vdim say how many features."


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        (
            [(2, 3, 7)],
            (
                "Attention expected query to be (N, length, 8) or (length, 8), "
                f"received (2, 3, 7). {FEATURES}"
            ),
        ),
        (
            [(2, 3, 8), (2, 3, 7)],
            (
                "Attention expected key to be (N, length, 8) or (length, 8), "
                f"received (2, 3, 7). {FEATURES}"
            ),
        ),
        (
            [(2, 3, 8), (2, 3, 8), (8,)],
            (
                "Attention expected value to be (N, length, 8) or (length, 8), "
                f"received (8,). {FEATURES}"
            ),
        ),
        ([(2, 3, 8), (1, 4, 8)], AS_MANY.format("(2, 3, 8), (1, 4, 8) and (1, 4, 8)")),
        ([(2, 3, 8), (2, 4, 8), (2, 3, 8)], AS_MANY.format("(2, 3, 8), (2, 4, 8) and (2, 3, 8)")),
    ],
)
def test_sequences_that_do_not_fit_are_refused(shapes, text):
    """Instead of being broadcast; the message names what fits."""
    with pytest.raises(ShapeError) as caught:
        Attention(8, 2)(*map(torch.zeros, shapes))
    assert str(caught.value) == text


def test_causal_attention_is_within_one_sequence():
    """Two sequences of unequal lengths have no common order."""
    with pytest.raises(ShapeError) as caught:
        Attention(8, 2, is_causal=True)(torch.zeros(2, 3, 8), torch.zeros(2, 4, 8))
    assert str(caught.value) == (
        "Attention expected, being causal, as many queries as keys, received 3 and 4. "
        "Fix: is_causal=False, or an attn_mask that says who sees whom."
    )


@pytest.mark.parametrize(
    ("masks", "text"),
    [
        (
            {"key_padding_mask": torch.zeros(2, 3)},
            (
                "Attention expected key_padding_mask to be torch.bool of shape (2, 3), received "
                "torch.float32 of shape (2, 3). "
                "Fix: one value for each key, True where there is only padding."
            ),
        ),
        (
            {"key_padding_mask": torch.zeros(3, dtype=torch.bool)},
            (
                "Attention expected key_padding_mask to be torch.bool of shape (2, 3), received "
                "torch.bool of shape (3,). "
                "Fix: one value for each key, True where there is only padding."
            ),
        ),
        *(
            (
                {"attn_mask": mask},
                (
                    "Attention expected attn_mask to be torch.bool or floating point and to "
                    f"broadcast to (2, 4, 3, 3), received {mask.dtype} of shape "
                    f"{tuple(mask.shape)}. "
                    "Fix: (queries, keys), with the dims of samples and heads before it."
                ),
            )
            for mask in (
                torch.zeros(3, 3, dtype=torch.long),
                torch.zeros(3),
                torch.zeros(2, 3, 3),
                torch.zeros(1, 2, 4, 3, 3),
            )
        ),
    ],
)
def test_masks_that_do_not_fit_are_refused(masks, text):
    """A mask of numbers for positions, or of the wrong dims, is not guessed at."""
    with pytest.raises(ShapeError) as caught:
        Attention(8, 4)(torch.zeros(2, 3, 8), **masks)
    assert str(caught.value) == text


def test_a_cache_that_does_not_fit_is_refused():
    """Another batch's or another layer's cache is named."""
    layer = Attention(8, 2)
    with pytest.raises(ShapeError) as caught:
        layer(torch.zeros(2, 3, 8), cache=layer.empty_cache(3))
    assert str(caught.value) == (
        "Attention expected a cache of (2, 2, 0, 4), received (3, 2, 0, 4) and (3, 2, 0, 4). "
        "Fix: begin with this layer's empty_cache(batch_size)."
    )


def test_repr_shows_the_options():
    """Printing shows heads, features and causality."""
    text = "8, num_heads=4, num_kv_heads=2, kdim=3, vdim=3, dropout=0.0, is_causal=True"
    assert Attention(8, 4, num_kv_heads=2, kdim=3, is_causal=True).extra_repr() == text
