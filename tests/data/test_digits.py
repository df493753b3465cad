import zipfile

import numpy as np
import pytest
import torch

from layerwright.data import digits as digits_module
from layerwright.data.batches import make_batches
from layerwright.data.digits import NORMALIZATION, load_digits
from layerwright.data.partition import stratified_order
from layerwright.errors import DataError


def test_the_digits_are_scikit_learns():
    """Every image and label, in its order, and the split as it is said to be drawn."""
    datasets = pytest.importorskip("sklearn.datasets", reason="needs the extra 'data'")
    original = datasets.load_digits()
    data = load_digits()
    for split in (data.train, data.test):
        rows = split.indices.numpy()
        assert np.array_equal(split.inputs[0][:, 0].numpy(), original.images[rows])
        assert np.array_equal(split.targets.numpy(), original.target[rows])
    labels = torch.from_numpy(original.target)
    drawn = stratified_order(len(labels), labels, "digits", "test")[:360]
    assert torch.equal(data.test.indices, drawn.sort().values)


def test_train_and_test_part_the_digits():
    """1,437 and 360 images; each class has a fifth in the test split."""
    data = load_digits()
    rows = torch.cat([data.train.indices, data.test.indices])
    assert torch.equal(rows.sort().values, torch.arange(1797))
    assert len(data.test) == 360
    tested, trained = torch.bincount(data.test.targets), torch.bincount(data.train.targets)
    assert ((tested / (tested + trained) - 0.2).abs() < 0.005).all()
    assert (data.input_shape, data.num_outputs, data.task) == ((1, 8, 8), 10, "classification")


def test_the_normalisation_is_that_of_the_training_split():
    """Mean 0 and standard deviation 1, to the four digits that are written down."""
    data = load_digits()
    pixels = data.train.inputs[0].double() / 16
    assert abs(pixels.mean().item() - NORMALIZATION.mean[0]) < 5e-5
    assert abs(pixels.std().item() - NORMALIZATION.std[0]) < 1e-4
    batches = make_batches(data.train, batch_size=1437, shuffle=False, seed=0)
    (images,), _ = next(batches.epoch(0))
    assert abs(images.mean().item()) < 1e-3
    assert abs(images.std().item() - 1) < 1e-3


def test_the_file_is_small_and_holds_no_code():
    """It is part of the wheel, beside its licence."""
    place = digits_module.files("layerwright.data")
    assert len(place.joinpath("digits.npz").read_bytes()) < 64_000
    licence = place.joinpath("digits.LICENSE.txt").read_text()
    for text in ("Alpaydin", "Kaynak", "CC BY 4.0", "BSD 3-Clause", "scikit-learn"):
        assert text in licence
    with place.joinpath("digits.npz").open("rb") as file, zipfile.ZipFile(file) as content:
        assert sorted(content.namelist()) == ["images.npy", "is_test.npy", "labels.npy"]


def test_a_damaged_installation_is_named(monkeypatch, tmp_path):
    """The message says what to do."""
    (tmp_path / "digits.npz").write_bytes(b"no zip file")
    monkeypatch.setattr(digits_module, "files", lambda package: tmp_path)
    with pytest.raises(DataError) as caught:
        load_digits()
    message = str(caught.value)
    assert message.startswith(
        f"{tmp_path}/digits.npz expected the digits that come with layerwright, received damaged "
    )
    assert message.endswith("Fix: install layerwright again.")
