"""Metrics against scikit-learn, under every way to cut the data into batches."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from layerwright.errors import DataError, OptionError, ShapeError
from layerwright.training.metrics import METRICS, resolve_metrics


def metric(spec, task=None, num_classes=None):
    (only,) = resolve_metrics([spec], task, num_classes)
    return only


def value(metric, output, target, cuts=()):
    """Feed the samples in batches that end at `cuts`, from a clean state."""
    metric.reset()
    bounds = [0, *sorted(cuts), len(target)]
    for start, end in pairwise(bounds):
        metric.update(output[start:end], target[start:end])
    return metric.compute()


@st.composite
def cut_data(draw, min_samples=1):
    """A number of samples, places to cut them, and a seed."""
    num_samples = draw(st.integers(min_value=min_samples, max_value=40))
    cuts = draw(st.lists(st.integers(min_value=0, max_value=num_samples), max_size=4))
    return num_samples, cuts, np.random.default_rng(draw(st.integers(0, 1000)))


@settings(deadline=None, max_examples=30)
@given(cut_data(), st.integers(min_value=2, max_value=6))
def test_accuracy_of_classes(data, num_classes):
    """Equal to scikit-learn, exactly, for classes and one-hot targets."""
    num_samples, cuts, rng = data
    logits = rng.normal(size=(num_samples, num_classes))
    target = rng.integers(num_classes, size=num_samples)
    expected = reference.accuracy_score(target, logits.argmax(1))
    accuracy = metric("accuracy", "classification")
    assert value(accuracy, torch.tensor(logits), torch.tensor(target), cuts) == expected
    one_hot = torch.eye(num_classes)[torch.tensor(target)]
    assert value(accuracy, torch.tensor(logits), one_hot, cuts) == expected
    column = torch.tensor(target)[:, None]
    assert value(accuracy, torch.tensor(logits), column, cuts) == expected


@settings(deadline=None, max_examples=20)
@given(cut_data(), st.sampled_from([torch.int64, torch.bool, torch.float32]))
def test_accuracy_of_one_logit(data, dtype):
    """A logit above 0 means yes, whether output or target have a last dim of 1 or not."""
    num_samples, cuts, rng = data
    logits = rng.normal(size=num_samples)
    target = rng.integers(2, size=num_samples)
    expected = reference.accuracy_score(target, logits > 0)
    flat, labels = torch.tensor(logits), torch.tensor(target).to(dtype)
    for task in ("binary", None):
        for output in (flat, flat[:, None]):
            for wanted in (labels, labels[:, None]):
                assert value(metric("accuracy", task), output, wanted, cuts) == expected


def test_binary_accuracy_of_several_questions_counts_each():
    """With task "binary" each of (N, L) logits is an answer of its own."""
    output = torch.tensor([[1.0, -1.0], [2.0, 3.0]])
    target = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert value(metric("accuracy", "binary"), output, target) == 0.75
    assert value(metric("accuracy"), output, target) == 1.0  # two classes: both maxima are right


def test_accuracy_of_maps_counts_each_place():
    """Logits (N, C, H, W) are compared with classes (N, H, W)."""
    output = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    target = torch.arange(40).reshape(2, 4, 5) % 3
    expected = reference.accuracy_score(target.flatten(), output.argmax(1).flatten())
    assert value(metric("accuracy"), output, target) == expected
    assert value(metric("top-1"), output, target) == expected


@settings(deadline=None, max_examples=30)
@given(cut_data(), st.integers(min_value=3, max_value=6), st.data())
def test_top_k(data, num_classes, draws):
    """Equal to scikit-learn where no two logits are equal, and top-1 to the accuracy."""
    num_samples, cuts, rng = data
    k = draws.draw(st.integers(min_value=1, max_value=num_classes))
    logits = rng.normal(size=(num_samples, num_classes))
    target = rng.integers(num_classes, size=num_samples)
    rank = (logits > logits[np.arange(num_samples), target][:, None]).sum(1)
    expected = (rank < k).mean()
    output, classes = torch.tensor(logits), torch.tensor(target)
    assert value(metric(f"top-{k}"), output, classes, cuts) == expected
    if k < num_classes:
        assert expected == reference.top_k_accuracy_score(
            target, logits, k=k, labels=range(num_classes)
        )
    assert value(metric("top-1"), output, classes) == value(metric("accuracy"), output, classes)


def test_equal_logits_rank_by_class():
    """A constant network has the first k classes right, so that it gets no credit for ties."""
    output, target = torch.zeros(10, 10), torch.arange(10)
    assert value(metric("accuracy"), output, target) == 0.1
    assert value(metric("top-1"), output, target) == 0.1
    assert value(metric("top-3"), output, target) == 0.3
    assert value(metric("top-10"), output, target) == 1.0


def test_nan_is_never_credited_to_the_class_it_stands_at():
    """NaN ranks above numbers, as in argmax, and among NaNs the lower class comes first or none."""
    nan = math.nan
    output = torch.tensor([[nan, 1.0, 2.0], [nan, 1.0, 2.0]])
    assert value(metric("top-1"), output, torch.tensor([2, 1])) == 0
    assert value(metric("top-2"), output, torch.tensor([2, 1])) == 0.5


@pytest.mark.parametrize("name", ["accuracy", "top-2", "confusion-matrix"])
def test_the_ignored_class_is_left_out(name):
    """Targets of -100 count in neither numerator nor denominator, as in the loss."""
    target = torch.tensor([0, -100, 2, 1, -100, 1])
    output = torch.eye(3)[[0, 1, 2, 2, 0, 1]]  # three of four are right
    kept = target != -100
    expected = value(metric(name), output[kept], target[kept])
    assert value(metric(name), output, target, cuts=(2,)) == expected


@settings(deadline=None, max_examples=30)
@given(cut_data(), st.sampled_from([(), (1,), (3,), (2, 2)]))
def test_mae(data, shape):
    """Equal to scikit-learn up to rounding, with float32 outputs summed in float64."""
    num_samples, cuts, rng = data
    output = rng.normal(size=(num_samples, *shape)).astype(np.float32)
    target = rng.normal(size=(num_samples, *shape)) * 1e3
    expected = reference.mean_absolute_error(
        target.reshape(num_samples, -1), output.astype(np.float64).reshape(num_samples, -1)
    )
    found = value(metric("mae"), torch.tensor(output), torch.tensor(target), cuts)
    assert found == pytest.approx(expected, rel=1e-12)


@settings(deadline=None, max_examples=40)
@given(cut_data(min_samples=2), st.sampled_from([(), (1,), (3,)]), st.sampled_from([0.0, 1e6]))
def test_r2(data, shape, offset):
    """Equal to scikit-learn in float64, also for targets far from zero and several outputs."""
    num_samples, cuts, rng = data
    target = rng.normal(size=(num_samples, *shape)) + offset
    output = target + 0.3 * rng.normal(size=target.shape)
    expected = reference.r2_score(target.reshape(num_samples, -1), output.reshape(num_samples, -1))
    found = value(metric("r2"), torch.tensor(output), torch.tensor(target), cuts)
    assert found == pytest.approx(expected, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("constant", [0.1, 1e8 / 3, 0.0])
def test_r2_of_a_constant_target_is_one_or_zero(constant):
    """Rounding does not turn a constant into a tiny variance; the values are scikit-learn's."""
    target = torch.full((7,), constant, dtype=torch.float64)
    for output in (target.clone(), target + 1):
        expected = reference.r2_score(torch.zeros(7), output - target)
        assert value(metric("r2"), output, target, cuts=(3, 4)) == expected


