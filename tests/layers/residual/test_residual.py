"""Residual: what it adds to what, in which order, and what it refuses."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.attention.attention import Attention
from layerwright.layers.residual.layer_scale import LayerScale
from layerwright.layers.residual.residual import Residual
from layerwright.layers.residual.stochastic_depth import StochasticDepth

# torch's own doing: what its compiler uses inside is deprecated
COMPILER = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


def parts():
    """A branch, a norm and a scale of 4 features, with parameters that are not their start."""
    branch, norm, scale = nn.Linear(4, 4), nn.LayerNorm(4), LayerScale(4)
    for module in (norm, scale):
        for parameter in module.parameters():
            nn.init.normal_(parameter)
    return [module.double() for module in (branch, norm, scale)]


@pytest.mark.parametrize("shape", [(4,), (0, 4), (1, 4), (3, 2, 4)])
def test_pre_norm_and_post_norm(shape):
    """Pre-norm normalises what the branch reads, post-norm the sum; the scale is the branch's."""
    branch, norm, scale = parts()
    x = torch.randn(shape, dtype=torch.float64)
    layer = Residual(branch, norm=norm, layer_scale=scale)
    torch.testing.assert_close(layer(x), x + scale.weight * branch(norm(x)))
    layer = Residual(branch, norm=norm, norm_first=False, layer_scale=scale)
    torch.testing.assert_close(layer(x), norm(x + scale.weight * branch(x)))
    torch.testing.assert_close(Residual(branch)(x), x + branch(x))


def test_torchs_encoder_layer_is_two_residuals():
    """Both orders are those of `nn.TransformerEncoderLayer`."""
    for norm_first in (True, False):
        theirs = nn.TransformerEncoderLayer(
            8, 2, 16, dropout=0, batch_first=True, norm_first=norm_first, dtype=torch.float64
        )
        attention = Attention(8, 2, dtype=torch.float64)
        in_proj = zip("qkv", theirs.self_attn.in_proj_weight.chunk(3), strict=True)
        for name, weight in in_proj:
            getattr(attention, f"{name}_proj").weight.data.copy_(weight)
        attention.out_proj.load_state_dict(theirs.self_attn.out_proj.state_dict())
        feed_forward = nn.Sequential(theirs.linear1, nn.ReLU(), theirs.linear2)
        ours = nn.Sequential(
            Residual(attention, norm=theirs.norm1, norm_first=norm_first),
            Residual(feed_forward, norm=theirs.norm2, norm_first=norm_first),
        )
        x = torch.randn(2, 3, 8, dtype=torch.float64)
        torch.testing.assert_close(ours(x), theirs(x))


def test_shortcut_replaces_the_input():
    """Where the branch changes the shape, a shortcut changes the input likewise."""
    branch, shortcut = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(3, 4, 1, 2)
    layer, x = Residual(branch, shortcut=shortcut), torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(layer(x), branch(x) + shortcut(x))


def test_further_arguments_go_to_the_branch():
    """Masks and memories reach the branch, and nothing else."""
    attention = Attention(4, 2)
    x, memory = torch.randn(2, 3, 4), torch.randn(2, 5, 4)
    mask = torch.arange(5) >= torch.tensor([[5], [2]])
    layer = Residual(attention, norm=nn.LayerNorm(4))
    got = layer(x, memory, key_padding_mask=mask)
    wanted = x + attention(layer.norm(x), memory, key_padding_mask=mask)
    torch.testing.assert_close(got, wanted)


def test_samples_skip_the_branch_in_training():
    """A sample is its input alone, or with a scaled branch; in eval all have the plain branch."""
    branch, norm, scale = parts()
    layer = Residual(branch, norm=norm, layer_scale=scale, drop_probability=0.25)
    x = torch.randn(64, 4, dtype=torch.float64)
    added, whole = layer(x) - x, scale(branch(norm(x)))
    skipped = added.abs().amax(1) == 0
    assert 0 < skipped.sum() < 64
    torch.testing.assert_close(added[~skipped], whole[~skipped] / 0.75)
    torch.testing.assert_close(layer.eval()(x), x + whole)


