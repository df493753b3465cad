"""TransducerLoss against a dynamic programme in plain Python and against all alignments."""

import math
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.recurrent.transducer_loss import TransducerLoss


def log_probabilities(logits):
    """Return the log-probabilities of one sample as nested lists, computed with numbers."""
    result = []
    for frame in logits.tolist():
        result.append([])
        for cell in frame:
            norm = math.log(math.fsum(math.exp(value) for value in cell))
            result[-1].append([value - norm for value in cell])
    return result


def by_all_alignments(logits, targets, blank):
    """Return the loss of one sample: the probabilities of all alignments, one by one."""
    logs, frames = log_probabilities(logits), logits.shape[0]
    # Which of the steps before the last blank are labels: every order of them is an alignment.
    orders = set(permutations([True] * len(targets) + [False] * (frames - 1)))
    total = []
    for order in orders:
        t = u = 0
        log = 0.0
        for is_label in order:
            log += logs[t][u][targets[u] if is_label else blank]
            t, u = (t, u + 1) if is_label else (t + 1, u)
        total.append(math.exp(log + logs[t][u][blank]))
    return -math.log(math.fsum(total))


def by_backward_variables(logits, targets, blank):
    """Return the loss of one sample by a programme that walks from the end, cell by cell.

    `beta[t][u]` is the probability to write the rest of the labels from there (Graves, eq. 18),
    with plain probabilities in place of logarithms.
    """
    logs, frames = log_probabilities(logits), logits.shape[0]
    beta = {}
    for t in range(frames - 1, -1, -1):
        for u in range(len(targets), -1, -1):
            blank_step, value = math.exp(logs[t][u][blank]), 0.0
            if t == frames - 1 and u == len(targets):
                value = blank_step
            if t < frames - 1:
                value += beta[t + 1, u] * blank_step
            if u < len(targets):
                value += beta[t, u + 1] * math.exp(logs[t][u][targets[u]])
            beta[t, u] = value
    return -math.log(beta[0, 0])


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3)), min_size=1, max_size=3),
    blank=st.integers(0, 3),
    seed=st.integers(0, 100),
)
def test_agrees_with_all_alignments(sizes, blank, seed):
    """Each sample of a padded batch: lengths of no label and of one frame included."""
    frames, labels = (torch.tensor(part) for part in zip(*sizes, strict=True))
    draw = torch.Generator().manual_seed(seed)
    shape = (len(sizes), frames.max(), labels.max() + 1, 4)
    logits = 3 * torch.randn(shape, dtype=torch.float64, generator=draw)
    targets = torch.randint(0, 3, (len(sizes), labels.max()), generator=draw)
    targets += targets >= blank
    for n, (length, count) in enumerate(sizes):  # whatever stands after the end
        logits[n, length:] = 1e3
        logits[n, :, count + 1 :] = -1e3
        targets[n, count:] = -100
    found = TransducerLoss(blank, reduction="none")(logits, targets, frames, labels)
    for n, (length, count) in enumerate(sizes):
        sample = logits[n, :length, : count + 1]
        wanted = by_all_alignments(sample, targets[n, :count].tolist(), blank)
        assert found[n].item() == pytest.approx(wanted, abs=1e-12, rel=1e-12)
        other = by_backward_variables(sample, targets[n, :count].tolist(), blank)
        assert other == pytest.approx(wanted, abs=1e-12, rel=1e-12)


@pytest.mark.parametrize("size", [(40, 15), (15, 40), (1, 30), (30, 0), (1, 0)], ids=str)
def test_agrees_with_a_programme_from_the_end(size):
    """Longer sequences, in float64 and float32."""
    frames, labels = size
    logits = torch.randn(frames, labels + 1, 6, dtype=torch.float64)
    targets = torch.randint(1, 6, (labels,))
    wanted = by_backward_variables(logits, targets.tolist(), 0)
    lengths = torch.tensor(frames), torch.tensor(labels)
    found = TransducerLoss()(logits, targets, *lengths).item()
    assert found == pytest.approx(wanted, rel=1e-12)
    assert TransducerLoss()(logits.float(), targets, *lengths).item() == pytest.approx(
        wanted, rel=1e-5
    )