def test_r2_mixes_constant_and_varying_outputs():
    """Each output has its own value before they are averaged."""
    target = torch.tensor([[1.0, 5.0], [2.0, 5.0], [4.0, 5.0]])
    output = torch.tensor([[1.0, 5.0], [2.0, 6.0], [3.0, 5.0]])
    expected = reference.r2_score(target, output)
    assert value(metric("r2"), output, target) == pytest.approx(expected)


@settings(deadline=None, max_examples=20)
@given(cut_data(), st.integers(min_value=2, max_value=5))
def test_confusion_matrix(data, num_classes):
    """Rows are true classes, columns predicted ones, as in scikit-learn."""
    num_samples, cuts, rng = data
    logits = rng.normal(size=(num_samples, num_classes))
    target = rng.integers(num_classes, size=num_samples)
    expected = reference.confusion_matrix(target, logits.argmax(1), labels=range(num_classes))
    matrix = metric("confusion-matrix")
    found = value(matrix, torch.tensor(logits), torch.tensor(target), cuts)
    assert found == expected.tolist()
    assert all(type(count) is int for row in found for count in row)


def test_confusion_matrix_of_one_logit_has_two_classes():
    """No and yes."""
    output, target = torch.tensor([-1.0, 1.0, 2.0]), torch.tensor([0.0, 0.0, 1.0])
    assert value(metric("confusion-matrix", "binary"), output, target) == [[1, 1], [0, 1]]


