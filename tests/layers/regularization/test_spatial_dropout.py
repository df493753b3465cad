"""SpatialDropout: whole maps, the right share of them, and nothing in eval."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.regularization.spatial_dropout import SpatialDropout


@settings(deadline=None, max_examples=50)
@given(
    batch=st.sampled_from([None, 0, 1, 3]),
    channels=st.integers(0, 4),
    positions=st.lists(st.integers(0, 3), min_size=1, max_size=3),
    p=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    seed=st.integers(0, 100),
)
def test_each_map_is_kept_or_dropped_as_a_whole(batch, channels, positions, p, seed):
    """Map by map the output is zero or the input divided by 1 - p, as one draw decides."""
    leading = (channels,) if batch is None else (batch, channels)
    x = torch.randn(*leading, *positions, dtype=torch.float64)
    torch.manual_seed(seed)
    y = SpatialDropout(p, len(positions))(x)
    torch.manual_seed(seed)
    ones = (1,) * len(positions)
    kept = torch.rand(*leading, *ones).flatten() < 1 - p if p else torch.ones(leading).flatten()
    maps, wanted = x.reshape(len(kept), -1) if x.numel() else x.reshape(len(kept), 0), []
    for number, keep in enumerate(kept.tolist()):
        wanted.append(maps[number] / (1 - p) if keep else maps[number] * 0)
    wanted = torch.stack(wanted).reshape(x.shape) if wanted else x
    torch.testing.assert_close(y, wanted)


def test_the_share_of_dropped_maps_is_p():
    """Of 40,000 maps about p are dropped, each sample and channel on its own."""
    torch.manual_seed(0)
    y = SpatialDropout(0.3)(torch.ones(200, 200, 2, 2))
    dropped = y[:, :, 0, 0] == 0
    assert dropped.float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert dropped.float().mean(0).std() > 0.01
    assert dropped.float().mean(1).std() > 0.01


def test_agrees_with_torch_on_what_is_possible():
    """As `nn.Dropout2d`, a map holds one value: zero or the scaled one."""
    for layer in (SpatialDropout(0.5), nn.Dropout2d(0.5)):
        torch.manual_seed(1)
        y = layer(torch.ones(20, 30, 4, 4)).flatten(2)
        assert torch.equal(y.amax(-1), y.amin(-1))
        assert set(y.unique().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize(("p", "training"), [(0.5, False), (0.0, True), (1.0, False)])
def test_the_input_itself_comes_back_where_nothing_is_dropped(p, training):
    """No copy is made and no random number drawn in eval mode, nor with p = 0."""
    x = torch.randn(2, 3, 4, 4)
    state = torch.get_rng_state()
    assert SpatialDropout(p).train(training)(x) is x
    assert torch.equal(torch.get_rng_state(), state)


def test_all_is_zero_with_p_one():
    """Zero and finite, also where the input is large."""
    assert SpatialDropout(1.0)(torch.full((2, 3, 4, 4), 1e30)).count_nonzero() == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
def test_dtype_and_mask_do_not_depend_on_each_other(dtype):
    """The output keeps the input's type; the same seed drops the same maps in every type."""
    torch.manual_seed(0)
    wanted = SpatialDropout(0.5)(torch.ones(4, 5, 2, 2)) == 0
    torch.manual_seed(0)
    y = SpatialDropout(0.5)(torch.ones(4, 5, 2, 2, dtype=dtype))
    assert y.dtype == dtype
    assert torch.equal(y == 0, wanted)


def test_gradient_is_the_mask():
    """What was dropped gets no gradient; finite differences agree."""
    layer = SpatialDropout(0.5)

    def seeded(x):
        torch.manual_seed(0)
        return layer(x)

    x = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert gradcheck(seeded, x)
    (gradient,) = torch.autograd.grad(seeded(x).sum(), x)
    assert set(gradient.unique().tolist()) == {0.0, 2.0}


def test_composes_with_compilation_tracing_and_export():
    """Compiled, traced and exported in eval it is the identity; compiled in training it drops."""
    layer, x = SpatialDropout(0.5), torch.ones(4, 8, 3, 3)
    torch._dynamo.reset()
    y = torch.compile(layer, backend="aot_eager", fullgraph=True)(x).flatten(2)
    assert torch.equal(y.amax(-1), y.amin(-1))
    assert set(y.unique().tolist()) == {0.0, 2.0}
    y = torch.fx.symbolic_trace(nn.Sequential(layer))(x).flatten(2)
    assert torch.equal(y.amax(-1), y.amin(-1))
    assert torch.equal(torch.export.export(layer.eval(), (x,)).module()(x), x)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"p": 1.5},
            "SpatialDropout expected p to be a probability in [0, 1], received 1.5.",
        ),
        (
            {"spatial_dims": 4},
            "SpatialDropout expected spatial_dims to be 1, 2 or 3, received 4.",
        ),
    ],
)
def test_impossible_options_are_refused(options, text):
    """The message names the option, what it may be and what it was."""
    with pytest.raises(OptionError) as caught:
        SpatialDropout(**options)
    assert str(caught.value) == text


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(4, 5), (1, 2, 3, 4, 5)])
def test_inputs_that_do_not_fit_are_refused(shape, training):
    """In eval mode too, so that the mistake shows."""
    with pytest.raises(ShapeError) as caught:
        SpatialDropout().train(training)(torch.zeros(shape))
    assert str(caught.value) == (
        f"SpatialDropout expected (N, C, H, W) or (C, H, W), received {shape}. "
        "Fix: add the missing dims, or change spatial_dims."
    )


def test_repr_shows_the_options():
    """Printing shows probability and dims."""
    assert repr(SpatialDropout(0.1, 1)) == "SpatialDropout(p=0.1, spatial_dims=1)"
