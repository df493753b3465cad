"""A second instance of a layer is like the first, or there is none."""

import functools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

from layerwright.contract.inference.rebuilding import CannotRebuild, Rebuilder, rebuilder_for


class Named(nn.Module):
    """Keeps its arguments under their names, one with an underscore."""

    def __init__(self, in_features, out_features, *, scale=1.0, bias=True, sizes=()):
        super().__init__()
        self.in_features, self._out_features, self.scale = in_features, out_features, scale
        self._sizes = list(sizes)
        self.weight = nn.Parameter(torch.randn(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None


class Silent(nn.Module):
    """Keeps nothing: its arguments show in its parts only."""

    def __init__(self, width, hidden, depth=1, dropout=0.1, *, norm=True):
        super().__init__()
        self.first = nn.Linear(width, hidden)
        self.blocks = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(depth))
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(hidden) if norm else nn.Identity()
        self.last = nn.Linear(hidden, width)


class Wrapper(nn.Module):
    """Takes modules, classes and functions."""

    def __init__(self, body, *heads, activation=F.relu, norm=nn.LayerNorm):
        super().__init__()
        self.body = body
        self.heads = nn.ModuleList(heads)
        self.activation = activation
        self.after = norm(4)


class Forwarding(nn.Linear):
    """Hands its arguments to its base."""

    def __init__(self, *args, **kwargs):
        self.gain = kwargs.pop("gain", 1.0)
        super().__init__(*args, **kwargs)


class Residual(nn.Sequential):
    """A container with a forward of its own."""

    def forward(self, x):
        return x + super().forward(x)


class Table(nn.Module):
    """Holds a constant that no state_dict has; `base` is kept nowhere."""

    def __init__(self, dim, base=10_000.0):
        super().__init__()
        self.dim = dim
        self.register_buffer("rates", base ** -torch.arange(dim), persistent=False)


def state_of(layer):
    """Names, shapes and dtypes of all state."""
    return {name: (value.shape, value.dtype) for name, value in layer.state_dict().items()}


def rebuilt(layer):
    """Rebuild, and verify by other means that layer and rebuild are alike and share nothing."""
    again = rebuilder_for(layer)()
    assert repr(again) == repr(layer)
    assert list(map(type, again.modules())) == list(map(type, layer.modules()))
    assert state_of(again) == state_of(layer)
    places = {value.data_ptr() for value in layer.state_dict().values() if value.numel()}
    assert not {value.data_ptr() for value in again.state_dict().values()} & places
    return again


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(3, 4, bias=False),
        nn.Conv2d(4, 6, (3, 5), stride=2, padding="valid", groups=2, padding_mode="zeros"),
        nn.BatchNorm1d(3, affine=False, track_running_stats=False),
        nn.LayerNorm((3, 4), eps=1e-3, bias=False),
        nn.Embedding(5, 3, padding_idx=1),
        nn.RNN(3, 4, nonlinearity="relu", bidirectional=True),
        nn.LSTM(3, 4, 2, proj_size=2, batch_first=True),
        nn.MultiheadAttention(4, 2, bias=False, add_bias_kv=True, kdim=3),
        nn.TransformerEncoderLayer(8, 2, 12, dropout=0.2, norm_first=True, activation=F.gelu),
        nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 12), 3, enable_nested_tensor=False),
        nn.CrossEntropyLoss(weight=torch.rand(3), label_smoothing=0.1),
        nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), Named(3, 2))),
        nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Identity()}),
        nn.ModuleList([nn.Linear(2, 2)]),
        Named(3, 4, scale=2.0, bias=False),
        Silent(6, 10, depth=3, dropout=0.4, norm=False),
        Wrapper(nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(4, 3), activation=torch.tanh),
        Wrapper(Silent(6, 10), norm=nn.BatchNorm1d),
        Forwarding(3, 4, bias=False, gain=2.0),
        Residual(nn.Linear(3, 3), nn.ReLU()),
        Table(4),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_are_rebuilt(layer):
    """From attributes, shapes, parts and defaults; nothing is shared."""
    rebuilt(layer)


