"""BatchNorm1d and BatchNorm2d against plain loops and torch.nn."""

import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call, grad, vmap

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.normalization.batch_norm1d import BatchNorm1d
from layerwright.layers.normalization.batch_norm2d import BatchNorm2d

PAIRS = {
    "1d": (BatchNorm1d, nn.BatchNorm1d, (5, 3)),
    "1d-long": (BatchNorm1d, nn.BatchNorm1d, (5, 3, 4)),
    "2d": (BatchNorm2d, nn.BatchNorm2d, (5, 3, 4, 2)),
}
KINDS = pytest.mark.parametrize("kind", PAIRS)
FORWARD_MODE = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")


def by_channel(x):
    """The values of each channel as plain lists."""
    return [x.transpose(0, 1)[c].flatten().tolist() for c in range(x.shape[1])]


def mean_and_variance(values):
    """Mean and biased variance, by two passes in plain Python."""
    mean = math.fsum(values) / len(values)
    return mean, math.fsum((v - mean) ** 2 for v in values) / len(values)


def normalised_by_loops(x, means, variances, eps, gain, bias):
    """The definition, value by value."""
    y = x.clone().transpose(0, 1)
    for c in range(x.shape[1]):
        y[c] = torch.tensor(
            [
                (v - means[c]) / math.sqrt(variances[c] + eps) * gain[c] + bias[c]
                for v in x.transpose(0, 1)[c].flatten().tolist()
            ],
            dtype=x.dtype,
        ).reshape(y[c].shape)
    return y.transpose(0, 1)


shapes = st.one_of(
    st.tuples(st.integers(2, 5), st.integers(1, 4)),
    st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(2, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(2, 3)),
)


@settings(deadline=None, max_examples=30)
@given(
    shape=shapes,
    eps=st.sampled_from([1e-5, 1e-2]),
    momentum=st.sampled_from([0.1, 0.5, 1.0, 0.0, None]),
    num_batches=st.integers(1, 4),
)
def test_training_and_eval_follow_the_definition(shape, eps, momentum, num_batches):
    """Outputs, running statistics and the eval output are what plain loops give."""
    layer = (BatchNorm2d if len(shape) == 4 else BatchNorm1d)(
        shape[1], eps, momentum, dtype=torch.float64
    )
    nn.init.uniform_(layer.weight, 0.5, 2)
    nn.init.uniform_(layer.bias, -1, 1)
    gain, bias = layer.weight.tolist(), layer.bias.tolist()
    running_mean, running_var = [0.0] * shape[1], [1.0] * shape[1]
    for batch in range(1, num_batches + 1):
        x = torch.randn(shape, dtype=torch.float64) * 3 + 1
        statistics = [mean_and_variance(values) for values in by_channel(x)]
        means, variances = zip(*statistics, strict=True)
        expected = normalised_by_loops(x, means, variances, eps, gain, bias)
        torch.testing.assert_close(layer(x).detach(), expected)
        share = 1 / batch if momentum is None else momentum
        count = x.numel() // shape[1]
        for c in range(shape[1]):
            unbiased = variances[c] * count / (count - 1)
            running_mean[c] = (1 - share) * running_mean[c] + share * means[c]
            running_var[c] = (1 - share) * running_var[c] + share * unbiased
    torch.testing.assert_close(layer.running_mean.tolist(), running_mean)
    torch.testing.assert_close(layer.running_var.tolist(), running_var)
    assert layer.num_batches_tracked.item() == num_batches
    layer.eval()
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    x = torch.randn(shape, dtype=torch.float64)
    expected = normalised_by_loops(x, running_mean, running_var, eps, gain, bias)
    torch.testing.assert_close(layer(x).detach(), expected)
    torch.testing.assert_close(dict(layer.state_dict()), before)