def batch():
    """Return three samples of several lengths, in float64."""
    logits = torch.randn(3, 3, 3, 4, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([[1, 3], [2, 0], [0, 0]])
    return logits, targets, torch.tensor([3, 2, 1]), torch.tensor([2, 1, 0])


def test_derivatives_pass_finite_differences():
    """First and second derivatives agree with finite differences."""
    logits, *rest = batch()
    loss = TransducerLoss(reduction="none")
    assert gradcheck(lambda z: loss(z, *rest), logits)
    assert gradgradcheck(lambda z: loss(z, *rest), logits)


def test_the_gradient_is_that_of_the_paper():
    """It is minus the probability to pass the transition, beside the softmax of the cell."""
    logits, targets, *_ = batch()
    z = logits[0].detach().requires_grad_()
    log_probs = z.log_softmax(-1).detach().requires_grad_()
    lengths = torch.tensor(3), torch.tensor(2)
    # The log of a softmax is its own log-softmax, so that these logits are log-probabilities.
    loss = TransducerLoss()(log_probs, targets[0], *lengths)
    (slope,) = torch.autograd.grad(loss, log_probs)
    (through,) = torch.autograd.grad(TransducerLoss()(z, targets[0], *lengths), z)
    torch.testing.assert_close(slope, through)
    assert slope.sum(-1).abs().max() < 1e-12  # a logit more for all classes changes nothing


def test_what_lies_beyond_the_lengths_gets_no_gradient():
    """Zeros there, and elsewhere something."""
    logits, targets, frames, labels = batch()
    (slope,) = torch.autograd.grad(TransducerLoss()(logits, targets, frames, labels), logits)
    inside = (torch.arange(3) < frames[:, None])[:, :, None] & (torch.arange(3) <= labels[:, None])[
        :, None
    ]
    assert not slope[~inside].any()
    assert slope[inside].any(-1).all()


@pytest.mark.parametrize(
    ("frames", "labels"), [(0, 0), (0, 1), (4, 1), (2, 3), (2, -1), (-1, 1)], ids=str
)
def test_no_alignment_means_infinite_loss_and_zero_gradient(frames, labels):
    """Without frames, and with lengths beyond the tensors; the sample beside it is as always."""
    logits, targets, *_ = batch()
    lengths = torch.tensor([frames, 3, 3]), torch.tensor([labels, 2, 2])
    losses = TransducerLoss(reduction="none")(logits, targets, *lengths)
    assert losses[0] == math.inf
    assert losses[1:].isfinite().all()
    (slope,) = torch.autograd.grad(losses.sum(), logits)
    assert not slope[0].any()
    assert slope.isfinite().all()


def test_a_batch_without_frames():
    """All losses are infinite, and backward passes."""
    logits = torch.randn(2, 0, 3, 4, requires_grad=True)
    lengths = torch.tensor([0, 0]), torch.tensor([1, 2])
    losses = TransducerLoss(reduction="none")(logits, torch.ones(2, 2, dtype=torch.int64), *lengths)
    assert losses.tolist() == [math.inf, math.inf]
    losses.sum().backward()


def test_classes_that_cannot_be():
    """A label at minus infinity leaves the other alignments, or none, and a finite gradient."""
    logits, targets, frames, labels = batch()
    shut = logits.detach().clone()
    shut[0, 0, 0, 1] = -math.inf  # not at the first frame
    shut[0, 0, 1, 0] = shut[0, 1, 0, 1] = -math.inf  # both ways to one cell
    shut[1, :, 0, 2] = -math.inf  # nowhere
    leaf = shut.clone().requires_grad_()
    losses = TransducerLoss(reduction="none")(leaf, targets, frames, labels)
    nearly = shut.clamp(min=-700)
    wanted = by_all_alignments(nearly[0], targets[0].tolist(), 0)
    assert losses[0].item() == pytest.approx(wanted, rel=1e-12)
    assert losses[1] == math.inf
    losses.sum().backward()
    assert leaf.grad.isfinite().all()
    assert leaf.grad[0].any()


def test_huge_logits_stay_finite():
    """Nothing overflows, and a sure alignment costs nothing."""
    logits = torch.full((2, 2, 3), -1e6)
    logits[0, 0, 2] = logits[0, 1, 0] = logits[1, 1, 0] = 1e6
    lengths = torch.tensor(2), torch.tensor(1)
    assert TransducerLoss()(logits, torch.tensor([2]), *lengths) == 0
    assert TransducerLoss()(logits, torch.tensor([1]), *lengths).isfinite()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_summed_up_in_float32(dtype):
    """The loss is that of the rounded logits; the gradient has their type."""
    logits, *rest = batch()
    half = logits.detach().to(dtype).requires_grad_()
    loss = TransducerLoss()(half, *rest)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, TransducerLoss()(half.float(), *rest))
    loss.backward()
    assert half.grad.dtype == dtype


