import sys

import numpy as np
import pytest

from layerwright.data.diabetes import load_diabetes
from layerwright.errors import MissingExtraError


def test_inputs_and_targets_are_standardised_by_the_training_split():
    """Computed here from scikit-learn's raw numbers with numpy; no test patient enters."""
    datasets = pytest.importorskip("sklearn.datasets", reason="needs the extra 'data'")
    inputs, targets = datasets.load_diabetes(return_X_y=True, scaled=False)
    data = load_diabetes()
    train, test = data.train.indices.numpy(), data.test.indices.numpy()
    assert sorted([*train, *test]) == list(range(442))
    assert (len(train), len(test)) == (354, 88)
    for split, rows in ((data.train, train), (data.test, test)):
        expected = (inputs[rows] - inputs[train].mean(0)) / inputs[train].std(0)
        np.testing.assert_allclose(split.inputs[0].numpy(), expected, rtol=1e-5, atol=1e-5)
        expected = (targets[rows] - targets[train].mean()) / targets[train].std()
        np.testing.assert_allclose(split.targets[:, 0].numpy(), expected, rtol=1e-5, atol=1e-5)
    assert (data.task, data.input_shape, data.num_outputs) == ("regression", (10,), 1)
    (note,) = data.notes
    assert note == (
        f"Targets are standardised: disease progression = {targets[train].mean():.4f} + "
        f"{targets[train].std():.4f} * target."
    )


def test_the_split_is_fixed():
    """The first patients of the test split, written down."""
    pytest.importorskip("sklearn", reason="needs the extra 'data'")
    assert load_diabetes().test.indices[:6].tolist() == [1, 9, 10, 12, 19, 39]


def test_a_missing_extra_is_named(monkeypatch):
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError) as caught:
        load_diabetes()
    assert str(caught.value) == (
        "the diabetes data needs the package 'scikit-learn', which is not installed. "
        "Fix: pip install 'layerwright[data]'"
    )
