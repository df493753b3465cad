import pickle

import numpy as np
import pytest
import torch

from layerwright.data import image_folder
from layerwright.data.batches import make_batches
from layerwright.data.catalog import load_data
from layerwright.data.image_folder import ImageForm, read_image
from layerwright.errors import DataError, MissingExtraError

Image = pytest.importorskip("PIL.Image", reason="needs the extra 'data'")


def picture(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def colours(seed, height=6, width=8):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def grey(seed, height=6, width=8):
    return colours(seed, height, width)[..., 0].copy()


def fill(root, names=("cat", "dog"), count=10, make=colours):
    return {
        (name, number): picture(root / name / f"{number}.png", make(place * 100 + number))
        for place, name in enumerate(names)
        for number in range(count)
    }


def refused(root, **options):
    with pytest.raises(DataError) as caught:
        load_data(root, **options)
    return str(caught.value)


def test_each_subfolder_is_a_class(tmp_path):
    """Every picture arrives with its class; validation is carved off by class."""
    pixels = fill(tmp_path)
    data = load_data(str(tmp_path), validation=0.2)
    assert (data.name, data.task) == (tmp_path.name, "classification")
    assert (data.class_names, data.num_classes) == (("cat", "dog"), 2)
    assert (data.input_shape, data.test, data.unreplayable) == ((3, 6, 8), None, None)
    assert data.validation.labels.tolist() == [0, 0, 1, 1]
    expected = {(c, pixels[c, n].tobytes()) for c, n in pixels}
    seen = set()
    for split in (data.train, data.validation):
        for (images,), target in make_batches(
            split, batch_size=3, shuffle=True, seed=0, workers=1
        ).epoch(0):
            raw = ((images * 0.25 + 0.5) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
            names = [data.class_names[label] for label in target.tolist()]
            seen |= {(n, one.numpy().tobytes()) for n, one in zip(names, raw, strict=True)}
    assert seen == expected


def test_grey_pictures_stay_grey(tmp_path):
    """One channel; a single colour picture makes all of them colour."""
    pixels = fill(tmp_path, make=grey)
    data = load_data(tmp_path)
    assert data.input_shape == (1, 6, 8)
    assert np.array_equal(data.train.dataset[0][0][0].numpy(), pixels["cat", 0])
    picture(tmp_path / "dog" / "new.png", colours(5))
    data = load_data(tmp_path)
    assert data.input_shape == (3, 6, 8)
    assert np.array_equal(data.train.dataset[0][0][1].numpy(), pixels["cat", 0])


def test_split_folders_are_understood(tmp_path):
    """train, val and test; the classes are those of train."""
    for name, count in (("train", 4), ("Val", 2), ("test", 3)):
        fill(tmp_path / name, count=count)
    data = load_data(tmp_path)
    assert (len(data.train), len(data.validation), len(data.test)) == (8, 4, 6)
    fill(tmp_path / "test", names=("eel",), count=1)
    assert refused(tmp_path) == (
        f"{tmp_path}/test expected the classes cat, dog, received a folder 'eel'. "
        "Fix: give every split the same classes."
    )


def test_a_split_may_lack_a_class(tmp_path):
    """Labels follow the names, not the position."""
    fill(tmp_path / "train")
    fill(tmp_path / "test", names=("dog",), count=2)
    assert load_data(tmp_path).test.labels.tolist() == [1, 1]


def test_hidden_and_other_files_are_left_aside(tmp_path):
    """Also those that a file manager leaves; deeper folders belong to their class."""
    fill(tmp_path, count=2)
    (tmp_path / "cat" / "notes.txt").write_text("")
    (tmp_path / "cat" / "._0.png").write_text("")
    (tmp_path / ".cache").mkdir()
    picture(tmp_path / "cat" / "more" / "x.PNG", colours(9))
    assert load_data(tmp_path, validation=0).train.labels.tolist() == [0, 0, 0, 1, 1]


def test_other_sizes_need_a_size(tmp_path):
    """Named at the start; `image_size` scales the shorter side and cuts the middle out."""
    fill(tmp_path)
    odd = tmp_path / "dog" / "z.png"
    picture(odd, colours(1, 5, 5))
    assert refused(tmp_path) == (
        f"the image {odd} expected 6x8 pixels like the others, received 5x5. "
        "Fix: give image_size, to which all are scaled, or scale the files."
    )
    data = load_data(tmp_path, image_size=4)
    assert data.input_shape == (3, 4, 4)
    assert all(data.train.dataset[n][0].shape == (3, 4, 4) for n in range(21))
    halves = np.zeros((4, 8), np.uint8)
    halves[:, :4] = 200
    picture(tmp_path / "half.png", halves)
    scaled = read_image(tmp_path / "half.png", ImageForm("L", (4, 4), scaled=True))
    assert scaled[0].tolist() == [[200, 200, 0, 0]] * 4


def test_pictures_that_were_not_looked_at_are_checked_when_they_are_read(tmp_path, monkeypatch):
    """Of a large folder only some are looked at before training starts."""
    monkeypatch.setattr(image_folder, "_MOST_LOOKED_AT", 2)
    fill(tmp_path)
    odd = tmp_path / "cat" / "5.png"
    picture(odd, colours(1, 5, 5))
    data = load_data(tmp_path, validation=0)
    with pytest.raises(DataError) as caught:
        list(make_batches(data.train, batch_size=4, shuffle=False, seed=0, workers=1).epoch(0))
    assert str(caught.value) == (
        f"the image {odd} expected 6x8 pixels like the others, received 5x5. "
        "Fix: give image_size, to which all are scaled, or scale the files."
    )


@pytest.mark.parametrize("content", [b"no picture", b"\x89PNG\r\n\x1a\n1234"])
def test_damaged_pictures_are_named(tmp_path, content):
    """At the start where they are looked at."""
    fill(tmp_path)
    (tmp_path / "cat" / "3.png").write_bytes(content)
    message = refused(tmp_path)
    assert message.startswith(
        f"the image {tmp_path}/cat/3.png expected a readable picture, received damaged or unknown "
    )
    assert message.endswith("Fix: replace it or remove it.")


def test_a_picture_cut_off_is_named_when_it_is_read(tmp_path):
    """Its header is intact."""
    fill(tmp_path, count=3)
    path = tmp_path / "cat" / "1.png"
    picture(path, colours(0, 6, 8))
    path.write_bytes(path.read_bytes()[:-60])
    data = load_data(tmp_path, validation=0)
    with pytest.raises(DataError) as caught:
        data.train.dataset[1]
    assert str(caught.value).startswith(f"the image {path} expected a readable picture, received ")


def test_deep_pictures_are_refused(tmp_path):
    """16 bits would be cut to 8 without a word."""
    fill(tmp_path, names=("cat",), count=1)
    path = tmp_path / "cat" / "0.png"
    Image.fromarray(np.full((6, 8), 40_000, np.uint16)).save(path)
    with pytest.raises(DataError) as caught:
        load_data(tmp_path, validation=0).train.dataset[0]
    assert str(caught.value) == (
        f"the image {path} expected 8 bits per channel, received mode I;16. "
        "Fix: convert it to 8 bits."
    )


def test_folders_without_pictures_are_refused(tmp_path):
    """No class, an empty class."""
    assert refused(tmp_path) == (
        f"the folder {tmp_path} expected one subfolder of images for each class, received none. "
        "Fix: sort the images into folders named after their classes."
    )
    (tmp_path / "cat").mkdir()
    message = refused(tmp_path)
    assert message.startswith(f"the class folder {tmp_path}/cat expected images (.bmp, ")
    assert message.endswith("received none. Fix: add images or remove the folder.")


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    """The message says what to install."""
    import sys

    fill(tmp_path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError) as caught:
        load_data(tmp_path)
    assert str(caught.value) == (
        "reading images needs the package 'pillow', which is not installed. "
        "Fix: pip install 'layerwright[data]'"
    )


def test_a_folder_can_be_sent_to_workers(tmp_path):
    """Also where processes are not forked."""
    fill(tmp_path)
    dataset = load_data(tmp_path).train.dataset
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[3][0], dataset[3][0])


def test_pictures_are_scaled_on_request(tmp_path):
    """`with_image_size` works on a folder of squares."""
    fill(tmp_path, make=lambda seed: colours(seed, 8, 8))
    data = load_data(tmp_path).with_image_size(16)
    (images,), _ = next(make_batches(data.train, batch_size=4, shuffle=True, seed=0).epoch(0))
    assert images.shape == (4, 3, 16, 16)