def test_what_shows_in_no_text_is_found_too():
    """Functions, plain numbers and classes of parts."""
    assert rebuilt(Wrapper(nn.Linear(3, 4), activation=torch.tanh)).activation is torch.tanh
    assert rebuilt(Named(3, 4, scale=2.5)).scale == 2.5
    assert isinstance(rebuilt(Wrapper(nn.ReLU(), norm=nn.BatchNorm1d)).after, nn.BatchNorm1d)
    assert rebuilt(Forwarding(3, 4, gain=2.0)).gain == 2.0
    assert rebuilt(Named(3, 4, sizes=[5, 6]))._sizes == [5, 6]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.MultiheadAttention(4, 2, dropout=0.5), (3, 2, 4)),
        (nn.LSTM(3, 4, 2, bidirectional=True), (5, 2, 3)),
        (nn.TransformerEncoderLayer(8, 2, 12, activation=F.gelu, norm_first=True), (3, 2, 8)),
        (nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, dilation=2), nn.GELU("tanh")), (2, 2, 9, 9)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_rebuild_with_the_same_state_computes_the_same(layer, shape):
    """Arguments that show in no shape are the same too."""
    x = torch.randn(shape)
    inputs = (x, x, x) if isinstance(layer, nn.MultiheadAttention) else (x,)
    again = rebuilt(layer)
    again.load_state_dict(layer.state_dict())
    answers = [module.eval()(*inputs) for module in (layer, again)]
    torch.testing.assert_close(*answers, rtol=0, atol=0)


def test_lazy_layers_are_rebuilt_before_and_after_their_first_call():
    """Before it they are lazy again, after it they have the inferred sizes."""
    layer = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d())
    assert isinstance(rebuilder_for(layer)()[0], nn.LazyLinear)
    layer(torch.randn(4, 5))
    assert rebuilt(layer)[0].in_features == 5


def test_local_classes_are_rebuilt():
    """As in tests and notebooks."""

    class Local(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.conv = nn.Conv2d(channels, 2 * channels, 3)

    assert rebuilt(Local(5)).conv.in_channels == 5


def test_a_rebuild_draws_new_values_and_disturbs_nothing():
    """Random values differ; the layer and the random state stay as they were."""
    layer = Named(3, 4)
    before, state = layer.weight.detach().clone(), torch.get_rng_state()
    rebuild = rebuilder_for(layer)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(rebuild().weight, layer.weight)
    assert not torch.equal(rebuild().weight, rebuild().weight)
    assert torch.equal(layer.weight, before)


def test_parts_that_were_arguments_are_fresh_in_each_rebuild():
    """Not the layer's own part, not the same one twice."""
    layer = Wrapper(nn.Linear(3, 4))
    rebuild = rebuilder_for(layer)
    first, second = rebuild(), rebuild()
    weights = [item.body.weight for item in (layer, first, second)]
    assert len({weight.data_ptr() for weight in weights}) == 3
    assert not torch.equal(weights[0], weights[1])


def test_a_cast_after_construction_is_repeated():
    """layer.double() shows in all parameters."""
    assert rebuilt(Silent(6, 10).double()).first.weight.dtype == torch.float64


def test_training_does_not_matter():
    """Values of state may be any; only its form counts."""
    layer = nn.BatchNorm1d(3)
    layer(torch.randn(8, 3))
    rebuilt(layer)


def test_what_a_constructor_draws_at_random_is_no_argument():
    """A number that is another one in every instance does not stand in the way."""

    class Drawn(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = float(torch.rand(()))
            self.mask = torch.rand(7)

    layer = Drawn()
    assert rebuilder_for(layer)().scale != layer.scale


class Hidden(nn.Module):
    """Its argument shows nowhere."""

    def __init__(self, shift):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, 5))
        self.shift = [lambda x: x + shift]


def frozen(layer):
    """Freeze a parameter after construction."""
    layer.weight.requires_grad_(False)
    return layer


def with_attribute(layer):
    """Set an attribute after construction."""
    layer.extra = 3
    return layer


def with_hook(layer):
    """Register a hook after construction."""
    layer.register_forward_hook(lambda module, args, output: output)
    return layer


def with_other_part(layer):
    """Replace a part after construction."""
    layer.last = nn.Bilinear(2, 2, 2)
    return layer


def tied(layer):
    """Let two parts share a parameter."""
    layer.blocks[1].weight = layer.blocks[0].weight
    return layer


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (frozen(Named(3, 4)), r"weight has requires_grad True, not False"),
        (with_attribute(Named(3, 4)), r"the constructor does not set extra"),
        (with_hook(Named(3, 4)), r"the constructor does not register the hooks"),
        (with_other_part(Silent(6, 10)), r"last is a Linear, not a Bilinear"),
        (tied(Silent(6, 10, depth=2)), r"blocks\.1\.weight is shared in one of the two only"),
        (parametrizations.weight_norm(nn.Linear(3, 4)), r"."),
        (Hidden(2), r"shift"),
        (Table(4, base=500.0), r"rates has other values"),
        (torch.fx.symbolic_trace(nn.Linear(2, 2)), r"was generated, it has no constructor"),
        (nn.Sequential(nn.ReLU(), frozen(Named(3, 4))), r"its part '1': "),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_what_cannot_be_rebuilt_is_told_with_the_reason(layer, reason):
    """Never something else that looks like it."""
    with pytest.raises(CannotRebuild, match=reason):
        rebuilder_for(layer)


