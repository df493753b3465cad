"""Predicting tensors, arrays and files."""

import numpy as np
import pytest
import torch
from torch import nn

import layerwright as lw
from layerwright.data.catalog import load_data
from layerwright.errors import DataError, ShapeError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return lw.fit(
        "customnet", "digits", epochs=5, lr=3e-3, run_dir=tmp_path_factory.mktemp("runs") / "run"
    )


@pytest.fixture(scope="module")
def digits():
    split = load_data("digits").test
    return split.inputs[0], split.targets


def test_raw_pixels_are_normalised_as_in_training(run, digits):
    """Accuracy on the raw test pixels is the run's own."""
    pixels, labels = digits
    prediction = lw.predict(run.dir, pixels)
    accuracy = (prediction.classes == labels).float().mean().item()
    assert accuracy == pytest.approx(run.test["accuracy"])
    torch.testing.assert_close(prediction.probabilities.sum(1), torch.ones(len(pixels)))


def test_images_and_arrays_on_disk_are_read_alike(run, digits, tmp_path):
    """A PNG of a digit (0 to 255) and its array (0 to 16) get the same class."""
    image = pytest.importorskip("PIL.Image", reason="pillow is an extra")
    pixels, _ = digits
    files, arrays = [], []
    for index in range(20):
        raw = pixels[index, 0].numpy()
        files.append(tmp_path / f"{index}.png")
        image.fromarray((raw * 255.0 / 16).astype(np.uint8)).save(files[-1])
        arrays.append(tmp_path / f"{index}.npy")
        np.save(arrays[-1], raw[None])
    expected = lw.predict(run.dir, pixels[:20])
    from_arrays = lw.predict(run.dir, arrays)
    from_images = lw.predict(run.dir, files)
    assert torch.equal(from_arrays.outputs, expected.outputs)
    torch.testing.assert_close(from_images.outputs, expected.outputs, atol=0.3, rtol=0.1)
    assert from_images.labels() == expected.labels()
    assert expected.labels()[0] == str(int(expected.classes[0]))


def test_a_regression_gives_its_numbers(tmp_path):
    """No classes and no probabilities where the task has none."""
    torch.manual_seed(0)
    network = nn.Linear(3, 1)
    x = torch.randn(50, 3)
    run = lw.fit(network, (x, x.sum(1)), epochs=1)
    prediction = lw.predict(run, x[:4])
    assert prediction.classes is None
    assert prediction.probabilities is None
    torch.testing.assert_close(prediction.outputs, network(x[:4]).detach())


def test_bad_input_is_refused_in_words(run, tmp_path):
    """Missing and damaged files, and shapes that do not fit."""
    with pytest.raises(DataError) as caught:
        lw.predict(run.dir, [tmp_path / "none.png"])
    assert str(caught.value) == (
        f"predict expected a file, and {tmp_path / 'none.png'} is none. Fix: check the path."
    )
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"no image")
    with pytest.raises(DataError) as caught:
        lw.predict(run.dir, [damaged])
    assert str(caught.value) == f"{damaged} expected an image or a .npy file, and cannot be read."
    pickled = tmp_path / "pickled.npy"
    np.save(pickled, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="expected an array of numbers"):
        lw.predict(run.dir, [pickled])
    with pytest.raises(ShapeError) as caught:
        lw.predict(run.dir, torch.zeros(2, 1, 9, 9))
    assert str(caught.value) == (
        "the network expected samples of shape (1, 8, 8), received (1, 9, 9). "
        "Fix: give (N, 1, 8, 8)."
    )
