"""Label smoothing, mixup and L1 in training: what a step minimises, and where they are refused."""

import pytest
import torch
from torch import nn

import layerwright as lw
from layerwright.data.batches import make_batches
from layerwright.data.from_tensors import split_from_tensors
from layerwright.errors import DataError, OptionError
from layerwright.training.mixed_batches import MixedBatches

CLASSES = 3


def one_hot_data(count=40):
    """Inputs that are what their targets become: whatever is done to both must agree."""
    labels = torch.arange(count) % CLASSES
    return nn.functional.one_hot(labels, CLASSES).float(), labels


def mixed(seed=0, size=8):
    """The training batches of one-hot data, mixed."""
    split, _ = split_from_tensors(*one_hot_data())
    batches = make_batches(split, batch_size=size, shuffle=True, seed=seed)
    return MixedBatches(batches, 1.0, num_classes=CLASSES, seed=seed)


def test_inputs_and_targets_are_mixed_alike():
    """Each row is a mixture of two rows, and its target the same mixture of their targets."""
    batches = mixed()
    for (x,), target in batches.epoch(0):
        assert torch.equal(x, target)
        torch.testing.assert_close(target.sum(1), torch.ones(len(target)))
    first, other = (next(batches.epoch(epoch))[1] for epoch in (0, 1))
    assert bool(((first > 0) & (first < 1)).any())
    assert not torch.equal(first, other)
    assert (batches.num_batches, batches.num_samples, batches.batch_size) == (5, 40, 8)


def test_a_mixed_batch_depends_on_seed_epoch_and_number_only():
    """From the middle of an epoch on, and in another object, the batches are the same bits."""
    whole = list(mixed().epoch(2))
    later = list(mixed().epoch(2, start=3))
    assert len(later) == 2
    for (a, b), (c, d) in zip(whole[3:], later, strict=True):
        assert torch.equal(a[0], c[0])
        assert torch.equal(b, d)
    assert not torch.equal(next(mixed(seed=1).epoch(2))[1], whole[0][1])


def test_one_step_descends_the_stated_objective():
    """With smoothed labels and L1: cross-entropy with the spread targets, plus the penalty."""
    torch.manual_seed(0)
    x, labels = torch.randn(20, 4), torch.arange(20) % CLASSES
    network = nn.Linear(4, CLASSES)
    weight = network.weight.detach().clone().requires_grad_()
    bias = network.bias.detach().clone().requires_grad_()
    spread = torch.full((20, CLASSES), 0.3 / CLASSES)
    spread[torch.arange(20), labels] += 0.7
    logits = x @ weight.T + bias
    loss = -(spread * logits.log_softmax(1)).sum(1).mean() + 0.01 * weight.abs().sum()
    loss.backward()
    run = lw.fit(
        network,
        (x, labels),
        label_smoothing=0.3,
        l1=0.01,
        optimizer="sgd",
        lr=0.5,
        epochs=1,
        batch_size=20,
        validation=0.0,
    )
    torch.testing.assert_close(run.network.weight, weight.detach() - 0.5 * weight.grad)
    torch.testing.assert_close(run.network.bias, bias.detach() - 0.5 * bias.grad)
    assert run.history[0]["train"]["loss"] == pytest.approx(loss.item(), rel=1e-5)
    plain = nn.functional.cross_entropy(run.network(x), labels).item()
    assert lw.evaluate(run, (x, labels))["loss"] == pytest.approx(plain, rel=1e-5)


def test_mixed_training_learns_and_is_validated_on_plain_samples():
    """Under mixup the training loss cannot vanish; validation is of the samples as they are."""
    x, labels = one_hot_data(200)
    run = lw.fit(nn.Linear(3, CLASSES), (x, labels), mixup=1.0, lr=0.1, epochs=25, seed=1)
    last = run.history[-1]
    assert last["validation"]["accuracy"] == 1.0
    assert last["validation"]["loss"] < 0.1 < last["train"]["loss"]


class StoppedError(Exception):
    """What a power cut is to a program."""


class Stops(nn.Linear):
    """A layer that ends the run at one of its passes in training."""

    def __init__(self, after=None):
        torch.manual_seed(0)
        super().__init__(CLASSES, CLASSES)
        self.left = after

    def forward(self, x):
        if self.training and self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise StoppedError
        return super().forward(x)


def test_a_run_that_is_stopped_in_an_epoch_draws_the_same_mixtures_afterwards(tmp_path):
    """Resumed in mid-epoch under everything that this file is about, it ends with the same bits."""
    data = one_hot_data()
    options = {
        "mixup": 0.5, "label_smoothing": 0.1, "l1": 1e-3, "epochs": 3, "batch_size": 8, "lr": 0.05,
        "validation": 0.0, "seed": 4, "checkpoint_every": "2steps",
    }  # fmt: skip
    whole = lw.fit(Stops(), data, **options)
    with pytest.raises(StoppedError):
        lw.fit(Stops(after=7), data, run_dir=tmp_path / "run", **options)
    rest = lw.resume(tmp_path / "run", Stops(), data)
    assert rest.step == whole.step == 15
    assert rest.history == whole.history
    assert torch.equal(rest.network.weight, whole.network.weight)
    assert torch.equal(rest.network.bias, whole.network.bias)


@pytest.mark.parametrize(
    ("options", "targets", "text"),
    [
        (
            {"label_smoothing": 0.1},
            torch.rand(8),
            (
                "label_smoothing expected the loss 'cross-entropy', which takes distributions over "
                "the classes, received 'mse'. "
                "Fix: leave label_smoothing out, or change the loss."
            ),
        ),
        (
            {"mixup": 0.2, "loss": nn.CrossEntropyLoss()},
            torch.arange(8) % 2,
            (
                "mixup expected the loss 'cross-entropy', which takes distributions over "
                "the classes, received 'CrossEntropyLoss'. "
                "Fix: leave mixup out, or change the loss."
            ),
        ),
    ],
)
def test_other_losses_are_refused(options, targets, text):
    """Regression and a user's own loss may read targets in another way."""
    with pytest.raises(OptionError) as caught:
        lw.fit(nn.Linear(2, 2 if "loss" in options else 1), (torch.rand(8, 2), targets), **options)
    assert str(caught.value) == text


def test_inputs_that_cannot_be_mixed_are_refused():
    """Several inputs, which need not lie beside each other, have no common mixture."""
    x, labels = one_hot_data()
    split, _ = split_from_tensors((x, x), labels)
    batches = make_batches(split, batch_size=8, shuffle=True, seed=0)
    with pytest.raises(DataError) as caught:
        next(MixedBatches(batches, 1.0, num_classes=CLASSES, seed=0).epoch(0))
    assert str(caught.value) == (
        "mixup expected one input of floating-point numbers, received float32, float32. "
        "Fix: leave mixup out for this data."
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"label_smoothing": 1.0}, "label_smoothing expected a share in [0, 1), received 1.0."),
        ({"mixup": -0.1}, "mixup expected a number from 0, received -0.1."),
        ({"l1": float("inf")}, "l1 expected a number from 0, received inf."),
    ],
)
def test_impossible_values_are_refused(options, text):
    """The recipe refuses them, so that every way to a run does."""
    with pytest.raises(OptionError) as caught:
        lw.Recipe(**options)
    assert str(caught.value) == text