def test_an_argument_that_leaves_no_trace_is_not_guessed():
    """Any number would fit, so none is taken."""

    class Traceless(nn.Module):
        def __init__(self, shift):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3, 5) + math.tau * shift * 0)

    with pytest.raises(CannotRebuild, match=r"'shift' of Traceless left no trace"):
        rebuilder_for(Traceless(2))


def test_an_unseen_option_of_a_function_is_noticed():
    """A closure over an argument that is kept nowhere: the default would be wrong."""

    class Closure(nn.Module):
        def __init__(self, shift=1):
            super().__init__()
            self.function = lambda x: x + shift

    rebuilder_for(Closure())
    with pytest.raises(CannotRebuild, match="function"):
        rebuilder_for(Closure(7))


@pytest.mark.parametrize("error", [OSError, ImportError, ConnectionError])
def test_a_constructor_that_reaches_outside_runs_once(error):
    """A download that fails is not tried again with other arguments."""
    calls = []

    class Downloads(nn.Module):
        def __init__(self, width=3, depth=2, scale=1.0):
            super().__init__()
            calls.append(width)
            if len(calls) > 1:
                raise error("no network")
            self.layer = nn.Linear(4, 4)

    layer = Downloads()
    with pytest.raises(CannotRebuild, match=r"the constructor of Downloads raised \w+: no network"):
        rebuilder_for(layer)
    assert len(calls) == 2


def test_a_search_ends():
    """A constructor that never succeeds again is not run without end."""
    calls = []

    class Stubborn(nn.Module):
        def __init__(self, a, b, c, d, e):
            super().__init__()
            calls.append(1)
            if len(calls) > 1:
                raise ValueError("not again")
            self.layers = nn.ModuleList(nn.Linear(n, n) for n in range(2, 12))

    layer = Stubborn(1, 2, 3, 4, 5)
    with pytest.raises(CannotRebuild, match="its constructor raised ValueError: not again"):
        rebuilder_for(layer)
    assert len(calls) <= 301


def test_classes_and_functions_build_by_themselves():
    """Their rebuild is their call, if it needs no arguments."""
    assert isinstance(rebuilder_for(nn.ReLU)(), nn.ReLU)
    assert rebuilder_for(functools.partial(nn.Linear, 2, 3))().out_features == 3
    assert isinstance(rebuilder_for(lambda: nn.Linear(2, 2))(), nn.Linear)
    with pytest.raises(CannotRebuild, match=r"^Linear needs the arguments in_features, out_feat"):
        rebuilder_for(nn.Linear)


def test_a_function_must_build_something_new():
    """One that hands out the same module each time, or none, builds nothing."""
    layer = nn.Linear(2, 2)
    build = rebuilder_for(lambda: layer)
    build()
    with pytest.raises(CannotRebuild, match=r"returns the same module each time"):
        build()
    with pytest.raises(CannotRebuild, match=r"returned int, no nn\.Module"):
        rebuilder_for(lambda: 3)()


def test_a_class_that_shares_its_parameters_cannot_be_rebuilt():
    """Two instances would not be independent; that fault is another rule's."""
    shared = nn.Parameter(torch.zeros(3))

    class Shares(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = shared

    with pytest.raises(CannotRebuild, match="hands out the same parameters"):
        Rebuilder(Shares())


class Kernel(nn.Module):
    """Keeps none of its arguments: only the shape of its weight tells them."""

    def __init__(self, in_channels, out_channels, kernel_size, *, registered=True):
        super().__init__()
        self.registered = registered
        weight = torch.randn(out_channels, in_channels, kernel_size, kernel_size)
        self.weight = nn.Parameter(weight) if registered else weight.requires_grad_()
        self.bias = nn.Parameter(torch.zeros(out_channels))


@pytest.mark.parametrize("registered", [True, False])
def test_arguments_that_only_sizes_tell_are_found_one_by_one(registered):
    """In a parameter and in a plain tensor, where each argument gives one size."""
    layer = Kernel(3, 6, 5, registered=registered)
    make = rebuilder_for(layer)
    assert make().weight.shape == (6, 3, 5, 5)
    assert make.arguments()[1] == {
        "in_channels": 3, "out_channels": 6, "kernel_size": 5, "registered": registered
    }  # fmt: skip