@pytest.mark.parametrize("name", ["accuracy", "top-2", "mae", "r2"])
def test_without_samples_a_metric_is_nan(name):
    """Nothing was measured; reset forgets what was."""
    fresh = metric(name)
    assert math.isnan(fresh.compute())
    output = torch.eye(4)
    fresh.update(output, output if name in ("mae", "r2") else torch.arange(4))
    assert fresh.compute() in (0.0, 1.0)
    fresh.reset()
    assert math.isnan(fresh.compute())


def test_r2_of_one_sample_is_nan_and_a_matrix_without_samples_is_empty():
    """One sample has no variance."""
    one = metric("r2")
    one.update(torch.ones(1), torch.ones(1))
    one.update(torch.ones(0), torch.ones(0))
    assert math.isnan(one.compute())
    assert metric("confusion-matrix").compute() == []


def test_counts_stay_exact_where_float32_would_not():
    """2²⁴ + 1 samples are one more than float32 can count."""
    accuracy = metric("accuracy", "binary")
    accuracy.update(torch.ones(1, 1).expand(2**24, 1), torch.ones(1).expand(2**24))
    accuracy.update(-torch.ones(1), torch.ones(1))
    assert accuracy.compute() == 2**24 / (2**24 + 1)


@pytest.mark.parametrize(
    ("task", "names"),
    [
        ("classification", ["accuracy"]),
        ("binary", ["accuracy"]),
        ("regression", ["mae", "r2"]),
        ("distribution", []),
        (None, []),
    ],
)
def test_the_task_decides_where_no_metrics_are_given(task, names):
    """An unknown task has none."""
    assert [metric.name for metric in resolve_metrics((), task, None)] == names


def test_directions():
    """Errors improve downwards, all else upwards."""
    found = resolve_metrics(["accuracy", "top-5", "mae", "r2", "confusion-matrix"], None, 10)
    assert {metric.name: metric.higher_is_better for metric in found} == {
        "accuracy": True,
        "top-5": True,
        "mae": False,
        "r2": True,
        "confusion-matrix": True,
    }
    assert sorted(METRICS) == [
        "accuracy",
        "confusion-matrix",
        "mae",
        "map",
        "map-50",
        "r2",
        "top-k",
    ]


@settings(deadline=None, max_examples=15)
@given(cut_data())
def test_a_users_function_is_averaged_over_samples(data):
    """Batches of different sizes count by their samples."""
    num_samples, cuts, rng = data
    output, target = torch.tensor(rng.normal(size=(2, num_samples, 3)))

    def distance(output, target):
        return (output - target).norm(dim=1).mean()

    distance.higher_is_better = False
    mine = metric(distance)
    assert (mine.name, mine.higher_is_better) == ("distance", False)
    expected = np.linalg.norm((output - target).numpy(), axis=1).mean()
    assert value(mine, output, target, cuts) == pytest.approx(expected, rel=1e-12)


class Largest:
    """A metric class without reset, whose value is a tensor."""

    higher_is_better = False

    def __init__(self):
        self.seen = []

    def update(self, output, target):
        self.seen.append((output - target).abs().max())

    def compute(self):
        return torch.stack(self.seen).max()


class PerClass(Largest):
    """A metric object with reset and several values."""

    def __init__(self, name="per-class"):
        super().__init__()
        self.name = name

    def reset(self):
        self.seen = []

    def compute(self):
        return torch.stack(self.seen)


def test_a_users_class_or_object_with_update_and_compute_is_a_metric():
    """A class is built; without reset it starts afresh from a copy; tensors become numbers."""
    output, target = torch.tensor([1.0, 5.0, 2.0]), torch.zeros(3)
    for spec in (Largest, Largest()):
        mine = metric(spec)
        assert (mine.name, mine.higher_is_better) == ("Largest", False)
        assert value(mine, output, target, cuts=(2,)) == 5.0
        assert value(mine, output[2:], target[2:]) == 2.0
    named = metric(PerClass())
    assert named.name == "per-class"
    assert value(named, output, target, cuts=(1,)) == [1.0, 5.0]
    assert value(named, output, target) == [5.0]


def test_a_users_function_gets_several_outputs_as_they_are():
    """A network's tuple is none of the trainer's business."""
    mine = metric(lambda output, target: (output[0] + output[1] - target).abs().mean())
    mine.update((torch.ones(3), torch.ones(3)), torch.zeros(3))
    assert mine.compute() == 2.0