def test_input_is_untouched():
    """Neither the input nor the branch's answer is written to."""
    layer, x = Residual(nn.Identity()), torch.ones(2)
    assert layer(x).tolist() == [2, 2]
    assert x.tolist() == [1, 1]


def test_derivatives_pass_finite_differences():
    """Gradients through both ways agree with finite differences."""
    branch, norm, scale = parts()
    x = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    for first in (True, False):
        assert gradcheck(Residual(branch, norm=norm, norm_first=first, layer_scale=scale), x)


@COMPILER
def test_composes_with_compilation_export_and_vmap():
    """A compiled graph, an exported one of free batch, a trace and vmap give the eager result."""
    branch, norm, scale = parts()
    layer = Residual(branch, norm=norm, layer_scale=scale, drop_probability=0.5).eval()
    x = torch.randn(3, 4, dtype=torch.float64)
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x))
    torch.testing.assert_close(torch.func.vmap(layer)(x), layer(x))
    wrapped = torch.fx.symbolic_trace(nn.Sequential(layer))
    torch.testing.assert_close(wrapped(x), layer(x))
    program = torch.export.export(
        nn.Sequential(layer), (x,), dynamic_shapes=[{0: torch.export.Dim("batch")}]
    ).module()
    x = torch.randn(7, 4, dtype=torch.float64)
    torch.testing.assert_close(program(x), layer(x))


def test_state_survives():
    """The parts keep their names in the state dict; copies give the same answers."""
    branch, norm, scale = parts()
    layer = Residual(branch, norm=norm, layer_scale=scale)
    assert [name.split(".")[0] for name in layer.state_dict()] == [
        "norm", "norm", "branch", "branch", "layer_scale",
    ]  # fmt: skip
    other = Residual(*parts()[:1], norm=parts()[1], layer_scale=parts()[2])
    other.load_state_dict(layer.state_dict())
    x = torch.randn(2, 4, dtype=torch.float64)
    for twin in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), layer(x))


def test_dtype_is_kept():
    """In bfloat16 all parts are; under autocast the path around the branch keeps its precision."""
    branch, norm, scale = parts()
    layer = Residual(branch, norm=norm, layer_scale=scale).bfloat16()
    x = torch.randn(2, 4)
    assert layer(x.bfloat16()).dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        assert layer.float()(x).dtype == torch.float32


@pytest.mark.parametrize("shape", [(4, 1), (1, 4), (2, 4)])
def test_a_branch_that_would_be_broadcast_is_refused(shape):
    """What torch adds silently is no residual."""
    with pytest.raises(ShapeError) as caught:
        Residual(nn.AdaptiveAvgPool2d(shape))(torch.zeros(3, 4, 4))
    assert str(caught.value) == (
        "Residual expected its branch to return a tensor of shape (3, 4, 4), as what it is added "
        f"to, received (3, {shape[0]}, {shape[1]}). "
        "Fix: a branch that keeps the shape, or a shortcut that changes it likewise."
    )


def test_a_branch_that_returns_no_tensor_is_refused():
    """A recurrent layer's tuple is named."""
    with pytest.raises(ShapeError) as caught:
        Residual(nn.GRU(4, 4))(torch.zeros(3, 2, 4))
    assert str(caught.value) == (
        "Residual expected its branch to return a tensor of shape (3, 2, 4), as what it is added "
        "to, received tuple. "
        "Fix: a branch that keeps the shape, or a shortcut that changes it likewise."
    )


def test_impossible_probabilities_are_refused():
    """By the part that drops, in its own words."""
    with pytest.raises(OptionError, match=r"^StochasticDepth expected p to be a probability"):
        Residual(nn.Identity(), drop_probability=2.0)


def test_repr_shows_the_order():
    """Printing shows what the parts do not."""
    layer = Residual(nn.Identity(), norm_first=False)
    assert layer.extra_repr() == "norm_first=False"
    assert isinstance(layer.drop, StochasticDepth)
