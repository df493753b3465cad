"""smooth_targets against its formula and torch's own label smoothing."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from layerwright.errors import DataError, OptionError
from layerwright.layers.regularization.label_smoothing import smooth_targets


@settings(deadline=None, max_examples=40)
@given(
    shape=st.lists(st.integers(0, 3), max_size=3),
    num_classes=st.integers(1, 5),
    smoothing=st.sampled_from([0.0, 0.1, 1.0]),
    dtype=st.sampled_from([torch.int64, torch.uint8]),
)
def test_each_class_becomes_its_distribution(shape, num_classes, smoothing, dtype):
    """Class by class: the share that is left for the target's, and an equal one for all."""
    target = torch.randint(num_classes, shape).to(dtype)
    result = smooth_targets(target, num_classes, smoothing, dtype=torch.float64)
    classes_last = result.movedim(1, -1) if target.dim() else result
    assert classes_last.shape == (*shape, num_classes)
    rows = classes_last.reshape(-1, num_classes)
    for label, row in zip(target.flatten().tolist(), rows.tolist(), strict=True):
        wanted = [
            (1 - smoothing) * (c == label) + smoothing / num_classes for c in range(num_classes)
        ]
        assert row == pytest.approx(wanted, abs=1e-15)


@pytest.mark.parametrize("shape", [(5,), (5, 2), (5, 2, 3)])
@pytest.mark.parametrize("smoothing", [0.0, 0.2, 1.0])
def test_cross_entropy_agrees_with_torch(shape, smoothing):
    """Smoothed here or in torch's loss: one number; smoothing distributions agrees as well."""
    target = torch.randint(4, shape)
    logits = torch.randn(shape[0], 4, *shape[1:], dtype=torch.float64)
    q = smooth_targets(target, 4, smoothing, dtype=torch.float64)
    wanted = F.cross_entropy(logits, target, label_smoothing=smoothing)
    torch.testing.assert_close(F.cross_entropy(logits, q), wanted)
    p = smooth_targets(target, 4, dtype=torch.float64)
    torch.testing.assert_close(smooth_targets(p, 4, smoothing), q)


def test_types_of_distributions_are_kept():
    """Probabilities keep their type unless another is asked for; classes get the default one."""
    p = torch.eye(3, dtype=torch.bfloat16)
    assert smooth_targets(p, 3, 0.1).dtype == torch.bfloat16
    assert smooth_targets(p, 3, 0.1, dtype=torch.float64).dtype == torch.float64
    assert smooth_targets(torch.tensor([0]), 3).dtype == torch.float32


@pytest.mark.parametrize(
    ("target", "options", "error", "text"),
    [
        (
            torch.tensor([0]),
            {"smoothing": 1.1},
            OptionError,
            "smooth_targets expected smoothing to be a share in [0, 1], received 1.1.",
        ),
        (
            torch.tensor([0]),
            {"num_classes": 0},
            OptionError,
            "smooth_targets expected num_classes to be a whole number from 1, received 0.",
        ),
        (
            torch.tensor([1, 3]),
            {},
            DataError,
            (
                "smooth_targets expected classes from 0 to 2, received classes from 1 to 3. "
                "Fix: leave samples out that do not count, or raise num_classes."
            ),
        ),
        (
            torch.tensor([1, -100]),
            {},
            DataError,
            (
                "smooth_targets expected classes from 0 to 2, received classes from -100 to 1. "
                "Fix: leave samples out that do not count, or raise num_classes."
            ),
        ),
        (
            torch.tensor([True]),
            {},
            DataError,
            (
                "smooth_targets expected int64 or uint8 classes or floating-point probabilities, "
                "received bool. Fix: pass target.long()."
            ),
        ),
        (
            torch.ones(3, 2),
            {},
            DataError,
            (
                "smooth_targets expected probabilities of shape (N, 3, ...), received (3, 2). "
                "Fix: move classes to dim 1, or pass int64 classes."
            ),
        ),
    ],
)
def test_what_cannot_be_is_refused(target, options, error, text):
    """The message names what fits, what was received and the way out."""
    with pytest.raises(error) as caught:
        smooth_targets(target, **{"num_classes": 3, **options})
    assert str(caught.value) == text