@pytest.mark.parametrize(
    ("specs", "num_classes", "message"),
    [
        (
            ["accuraci"],
            None,
            (
                "unknown metric 'accuraci'. Did you mean 'accuracy'? "
                "Known: accuracy, confusion-matrix, mae, map, map-50, r2, top-k."
            ),
        ),
        (
            ["top-k"],
            None,
            "metric 'top-k' expected a number k from 1. Fix: write top-3, for example.",
        ),
        (
            ["top-0"],
            10,
            "metric 'top-0' expected a number k from 1 to 10. Fix: write top-3, for example.",
        ),
        (
            ["top-11"],
            10,
            "metric 'top-11' expected a number k from 1 to 10. Fix: write top-3, for example.",
        ),
        (
            ["mae", "mae"],
            None,
            (
                "metrics expected different names, received 'mae' twice. "
                "Fix: drop one, or give one a name of its own."
            ),
        ),
        (
            [3],
            None,
            (
                "metric expected a name, a callable (output, target) -> scalar or an object with "
                "update and compute, received 3. "
                "Fix: choose one of accuracy, confusion-matrix, mae, map, map-50, r2, top-k."
            ),
        ),
    ],
)
def test_impossible_metrics_are_refused(specs, num_classes, message):
    """Unknown names, impossible k and equal names say what is possible."""
    with pytest.raises(OptionError) as caught:
        resolve_metrics(specs, "classification", num_classes)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "output", "target", "kind", "message"),
    [
        (
            "accuracy",
            torch.zeros(4, 3),
            torch.zeros(4, 2),
            ShapeError,
            (
                "accuracy expected classes of shape (4,) for an output of shape (4, 3), received "
                "(4, 2). Fix: give the network one output per class in dim 1."
            ),
        ),
        (
            "accuracy",
            torch.zeros(4, 1),
            torch.zeros(5),
            ShapeError,
            (
                "accuracy expected a target of the output's shape (4, 1), received (5,). "
                "Fix: give the network one output per target value."
            ),
        ),
        (
            "r2",
            torch.zeros(4, 4),
            torch.zeros(4),
            ShapeError,
            (
                "r2 expected a target of the output's shape (4, 4), received (4,). "
                "Fix: give the network one output per target value."
            ),
        ),
        (
            "top-3",
            torch.zeros(4, 2),
            torch.zeros(4, dtype=torch.int64),
            ShapeError,
            (
                "top-3 expected at least 3 classes in dim 1, received an output of shape (4, 2). "
                "Fix: use a smaller k, or accuracy."
            ),
        ),
        (
            "top-1",
            torch.zeros(4),
            torch.zeros(4),
            ShapeError,
            (
                "top-1 expected at least 2 classes in dim 1, received an output of shape (4,). "
                "Fix: use a smaller k, or accuracy."
            ),
        ),
        (
            "confusion-matrix",
            torch.zeros(2, 3),
            torch.tensor([0, 3]),
            DataError,
            (
                "confusion-matrix expected classes from 0 to 2, received classes from 0 to 3. "
                "Fix: number the classes from 0."
            ),
        ),
        (
            "mae",
            (torch.zeros(2), torch.zeros(2)),
            torch.zeros(2),
            ShapeError,
            (
                "mae expected one tensor as output, received tuple. "
                "Fix: give a function (output, target) of your own."
            ),
        ),
    ],
)
def test_unfit_tensors_are_refused(name, output, target, kind, message):
    """Nothing broadcasts, and no class is counted in a wrong cell."""
    with pytest.raises(kind) as caught:
        metric(name).update(output, target)
    assert str(caught.value) == message


def test_what_a_users_metric_returns_must_be_a_number():
    """A tensor of several values and a dict say which metric it was."""

    def raw(output, target):
        return output - target

    with pytest.raises(ShapeError) as caught:
        metric(raw).update(torch.ones(2), torch.zeros(2))
    assert str(caught.value) == (
        "metric 'raw' expected one number per batch, received tensor([1., 1.]). "
        "Fix: return a scalar, such as a mean over the batch."
    )

    class Table(PerClass):
        def compute(self):
            return {"a": 1}

    with pytest.raises(OptionError) as caught:
        metric(Table("table")).compute()
    assert str(caught.value) == (
        "metric 'table' expected compute to return a number or a list, received {'a': 1}. "
        "Fix: return one of them."
    )