@KINDS
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("momentum", [0.3, None])
def test_agrees_with_torch_through_a_run(kind, affine, tracked, momentum):
    """Same state_dict keys; outputs, gradients and state agree over training and eval steps."""
    ours_class, theirs_class, shape = PAIRS[kind]
    options = {
        "momentum": momentum,
        "affine": affine,
        "track_running_stats": tracked,
        "dtype": torch.float64,
    }
    ours, theirs = ours_class(3, **options), theirs_class(3, **options)
    if affine:
        nn.init.uniform_(theirs.weight, 0.5, 2)
        nn.init.uniform_(theirs.bias, -1, 1)
    ours.load_state_dict(theirs.state_dict())
    for training in (True, True, False, True, False):
        ours.train(training)
        theirs.train(training)
        x = torch.randn(shape, dtype=torch.float64)
        upstream = torch.randn(shape, dtype=torch.float64)
        results = []
        for layer in (ours, theirs):
            leaf = x.clone().requires_grad_()
            layer.zero_grad()
            y = layer(leaf)
            y.backward(upstream)
            gradients = [parameter.grad for parameter in layer.parameters()]
            results.append((y.detach(), leaf.grad, gradients, dict(layer.state_dict())))
        torch.testing.assert_close(results[0], results[1])
    theirs.load_state_dict(ours.state_dict())


@KINDS
def test_statistics_switched_off_afterwards_stay_as_they_are(kind):
    """With track_running_stats set to False in training the buffers are left alone."""
    ours_class, _, shape = PAIRS[kind]
    layer = ours_class(3)
    layer(torch.randn(shape))
    layer.track_running_stats = False
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    layer(torch.randn(shape) + 5)
    torch.testing.assert_close(dict(layer.state_dict()), before)


@KINDS
@FORWARD_MODE
def test_derivatives_pass_finite_differences(kind):
    """First and second derivatives, by batch and by running statistics."""
    ours_class, _, shape = PAIRS[kind]
    layer = ours_class(3, track_running_stats=False, dtype=torch.float64)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)

    def call(x, weight, bias):
        return functional_call(layer, {"weight": weight, "bias": bias}, x)

    arguments = (x, layer.weight, layer.bias)
    assert gradcheck(call, arguments, check_forward_ad=True)
    assert gradgradcheck(call, arguments)
    tracked = ours_class(3, dtype=torch.float64).eval()
    assert gradcheck(tracked, x)
    assert gradgradcheck(tracked, x)


@KINDS
def test_reset_parameters(kind):
    """Parameters and running statistics go back to where a new layer starts."""
    ours_class, _, shape = PAIRS[kind]
    layer = ours_class(3)
    fresh = {name: value.clone() for name, value in layer.state_dict().items()}
    layer(torch.randn(shape))
    nn.init.uniform_(layer.weight, 5, 6)
    nn.init.uniform_(layer.bias, 5, 6)
    layer.reset_parameters()
    torch.testing.assert_close(dict(layer.state_dict()), fresh)
    torch.testing.assert_close(fresh["weight"], torch.ones(3))
    torch.testing.assert_close(fresh["bias"], torch.zeros(3))
    torch.testing.assert_close(fresh["running_mean"], torch.zeros(3))
    torch.testing.assert_close(fresh["running_var"], torch.ones(3))
    torch.testing.assert_close(fresh["num_batches_tracked"], torch.tensor(0))


@KINDS
def test_device_and_dtype(kind):
    """Parameters and buffers are created where and as asked; the count is always int64."""
    ours_class, _, _ = PAIRS[kind]
    layer = ours_class(3, device="meta", dtype=torch.float64)
    tensors = dict(layer.state_dict())
    assert all(tensor.is_meta for tensor in tensors.values())
    assert tensors.pop("num_batches_tracked").dtype == torch.int64
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float64}


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@KINDS
@pytest.mark.parametrize("momentum", [0.3, None])
def test_composes_with_compilation(kind, momentum):
    """One compiled graph, without a break for the count, gives eager outputs and statistics."""
    ours_class, _, shape = PAIRS[kind]
    eager, compiled = (ours_class(3, momentum=momentum) for _ in range(2))
    torch._dynamo.reset()
    run = torch.compile(compiled, backend="aot_eager", fullgraph=True)
    for _ in range(3):
        x = torch.randn(shape)
        torch.testing.assert_close(run(x), eager(x))
    torch.testing.assert_close(dict(compiled.state_dict()), dict(eager.state_dict()))
    traced = torch.fx.symbolic_trace(nn.Sequential(eager.eval()))
    torch.testing.assert_close(traced(x), eager(x))


