"""Losses: values against formulas in float64, shapes that must not broadcast, and messages."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from layerwright.errors import DataError, OptionError, ShapeError
from layerwright.training.losses import LOSSES, Loss, resolve_loss


def loss_of(name):
    return resolve_loss(name, None)


def randn(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def log_softmax(row):
    largest = max(row)
    total = math.log(sum(math.exp(value - largest) for value in row)) + largest
    return [value - total for value in row]


sizes = st.integers(min_value=1, max_value=6)


@settings(deadline=None, max_examples=15)
@given(sizes, sizes)
def test_mse_is_the_mean_of_squares_over_all_values(num_samples, num_outputs):
    """Against a loop over Python floats."""
    output, target = randn(num_samples, num_outputs), randn(num_samples, num_outputs, seed=1)
    pairs = zip(output.flatten().tolist(), target.flatten().tolist(), strict=True)
    expected = sum((o - t) ** 2 for o, t in pairs) / output.numel()
    assert loss_of("mse")(output, target).item() == pytest.approx(expected, rel=1e-12)


@settings(deadline=None, max_examples=15)
@given(sizes, st.integers(min_value=2, max_value=6))
def test_cross_entropy_is_the_mean_surprise_at_the_class(num_samples, num_classes):
    """Against a loop over Python floats, for classes and for probabilities."""
    output = randn(num_samples, num_classes)
    target = torch.arange(num_samples) % num_classes
    shares = randn(num_samples, num_classes, seed=1).softmax(1)
    rows = [log_softmax(row) for row in output.tolist()]
    of_classes = -sum(row[c] for row, c in zip(rows, target.tolist(), strict=True)) / num_samples
    of_shares = -sum(
        share * value
        for row, weights in zip(rows, shares.tolist(), strict=True)
        for value, share in zip(row, weights, strict=True)
    )
    loss = loss_of("cross-entropy")
    assert loss(output, target).item() == pytest.approx(of_classes, rel=1e-12)
    assert loss(output, shares).item() == pytest.approx(of_shares / num_samples, rel=1e-12)


def test_cross_entropy_reads_classes_in_dim_1_of_maps():
    """Logits (N, C, H, W) with classes (N, H, W) average over samples and places."""
    output, target = randn(2, 3, 4, 5), torch.arange(40).reshape(2, 4, 5) % 3
    flat = output.permute(0, 2, 3, 1).reshape(-1, 3)
    expected = loss_of("cross-entropy")(flat, target.reshape(-1))
    torch.testing.assert_close(loss_of("cross-entropy")(output, target), expected)


def test_cross_entropy_leaves_out_torchs_ignored_class():
    """A target of -100 does not count, not even in the mean's denominator."""
    output, target = randn(3, 4), torch.tensor([1, -100, 3])
    expected = loss_of("cross-entropy")(output[[0, 2]], target[[0, 2]])
    torch.testing.assert_close(loss_of("cross-entropy")(output, target), expected)


@settings(deadline=None, max_examples=15)
@given(sizes)
def test_binary_cross_entropy_takes_logits(num_samples):
    """Against a loop over Python floats, for labels of several dtypes and missing last dims."""
    output = randn(num_samples, 1)
    labels = torch.arange(num_samples) % 2
    expected = 0.0
    for z, t in zip(output.flatten().tolist(), labels.tolist(), strict=True):
        probability = 1 / (1 + math.exp(-z))
        expected -= math.log(probability if t else 1 - probability) / num_samples
    for target in (labels, labels.bool(), labels.double()[:, None], labels.to(torch.uint8)):
        value = loss_of("binary-cross-entropy")(output, target)
        assert value.item() == pytest.approx(expected, rel=1e-9)
        assert value.dtype == torch.float64


@settings(deadline=None, max_examples=15)
@given(sizes, st.integers(min_value=2, max_value=6))
def test_kl_divergence_is_summed_over_classes_and_averaged_over_samples(num_samples, num_classes):
    """Against a loop over Python floats; a target probability of 0 contributes nothing."""
    output = randn(num_samples, num_classes)
    target = randn(num_samples, num_classes, seed=1).softmax(1)
    target[:, 0] = 0
    target /= target.sum(1, keepdim=True)
    expected = 0.0
    for row, shares in zip(output.tolist(), target.tolist(), strict=True):
        for value, share in zip(log_softmax(row), shares, strict=True):
            expected += share * (math.log(share) - value) / num_samples if share else 0.0
    assert loss_of("kl-divergence")(output, target).item() == pytest.approx(expected, rel=1e-9)


def test_kl_divergence_of_a_met_target_is_zero():
    """Logits whose softmax is the target leave nothing."""
    output = randn(3, 5)
    assert abs(loss_of("kl-divergence")(output, output.softmax(1)).item()) < 1e-12


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_differentiable(name):
    """The gradient agrees with finite differences in float64."""
    output = randn(3, 4).requires_grad_()
    target = randn(3, 4, seed=1).softmax(1)
    assert torch.autograd.gradcheck(lambda value: loss_of(name)(value, target), (output,))


