"""mixup: one share and one permutation, for samples and targets alike."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layerwright.errors import DataError, OptionError, ShapeError
from layerwright.layers.regularization.mixup import mixup


@settings(deadline=None, max_examples=40)
@given(batch=st.integers(1, 6), alpha=st.sampled_from([0.05, 0.5, 1.0, 4.0]), seed=st.integers(0))
def test_samples_and_targets_are_mixed_alike(batch, alpha, seed):
    """One-hot inputs show the mixing matrix: λ on the diagonal, 1 - λ at a permutation."""
    generator = torch.Generator().manual_seed(seed % 2**63)
    identity = torch.eye(batch, dtype=torch.float64)
    x = torch.randn(batch, 2, 3, dtype=torch.float64)
    matrix, mixed = mixup(identity, x, alpha, generator=generator)
    torch.testing.assert_close(mixed.flatten(1), matrix @ x.flatten(1))
    torch.testing.assert_close(matrix.sum(0), torch.ones(batch, dtype=torch.float64))
    torch.testing.assert_close(matrix.sum(1), torch.ones(batch, dtype=torch.float64))
    others = {round(value, 9) for value in matrix.flatten().tolist()} - {0.0, 1.0}
    assert len(others) <= 2
    share = matrix.diagonal().min().item()
    assert {round(share, 9), round(1 - share, 9)} - {0.0, 1.0} in (set(), others)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_the_share_follows_the_beta_distribution(alpha):
    """Mean 1/2 and variance 1 / (4 (2α + 1))."""
    generator = torch.Generator().manual_seed(0)
    pair = torch.tensor([0.0, 1.0], dtype=torch.float64)
    shares = []
    while len(shares) < 2000:
        mixed, _ = mixup(pair, pair, alpha, generator=generator)
        if mixed.tolist() != pair.tolist():  # the permutation was not the identity
            shares.append(mixed[1].item())
    shares = torch.tensor(shares)
    assert shares.mean().item() == pytest.approx(0.5, abs=0.03)
    assert shares.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_the_seed_decides():
    """Equal seeds mix alike, by torch's default generator too, and nothing else is drawn from."""
    x = torch.randn(8, 3)
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(mixup(x, x)[0])
    results.append(mixup(x, x, generator=torch.Generator().manual_seed(3))[0])
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_few_samples_and_half_precision():
    """No sample and one sample come back as they are; the types are kept."""
    for batch in (0, 1):
        x, t = torch.randn(batch, 3, dtype=torch.bfloat16), torch.rand(batch, 2)
        mixed, mixed_target = mixup(x, t)
        assert torch.equal(mixed, x)
        assert torch.equal(mixed_target, t)
        assert (mixed.dtype, mixed_target.dtype) == (torch.bfloat16, torch.float32)


def test_the_inputs_stay_as_they_are():
    """Mixing makes new tensors, through which gradients reach the samples."""
    x, t = torch.randn(6, 3, requires_grad=True), torch.rand(6, 2)
    before = x.detach().clone(), t.clone()
    mixup(x, t)[0].sum().backward()
    assert torch.equal(x.detach(), before[0])
    assert torch.equal(t, before[1])
    torch.testing.assert_close(x.grad, torch.ones(6, 3))


@pytest.mark.parametrize(
    ("x", "target", "alpha", "error", "text"),
    [
        (
            torch.ones(2),
            torch.ones(2),
            0.0,
            OptionError,
            "mixup expected alpha to be a positive number, received 0.0.",
        ),
        (
            torch.ones(2),
            torch.ones(2, dtype=torch.int64),
            1.0,
            DataError,
            (
                "mixup expected floating-point targets, received int64. "
                "Fix: pass smooth_targets(target, num_classes) for classes."
            ),
        ),
        (
            torch.ones(2, dtype=torch.uint8),
            torch.ones(2),
            1.0,
            DataError,
            "mixup expected floating-point samples, received uint8. Fix: divide bytes by 255.",
        ),
        (
            torch.ones(2, 3),
            torch.ones(3),
            1.0,
            ShapeError,
            "mixup expected samples and targets of one batch size, received (2, 3) and (3,).",
        ),
    ],
)
def test_what_cannot_be_is_refused(x, target, alpha, error, text):
    """The message names what fits, what was received and the way out."""
    with pytest.raises(error) as caught:
        mixup(x, target, alpha)
    assert str(caught.value) == text