@KINDS
def test_per_sample_gradients_in_eval(kind):
    """In eval samples are independent, and vmap gives each its own gradient."""
    ours_class, _, shape = PAIRS[kind]
    layer = ours_class(3)
    layer(torch.randn(shape) * 2 + 1)
    layer.eval()
    x = torch.randn(shape)
    loss = lambda z: layer(z.unsqueeze(0)).square().sum()  # noqa: E731
    expected = torch.stack([grad(loss)(sample) for sample in x])
    torch.testing.assert_close(vmap(grad(loss))(x), expected)


@KINDS
def test_low_precision_input(kind):
    """A bfloat16 input with float32 parameters, as under autocast, works as in torch."""
    ours_class, theirs_class, shape = PAIRS[kind]
    x = torch.randn(shape).bfloat16()
    ours, theirs = ours_class(3), theirs_class(3)
    assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours.running_var, theirs.running_var)


@pytest.mark.parametrize(
    ("layer", "shape", "text"),
    [
        (
            BatchNorm1d(3),
            (1, 3),
            (
                "BatchNorm1d expected at least two values per channel to take a variance from, "
                "received (1, 3). "
                "Fix: a larger batch, drop_last=True for the last one, or eval mode."
            ),
        ),
        (
            BatchNorm2d(3, track_running_stats=False).eval(),
            (1, 3, 1, 1),
            (
                "BatchNorm2d expected at least two values per channel to take a variance from, "
                "received (1, 3, 1, 1). "
                "Fix: a larger batch, drop_last=True for the last one, or eval mode."
            ),
        ),
        (
            BatchNorm1d(3),
            (0, 3),
            (
                "BatchNorm1d expected at least two values per channel to take a variance from, "
                "received (0, 3). "
                "Fix: a larger batch, drop_last=True for the last one, or eval mode."
            ),
        ),
        (
            BatchNorm1d(3),
            (3,),
            (
                "BatchNorm1d expected (N, 3) or (N, 3, L), received (3,). "
                "Fix: move channels to dim 1 or change num_features."
            ),
        ),
        (
            BatchNorm1d(3).eval(),
            (5, 4),
            (
                "BatchNorm1d expected (N, 3) or (N, 3, L), received (5, 4). "
                "Fix: move channels to dim 1 or change num_features."
            ),
        ),
        (
            BatchNorm2d(3),
            (3, 4, 4),
            (
                "BatchNorm2d expected (N, 3, H, W), received (3, 4, 4). "
                "Fix: move channels to dim 1 or change num_features."
            ),
        ),
    ],
)
def test_inputs_that_do_not_fit_are_refused(layer, shape, text):
    """The message names what fits, and nothing was counted or averaged."""
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    with pytest.raises(ShapeError) as caught:
        layer(torch.zeros(shape))
    assert str(caught.value) == text
    torch.testing.assert_close(dict(layer.state_dict()), before)


def test_one_value_per_channel_is_enough_in_eval():
    """In eval the running statistics serve, whatever the batch."""
    assert BatchNorm1d(3).eval()(torch.zeros(1, 3)).shape == (1, 3)
    assert BatchNorm2d(3).eval()(torch.zeros(0, 3, 2, 2)).shape == (0, 3, 2, 2)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"num_features": 0},
            "BatchNorm1d expected num_features to be a whole number from 1, received 0.",
        ),
        (
            {"num_features": 2, "eps": 0},
            "BatchNorm1d expected eps to be a positive number, received 0.",
        ),
        (
            {"num_features": 2, "momentum": 1.5},
            "BatchNorm1d expected momentum to be None or a share in [0, 1], received 1.5.",
        ),
    ],
)
def test_impossible_options_are_refused(options, text):
    """The message names the option, what it may be and what it was."""
    with pytest.raises(OptionError) as caught:
        BatchNorm1d(**options)
    assert str(caught.value) == text


def test_repr_and_pickle():
    """Printing shows the arguments; a copy by pickle has the state."""
    layer = BatchNorm2d(3, momentum=None, affine=False)
    layer(torch.randn(4, 3, 2, 2))
    assert repr(layer) == (
        "BatchNorm2d(3, eps=1e-05, momentum=None, affine=False, track_running_stats=True)"
    )
    copy = pickle.loads(pickle.dumps(layer))
    torch.testing.assert_close(dict(copy.state_dict()), dict(layer.state_dict()))
