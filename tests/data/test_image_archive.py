from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest

from layerwright.data.cifar10 import CIFAR10, load_cifar10
from layerwright.data.image_archive import load_archive
from layerwright.data.mnist import MNIST, load_mnist
from layerwright.errors import DataError, MissingExtraError

pa = pytest.importorskip("pyarrow", reason="needs the extra 'data'")
parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra 'data'")
Image = pytest.importorskip("PIL.Image", reason="needs the extra 'data'")


def pictures(count, shape, seed=0):
    channels, height, width = shape
    size = (count, height, width) if channels == 1 else (count, height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def encoded(pixels):
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write(path, archive, images, labels, column=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"bytes": content, "path": None} for content in images]
    parquet.write_table(pa.table({column or archive.image_column: rows, "label": labels}), path)


def write_archive(root, archive, num_train=12, num_test=5):
    contents = {}
    for seed, (split, count) in enumerate((("train", num_train), ("test", num_test))):
        pixels = pictures(count, archive.shape, seed)
        labels = [n % 10 for n in range(count)]
        path = root / archive.name / f"{split}.parquet"
        write(path, archive, [encoded(one) for one in pixels], labels)
        contents[split] = pixels, labels
    return contents


def is_split(split, pixels, labels):
    found = split.inputs[0].numpy()
    found = found[:, 0] if found.shape[1] == 1 else found.transpose(0, 2, 3, 1)
    return np.array_equal(found, pixels) and split.targets.tolist() == labels


@pytest.mark.parametrize(("load", "archive"), [(load_mnist, MNIST), (load_cifar10, CIFAR10)])
def test_local_files_are_decoded_once(tmp_path, monkeypatch, load, archive):
    """Every pixel and label arrives; the second time no image is opened."""
    contents = write_archive(tmp_path, archive)
    data = load(tmp_path)
    assert is_split(data.train, *contents["train"])
    assert is_split(data.test, *contents["test"])
    assert (data.name, data.task, data.num_classes) == (archive.name, "classification", 10)
    assert (data.input_shape, data.target_shape) == (archive.shape, ())
    assert data.train.normalization == archive.normalization
    monkeypatch.setattr(Image, "open", None)
    monkeypatch.setenv("LAYERWRIGHT_DATA_DIR", str(tmp_path))
    again = load()
    assert is_split(again.train, *contents["train"])
    assert again.notes == ()


def test_changed_files_are_decoded_again(tmp_path):
    """The cache knows its source by content."""
    write_archive(tmp_path, MNIST)
    load_mnist(tmp_path)
    contents = write_archive(tmp_path, MNIST, num_train=7)
    assert is_split(load_mnist(tmp_path).train, *contents["train"])


def test_the_hubs_own_file_names_are_found(tmp_path):
    """Several parts are read in their order."""
    contents = write_archive(tmp_path, MNIST)
    pixels, labels = contents["train"]
    folder = tmp_path / "mnist"
    (folder / "train.parquet").unlink()
    for part, rows in enumerate((slice(0, 8), slice(8, 12))):
        images = [encoded(one) for one in pixels[rows]]
        write(folder / f"train-0000{part}-of-00002.parquet", MNIST, images, labels[rows])
    assert is_split(load_mnist(tmp_path).train, pixels, labels)


def test_the_hub_is_asked_for_a_pinned_revision(tmp_path, monkeypatch):
    """Repository, configuration, revision and both splits; afterwards the cache is enough."""
    datasets = pytest.importorskip("datasets", reason="needs the extra 'data'")
    contents = {split: pictures(6, CIFAR10.shape, n) for n, split in enumerate(("train", "test"))}
    asked = []

    def load_dataset(*args, **options):
        asked.append((*args, options))
        rows = [{"bytes": encoded(one), "path": None} for one in contents[options["split"]]]
        features = datasets.Features(
            {"img": datasets.Image(), "label": datasets.ClassLabel(num_classes=10)}
        )
        return datasets.Dataset.from_dict({"img": rows, "label": [0, 1, 2, 3, 4, 9]}, features)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    for _ in range(2):
        data = load_cifar10()
        assert is_split(data.train, contents["train"], [0, 1, 2, 3, 4, 9])
        assert is_split(data.test, contents["test"], [0, 1, 2, 3, 4, 9])
    revision = "0b2714987fa478483af9968de7c934580d0bb9a2"
    assert asked == [
        ("uoft-cs/cifar10", "plain_text", {"revision": revision, "split": split})
        for split in ("train", "test")
    ]
    assert len(MNIST.revision) == 40


def test_a_hub_that_cannot_be_reached_is_named(monkeypatch):
    """The message says how to do without it."""
    datasets = pytest.importorskip("datasets", reason="needs the extra 'data'")

    def offline(*args, **options):
        raise ConnectionError("Couldn't reach the Hub\nand more")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(DataError) as caught:
        load_mnist()
    assert str(caught.value) == (
        "mnist expected to be fetched from the hub (ylecun/mnist at 77f32790), received "
        "ConnectionError: Couldn't reach the Hub Fix: connect to the network, or point data_dir or "
        "LAYERWRIGHT_DATA_DIR at local files."
    )