@pytest.mark.parametrize("name", ["mse", "binary-cross-entropy"])
@pytest.mark.parametrize(
    ("output_shape", "target_shape"), [((5, 1), (5,)), ((5,), (5, 1)), ((5, 3, 1), (5, 3))]
)
def test_a_last_dim_of_one_is_aligned_and_never_broadcast(name, output_shape, target_shape):
    """(N, 1) with (N,) is N differences, where torch would make N times N."""
    output, target = randn(*output_shape), (randn(*target_shape, seed=1) > 0).double()
    expected = loss_of(name)(output.flatten(), target.flatten())
    torch.testing.assert_close(loss_of(name)(output, target), expected)


@pytest.mark.parametrize("name", ["mse", "binary-cross-entropy"])
@pytest.mark.parametrize(
    ("output_shape", "target_shape"),
    [((5, 3), (5,)), ((3, 3), (3,)), ((5, 1), (1,)), ((5,), (1, 5)), ((5, 1, 1), (5,)), ((4,), ())],
)
def test_other_shapes_are_refused(name, output_shape, target_shape):
    """Shapes that torch would broadcast, silently or with a warning, are an error."""
    with pytest.raises(ShapeError) as caught:
        loss_of(name)(torch.zeros(output_shape), torch.zeros(target_shape))
    assert str(caught.value) == (
        f"{name} expected a target of the output's shape {output_shape}, received {target_shape}. "
        "Fix: give the network one output per target value."
    )


@pytest.mark.parametrize("shapes", [((5, 3), (5,)), ((5, 3), (1, 3)), ((5,), (5,))])
def test_kl_divergence_refuses_what_would_broadcast(shapes):
    """Class targets and single rows would broadcast in torch."""
    with pytest.raises(ShapeError) as caught:
        loss_of("kl-divergence")(torch.zeros(shapes[0]), torch.zeros(shapes[1]))
    assert str(caught.value) == (
        "kl-divergence expected logits and probabilities of one shape (N, C) or (N, C, ...), "
        f"received {shapes[0]} and {shapes[1]}. "
        "Fix: use cross-entropy for class targets, or one-hot encode them."
    )


@pytest.mark.parametrize("name", ["mse", "binary-cross-entropy"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.uint8, torch.bool])
def test_targets_of_other_dtypes_give_a_float32_gradient(name, dtype):
    """Targets from NumPy are float64 or integers; the loss and gradient stay float32."""
    output = randn(4, 2, dtype=torch.float32).requires_grad_()
    target = torch.tensor([[0, 1], [1, 1], [0, 0], [1, 0]])
    loss = loss_of(name)(output, target.to(dtype))
    loss.backward()
    assert loss.dtype == output.grad.dtype == torch.float32
    torch.testing.assert_close(loss, loss_of(name)(output, target.float()))


@pytest.mark.parametrize("name", LOSSES)
def test_low_precision_outputs_give_a_float32_loss(name):
    """A mean in bfloat16 has less than three digits, so it is taken in float32."""
    output = randn(8, 3).bfloat16()
    target = randn(8, 3, seed=1).softmax(1).float()
    loss = loss_of(name)(output, target)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, loss_of(name)(output.float(), target))


EXPECTED_5_3 = (
    "cross-entropy expected int64 classes of shape (5,) or floating-point probabilities of shape "
    "(5, 3), received "
)


@pytest.mark.parametrize(
    ("target", "kind", "message"),
    [
        (
            torch.zeros(5),
            DataError,
            EXPECTED_5_3 + "float32 of shape (5,). Fix: pass target.long().",
        ),
        (
            torch.zeros(5, dtype=torch.int32),
            DataError,
            EXPECTED_5_3 + "int32 of shape (5,). Fix: pass target.long().",
        ),
        (
            torch.zeros(5, dtype=torch.bool),
            DataError,
            EXPECTED_5_3 + "bool of shape (5,). Fix: pass target.long().",
        ),
        (
            torch.zeros(5, 3, dtype=torch.int64),
            DataError,
            EXPECTED_5_3 + "int64 of shape (5, 3). Fix: pass target.float() if it is one-hot.",
        ),
        (
            torch.zeros(5, 1, dtype=torch.int64),
            ShapeError,
            EXPECTED_5_3 + "int64 of shape (5, 1). Fix: pass target.squeeze(-1).",
        ),
        (
            torch.zeros(4, dtype=torch.int64),
            ShapeError,
            EXPECTED_5_3 + "int64 of shape (4,). Fix: make the target fit the output.",
        ),
        (
            torch.zeros(5, 2),
            ShapeError,
            EXPECTED_5_3 + "float32 of shape (5, 2). Fix: make the target fit the output.",
        ),
        (
            torch.zeros(1, 3),
            ShapeError,
            EXPECTED_5_3 + "float32 of shape (1, 3). Fix: make the target fit the output.",
        ),
        (
            torch.tensor([0, 1, 2, 7, -100]),
            DataError,
            (
                "cross-entropy expected classes from 0 to 2, received classes from 0 to 7. "
                "Fix: give the network 8 outputs."
            ),
        ),
        (
            torch.tensor([0, 1, 2, -1, 0]),
            DataError,
            (
                "cross-entropy expected classes from 0 to 2, received classes from -1 to 2. "
                "Fix: number the classes from 0."
            ),
        ),
    ],
)
def test_cross_entropy_explains_an_unfit_target(target, kind, message):
    """Wrong dtype, shape and range each get their own message, with torch's error as cause."""
    with pytest.raises(kind) as caught:
        loss_of("cross-entropy")(torch.zeros(5, 3), target)
    assert str(caught.value) == message
    assert caught.value.__cause__ is not None


