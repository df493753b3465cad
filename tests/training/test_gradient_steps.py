"""The inner loop against plain torch, written out here."""

import pytest
import torch
from torch import nn

from layerwright.training.gradient_steps import GradientSteps, NonFiniteStep

NEVER = {"due_at": lambda: (float("inf"), 2**62), "on_due": lambda: True}


def make(network, *, criterion=nn.functional.mse_loss, lr=0.1, **changes):
    optimizer = torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9)
    options = {
        "factor": lambda step: 1.0,
        "constant_lr": True,
        "accumulate": 1,
        "batch_size": 4,
        "num_samples": 20,
        "clip_norm": None,
        "autocast": None,
        "guard": True,
        "deferred": False,
        **changes,
    }
    return GradientSteps(network, list(network.parameters()), criterion, optimizer, **options)


def data(count=20):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 3, generator=generator), torch.randn(count, 2, generator=generator)


def batches(size, count=20):
    x, y = data(count)
    return (((a,), b) for a, b in zip(x.split(size), y.split(size), strict=True))


def network():
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def plain_loop(net, pairs, *, lr=0.1, factor=lambda step: 1.0, clip=None):
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    for step, ((x,), y) in enumerate(pairs):
        optimizer.param_groups[0]["lr"] = lr * factor(step)
        optimizer.zero_grad()
        nn.functional.mse_loss(net(x), y).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()
    return net


def test_the_weights_are_those_of_a_plain_loop():
    """Bit for bit: the loop adds bookkeeping and nothing else."""
    steps = make(network())
    assert steps.run(batches(4), **NEVER) is None
    assert torch.equal(steps.network.weight, plain_loop(network(), batches(4)).weight)
    assert (steps.step, steps.batch, steps.num_seen) == (5, 5, 20)


def test_a_schedule_and_clipping_are_applied_at_each_step():
    """The factor multiplies the peak rate; gradients are clipped to the total norm."""

    def factor(step):
        return 1 / (1 + step)

    steps = make(network(), factor=factor, constant_lr=False, clip_norm=0.1)
    steps.run(batches(4), **NEVER)
    expected = plain_loop(network(), batches(4), factor=factor, clip=0.1)
    assert torch.equal(steps.network.weight, expected.weight)


@pytest.mark.parametrize("deferred", [False, True])
def test_the_epoch_s_loss_is_the_mean_over_samples(deferred):
    """A last batch that is smaller counts for its samples only."""
    net = network()
    steps = make(net, lr=1e-30, num_samples=18, deferred=deferred)
    steps.run(batches(4, count=18), **NEVER)
    x, y = data(18)
    expected = nn.functional.mse_loss(net(x), y).item()
    assert steps.mean_loss() == pytest.approx(expected, rel=1e-6)


def test_accumulated_passes_give_the_step_of_the_large_batch():
    """4 passes of 2 samples are one step on 8, the short rest of an epoch included."""
    small = make(network(), accumulate=4, batch_size=2, num_samples=18)
    small.run(batches(2, count=18), **NEVER)
    large = make(network(), batch_size=8, num_samples=18)
    large.run(batches(8, count=18), **NEVER)
    assert (small.step, large.step) == (3, 3)
    torch.testing.assert_close(small.network.weight, large.network.weight)


def test_the_loop_stops_where_it_is_told_and_goes_on_from_there():
    """on_due is called at its step; what follows a stop equals the uninterrupted run."""
    seen = []
    steps = make(network())

    def stop():
        seen.append(steps.step)
        return False

    stream = batches(4)
    steps.run(stream, due_at=lambda: (float("inf"), 2), on_due=stop)
    assert seen == [2]
    assert steps.batch == 2
    steps.run(stream, **NEVER)
    assert torch.equal(steps.network.weight, plain_loop(network(), batches(4)).weight)


def poisoned(where):
    """A loss that is finite and whose gradient is not, from the batch `where` on."""
    calls = []

    def criterion(output, target):
        calls.append(None)
        loss = nn.functional.mse_loss(output, target)
        if len(calls) > where:
            return loss + torch.sqrt((output * 0).sum())  # the slope of sqrt at 0 is infinite
        return loss

    return criterion, calls


def test_a_finite_loss_with_a_non_finite_gradient_stops_before_the_update():
    """The weights are those of the step before, and no further batch is computed."""
    criterion, calls = poisoned(2)
    steps = make(network(), criterion=criterion)
    assert steps.run(batches(4), **NEVER) == NonFiniteStep(step=2, epoch=0, batch=2)
    assert len(calls) == 3
    expected = network()
    optimizer = torch.optim.SGD(expected.parameters(), lr=0.1, momentum=0.9)
    for number, ((x,), y) in enumerate(batches(4)):
        if number < 2:
            optimizer.zero_grad()
            nn.functional.mse_loss(expected(x), y).backward()
            optimizer.step()
    assert torch.equal(steps.network.weight, expected.weight)


def test_deferred_the_step_is_noticed_one_step_later():
    """On an accelerator the look at a step happens while the next one is queued, not later."""
    criterion, calls = poisoned(2)
    steps = make(network(), criterion=criterion, deferred=True)
    assert steps.run(batches(4), **NEVER) == NonFiniteStep(step=2, epoch=0, batch=2)
    assert len(calls) == 4


def test_deferred_the_last_step_is_noticed_when_settled():
    """Before weights are saved the last look is waited for."""
    criterion, _ = poisoned(4)
    steps = make(network(), criterion=criterion, deferred=True)
    assert steps.run(batches(4), **NEVER) is None
    assert steps.settle() == NonFiniteStep(step=4, epoch=0, batch=4)
    assert steps.settle() is None


def test_a_non_finite_loss_is_noticed():
    """Infinity in the loss stops the step that has it."""
    steps = make(network(), criterion=lambda output, target: output.sum() * float("inf"))
    assert steps.run(batches(4), **NEVER) == NonFiniteStep(step=0, epoch=0, batch=0)


def test_a_sum_that_overflows_is_no_alarm():
    """Gradients whose sum overflows although each is finite do not stop a run."""
    net = nn.Linear(3, 2, bias=False)
    nn.init.zeros_(net.weight)
    steps = make(net, criterion=lambda output, target: output.sum() * 2e37, lr=1e-45)
    x = torch.ones(4, 3)
    steps.run(iter([((x,), torch.zeros(4, 2))]), **NEVER)
    assert steps.step == 1


def test_without_the_guard_nothing_is_stopped():
    """A user who wants the NaN gets it."""
    steps = make(
        network(), criterion=lambda output, target: output.sum() * float("nan"), guard=False
    )
    assert steps.run(batches(4), **NEVER) is None
    assert steps.step == 5


def test_sparse_gradients_are_looked_at():
    """An embedding with sparse gradients trains, and its infinities are noticed."""
    table = nn.Embedding(5, 2, sparse=True)
    optimizer = torch.optim.SGD(table.parameters(), lr=0.1)
    steps = make(network())
    steps.network, steps.optimizer, steps.parameters = table, optimizer, list(table.parameters())
    index = torch.tensor([1, 3])
    steps.criterion = lambda output, target: output.sum()
    steps.run(iter([((index,), torch.zeros(2))]), **NEVER)
    assert steps.step == 1
    steps.criterion = lambda output, target: torch.sqrt((output * 0).sum())
    assert steps.run(iter([((index,), torch.zeros(2))]), **NEVER) is not None