@pytest.mark.parametrize("package", ["pyarrow", "PIL"])
def test_a_missing_extra_is_named(tmp_path, monkeypatch, package):
    """The message says what to install."""
    import sys

    write_archive(tmp_path, MNIST)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError) as caught:
        load_mnist(tmp_path)
    name = {"pyarrow": "pyarrow", "PIL": "pillow"}[package]
    assert str(caught.value) == (
        f"reading mnist needs the package '{name}', which is not installed. "
        "Fix: pip install 'layerwright[data]'"
    )


def test_a_missing_hub_library_is_named(monkeypatch):
    """Without local files the library `datasets` is needed."""
    import sys

    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError) as caught:
        load_mnist()
    assert str(caught.value) == (
        "fetching mnist needs the package 'datasets', which is not installed. "
        "Fix: pip install 'layerwright[data]'"
    )


def test_missing_folders_and_files_are_named(tmp_path, monkeypatch):
    """The message says what was looked for, and who said where."""
    with pytest.raises(DataError) as caught:
        load_mnist(tmp_path)
    assert str(caught.value) == (
        f"mnist expected a folder {tmp_path}/mnist with train.parquet and test.parquet, received "
        f"data_dir='{tmp_path}' without it. Fix: point data_dir at the folder that holds mnist/."
    )
    monkeypatch.setenv("LAYERWRIGHT_DATA_DIR", "/nowhere")
    with pytest.raises(DataError) as caught:
        load_mnist()
    assert str(caught.value) == (
        "mnist expected a folder /nowhere/mnist with train.parquet and test.parquet, received "
        "LAYERWRIGHT_DATA_DIR='/nowhere' without it. "
        "Fix: point LAYERWRIGHT_DATA_DIR at the folder that holds mnist/."
    )
    write_archive(tmp_path, MNIST)
    (tmp_path / "mnist" / "test.parquet").unlink()
    with pytest.raises(DataError) as caught:
        load_mnist(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/mnist expected a file test.parquet or test-00000-of-00001.parquet, received a "
        "folder with train.parquet. Fix: put the file there."
    )


def test_damaged_files_are_named(tmp_path):
    """A file cut off, other columns, no rows."""
    write_archive(tmp_path, MNIST)
    path = tmp_path / "mnist" / "train.parquet"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataError) as caught:
        load_mnist(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{path} expected a parquet file, received damaged content (")
    assert message.endswith("). Fix: fetch the file again.")
    write(path, MNIST, [encoded(pictures(1, MNIST.shape)[0])], [1], column="picture")
    with pytest.raises(DataError) as caught:
        load_mnist(tmp_path)
    assert str(caught.value) == (
        f"{path} expected the columns image and label, received picture, label. "
        "Fix: use the hub's layout."
    )
    rows = pa.array([], pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    parquet.write_table(pa.table({"image": rows, "label": pa.array([], pa.int64())}), path)
    with pytest.raises(DataError) as caught:
        load_mnist(tmp_path)
    assert str(caught.value) == (
        "the train split of mnist expected images, received none. Fix: fetch the file again."
    )


def test_damaged_rows_are_named(tmp_path):
    """The message says which row of which file."""
    write_archive(tmp_path, MNIST)
    path = tmp_path / "mnist" / "train.parquet"
    good = encoded(pictures(1, MNIST.shape)[0])
    write(path, MNIST, [good, good[:40]], [1, 2])
    with pytest.raises(DataError) as caught:
        load_mnist(tmp_path)
    assert str(caught.value).startswith(
        f"row 1 of {path} expected an encoded image, received damaged content ("
    )
    write(path, MNIST, [good, good], [1, 10])
    with pytest.raises(DataError) as caught:
        load_mnist(tmp_path)
    assert str(caught.value) == (
        f"row 1 of {path} expected 28x28 pixels and a label below 10, received 28x28 and 10. "
        "Fix: use the files of mnist."
    )
    write(path, MNIST, [encoded(pictures(1, (1, 8, 9))[0])], [1])
    with pytest.raises(DataError) as caught:
        load_mnist(tmp_path)
    assert "received 8x9 and 1. Fix:" in str(caught.value)


def test_an_archive_of_ones_own_needs_no_change_here(tmp_path):
    """Another name, column and number of classes."""
    archive = replace(MNIST, name="letters", image_column="glyph", class_names=("a", "b"))
    pixels = pictures(4, archive.shape)
    for split in ("train", "test"):
        path = tmp_path / "letters" / f"{split}.parquet"
        write(path, archive, [encoded(one) for one in pixels], [0, 1, 1, 0])
    data = load_archive(archive, tmp_path)
    assert is_split(data.train, pixels, [0, 1, 1, 0])
    assert data.num_classes == 2