def test_cross_entropy_explains_one_output_for_two_classes():
    """One logit belongs to binary cross-entropy."""
    with pytest.raises(DataError) as caught:
        loss_of("cross-entropy")(torch.zeros(2, 1), torch.tensor([0, 1]))
    assert str(caught.value) == (
        "cross-entropy expected classes from 0 to 0, received classes from 0 to 1. "
        "Fix: use binary-cross-entropy for a network with one output."
    )


def test_cross_entropy_refuses_output_without_a_class_dim():
    """A batch of scalars would be read as the logits of one sample."""
    with pytest.raises(ShapeError) as caught:
        loss_of("cross-entropy")(torch.zeros(4), torch.full((4,), 0.25))
    assert str(caught.value) == (
        "cross-entropy expected logits of shape (N, C) or (N, C, ...), received (4,). "
        "Fix: give the network one output per class."
    )


def test_cross_entropy_passes_on_errors_that_are_about_something_else():
    """A target on another device keeps torch's own error."""
    with pytest.raises(RuntimeError) as caught:
        loss_of("cross-entropy")(
            torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64, device="meta")
        )
    assert not isinstance(caught.value, DataError | ShapeError)


@pytest.mark.parametrize("name", LOSSES)
def test_several_outputs_need_a_loss_of_the_users_own(name):
    """A network that returns a tuple gets a message, not an AttributeError."""
    output = (torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(ShapeError) as caught:
        loss_of(name)(output, torch.zeros(2, 3))
    assert str(caught.value) == (
        f"loss {name!r} expected one tensor as output, received tuple. "
        "Fix: give a function (output, target) of your own."
    )


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("classification", "cross-entropy"),
        ("binary", "binary-cross-entropy"),
        ("regression", "mse"),
    ],
)
def test_the_task_decides_where_no_loss_is_given(task, name):
    """None takes the task's loss, and a name wins over the task."""
    assert resolve_loss(None, task) == Loss(name, LOSSES[name])
    assert resolve_loss("kl-divergence", task).name == "kl-divergence"


def test_a_users_functions_modules_and_classes_pass_through():
    """The name is that of the function or class; a class is built without arguments."""

    def absolute(output, target):
        return (output - target).abs().mean()

    class Weighted(nn.Module):
        def forward(self, output, target):
            return ((output - target) * 2).abs().mean()

    module = Weighted()
    assert resolve_loss(absolute, None) == Loss("absolute", absolute)
    assert resolve_loss(module, None) == Loss("Weighted", module)
    assert resolve_loss(partial(absolute), "regression").name == "absolute"
    assert resolve_loss(nn.L1Loss, None).name == "L1Loss"
    assert resolve_loss(nn.L1Loss, None)(torch.ones(2), torch.zeros(2)).item() == 1
    given = Loss("mine", absolute)
    assert resolve_loss(given, None) is given


def test_an_error_inside_a_users_loss_is_left_alone():
    """Only built-in losses explain their input."""

    def broken(output, target):
        raise TypeError("mine")

    with pytest.raises(TypeError, match=r"^mine$"):
        resolve_loss(broken, None)((1, 2), 3)


class NeedsArguments:
    def __init__(self, weight):
        pass


@pytest.mark.parametrize(
    ("spec", "task", "message"),
    [
        (
            None,
            None,
            (
                "loss expected a name or a callable because the data has no known task, received "
                "None. Fix: choose one of binary-cross-entropy, cross-entropy, kl-divergence, mse."
            ),
        ),
        (
            None,
            "regresion",
            (
                "unknown task 'regresion'. Did you mean 'regression'? "
                "Known: binary, classification, regression."
            ),
        ),
        (
            "cross_entropy",
            None,
            (
                "unknown loss 'cross_entropy'. Did you mean 'cross-entropy'? "
                "Known: binary-cross-entropy, cross-entropy, kl-divergence, mse."
            ),
        ),
        (
            3,
            None,
            (
                "loss expected a name or a callable (output, target) -> scalar, received 3. "
                "Fix: choose one of binary-cross-entropy, cross-entropy, kl-divergence, mse, or "
                "give a function."
            ),
        ),
        (
            NeedsArguments,
            None,
            (
                "loss NeedsArguments expected no arguments when built, received: "
                "NeedsArguments.__init__() missing 1 required positional argument: 'weight'. "
                "Fix: give an object, NeedsArguments(...), or a class that needs no arguments."
            ),
        ),
    ],
)
def test_impossible_losses_are_refused(spec, task, message):
    """Whatever is neither name nor callable says what is possible."""
    with pytest.raises(OptionError) as caught:
        resolve_loss(spec, task)
    assert str(caught.value) == message