def test_reductions():
    """Mean and sum are those of the losses of the samples."""
    arguments = batch()
    losses = TransducerLoss(reduction="none")(*arguments)
    assert losses.shape == (3,)
    torch.testing.assert_close(TransducerLoss()(*arguments), losses.mean())
    torch.testing.assert_close(TransducerLoss(reduction="sum")(*arguments), losses.sum())
    one = TransducerLoss(reduction="none")(*(item[0] for item in arguments))
    torch.testing.assert_close(one, losses[0])


def test_composes_with_tracing_compilation_and_export():
    """A traced, a compiled and an exported loss are one graph and give the eager result."""
    arguments = batch()
    loss = TransducerLoss()
    wanted = loss(*arguments)
    torch._dynamo.reset()
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    program = torch.export.export(loss, arguments)
    for run in (compiled, torch.fx.symbolic_trace(loss), program.module()):
        torch.testing.assert_close(run(*arguments), wanted)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"blank": -1},
            "TransducerLoss expected blank to be a whole number from 0, received -1.",
        ),
        (
            {"reduction": "max"},
            "TransducerLoss expected reduction to be one of none, mean, sum, received 'max'.",
        ),
    ],
)
def test_impossible_options_are_refused(options, text):
    """The message names the option, what it may be and what it was."""
    with pytest.raises(OptionError) as caught:
        TransducerLoss(**options)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"logits": torch.zeros(3, 4)},
            (
                "TransducerLoss expected logits of shape (N, T, U + 1, num_classes), or without N, "
                "with more than 2 classes, received (3, 4)."
            ),
        ),
        (
            {"logits": torch.zeros(3, 3, 3, 2)},
            (
                "TransducerLoss expected logits of shape (N, T, U + 1, num_classes), or without N, "
                "with more than 2 classes, received (3, 3, 3, 2)."
            ),
        ),
        (
            {"targets": torch.zeros(3, 3, dtype=torch.int64)},
            (
                "TransducerLoss expected targets to be whole numbers of shape (3, 2), "
                "received torch.int64 of shape (3, 3)."
            ),
        ),
        (
            {"frame_lengths": torch.ones(3)},
            (
                "TransducerLoss expected frame_lengths to be whole numbers of shape (3,), "
                "received torch.float32 of shape (3,)."
            ),
        ),
        (
            {"target_lengths": torch.tensor(1)},
            (
                "TransducerLoss expected target_lengths to be whole numbers of shape (3,), "
                "received torch.int64 of shape ()."
            ),
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused(changes, text):
    """The message names what fits."""
    names = ("logits", "targets", "frame_lengths", "target_lengths")
    arguments = {**dict(zip(names, batch(), strict=True)), **changes}
    with pytest.raises(ShapeError) as caught:
        TransducerLoss(blank=2)(**arguments)
    assert str(caught.value) == text


def test_repr_shows_the_options():
    """Printing shows blank and reduction."""
    assert repr(TransducerLoss(2, reduction="sum")) == "TransducerLoss(blank=2, reduction=sum)"
