"""MNIST and CIFAR-10 as they are, where LAYERWRIGHT_DATA_DIR holds them."""

import time
from io import BytesIO

import numpy as np
import pytest
import torch

from layerwright.data.catalog import load_data
from layerwright.data.cifar10 import CIFAR10
from layerwright.data.mnist import MNIST


@pytest.fixture(scope="module")
def kept_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _cache(_apart, monkeypatch, kept_cache):
    monkeypatch.setenv("XDG_CACHE_HOME", str(kept_cache))


@pytest.mark.parametrize(
    ("archive", "sizes"),
    [
        pytest.param(MNIST, (54_000, 6_000, 10_000), id="mnist"),
        pytest.param(CIFAR10, (45_000, 5_000, 10_000), id="cifar10", marks=pytest.mark.slow),
    ],
)
def test_real_data_is_what_it_is_known_to_be(real_data, archive, sizes):
    """Sizes, class counts, mean and spread of each channel, and single rows as pillow has them."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra 'data'")
    Image = pytest.importorskip("PIL.Image", reason="needs the extra 'data'")
    data = load_data(archive.name, data_dir=real_data)
    assert (len(data.train), len(data.validation), len(data.test)) == sizes
    rows = torch.cat([data.train.indices, data.validation.indices])
    assert torch.equal(rows.sort().values, torch.arange(len(rows)))
    pixels = torch.cat([data.train.inputs[0], data.validation.inputs[0]])
    assert pixels.shape[1:] == archive.shape
    for channel in range(archive.shape[0]):
        counts = torch.bincount(pixels[:, channel].flatten(), minlength=256).double().numpy()
        share = counts / counts.sum()
        levels = np.arange(256) / 255
        mean = (share * levels).sum()
        std = np.sqrt((share * (levels - mean) ** 2).sum())
        assert abs(mean - archive.normalization.mean[channel]) < 2.5e-3
        assert abs(std - archive.normalization.std[channel]) < 2.5e-3
    whole = torch.bincount(torch.cat([data.train.targets, data.validation.targets]))
    assert (torch.bincount(data.validation.targets) - whole / 10).abs().max() < 1
    table = parquet.read_table(real_data / archive.name / "test.parquet")
    for row in (0, 4321, 9999):
        encoded = table.column(archive.image_column)[row].as_py()["bytes"]
        picture = np.asarray(Image.open(BytesIO(encoded)))
        picture = picture[None] if archive.shape[0] == 1 else picture.transpose(2, 0, 1)
        assert np.array_equal(data.test.inputs[0][row].numpy(), picture)
        assert int(data.test.targets[row]) == table.column("label")[row].as_py()


def test_the_cache_saves_seconds(real_data):
    """Verified by its checksum, the data is there in less than the time of decoding it."""
    load_data("mnist", data_dir=real_data)
    start = time.perf_counter()
    load_data("mnist", data_dir=real_data)
    assert time.perf_counter() - start < 2.0
