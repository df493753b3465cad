import pytest
import torch
from torch.nn import functional as F

from layerwright.data.batches import make_batches
from layerwright.data.normalization import Normalization
from layerwright.data.splits import Data, DatasetSplit, StreamSplit, TensorSplit
from layerwright.errors import DataError


def data_of(images, normalization=None, **options):
    split = TensorSplit((images,), torch.zeros(len(images), dtype=torch.int64), normalization)
    shape = tuple(images.shape[1:])
    return Data("data", "classification", split, test=split, input_shape=shape, **options)


def bilinear(image, size):
    """Bilinear interpolation of one channel by its definition: pixel centres, clamped border."""
    old = image.shape[-1]
    result = torch.zeros(size, size, dtype=torch.float64)
    for i in range(size):
        for j in range(size):
            value = 0.0
            y = min(max((i + 0.5) * old / size - 0.5, 0), old - 1)
            x = min(max((j + 0.5) * old / size - 0.5, 0), old - 1)
            for a in {int(y), min(int(y) + 1, old - 1)}:
                for b in {int(x), min(int(x) + 1, old - 1)}:
                    weight = (1 - abs(y - a)) * (1 - abs(x - b))
                    value += max(weight, 0) * image[a, b].item()
            result[i, j] = value
    return result


def test_images_are_scaled_up_bilinearly_in_every_split():
    """Digits become numbers between their levels, by the definition of bilinear interpolation."""
    source = torch.Generator().manual_seed(0)
    images = torch.randint(0, 17, (3, 1, 8, 8), dtype=torch.uint8, generator=source)
    normalization = Normalization((0.3,), (0.4,), 16.0)
    scaled = data_of(images, normalization).with_image_size(28)
    assert scaled.input_shape == (1, 28, 28)
    for split in (scaled.train, scaled.test):
        assert split.inputs[0].dtype == torch.float32
        assert split.input_shapes == ((1, 28, 28),)
        assert split.normalization == normalization
    for image, result in zip(images, scaled.train.inputs[0], strict=True):
        torch.testing.assert_close(result[0].double(), bilinear(image[0], 28), rtol=0, atol=1e-4)


def test_8_bit_images_stay_8_bit():
    """Their values are rounded; scaling down averages over what is lost."""
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    images[1] = 100
    normalization = Normalization((0.5,), (0.5,))
    small = data_of(images, normalization).with_image_size(8).train.inputs[0]
    assert small.dtype == torch.uint8
    assert (small[1] == 100).all()
    exact = F.interpolate(images.double(), size=(8, 8), mode="bilinear", antialias=True)
    assert (small.double() - exact).abs().max() <= 0.51
    assert small[0].double().std() < 0.6 * images[0].double().std()


def test_the_size_that_it_has_changes_nothing():
    """The same data comes back."""
    data = data_of(torch.rand(2, 1, 8, 8))
    assert data.with_image_size(8) is data


def test_images_of_a_dataset_are_scaled_as_they_are_read():
    """A dataset split gives what scaling everything first gives."""
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    items = [(image, number) for number, image in enumerate(images)]
    split = DatasetSplit(items, input_shapes=((3, 8, 8),))
    data = Data("data", "classification", split, input_shape=(3, 8, 8)).with_image_size(16)
    ((inputs, target),) = make_batches(data.train, batch_size=4, shuffle=False, seed=0).epoch(0)
    in_memory = data_of(images, Normalization((0.0,), (1.0,))).with_image_size(16)
    ((expected, _),) = make_batches(in_memory.train, batch_size=4, shuffle=False, seed=0).epoch(0)
    assert torch.equal(inputs[0], expected[0])
    assert target.tolist() == [0, 1, 2, 3]
    assert data.train.input_shapes == ((3, 16, 16),)
    assert len(data.train) == 4


@pytest.mark.parametrize("shape", [(10,), (1, 8, 9), None])
def test_what_is_no_square_image_is_refused(shape):
    """The message shows the shape."""
    split = TensorSplit((torch.rand(2, 10),), torch.zeros(2))
    with pytest.raises(DataError) as caught:
        Data("data", None, split, input_shape=shape).with_image_size(28)
    assert str(caught.value) == (
        "with_image_size expected square images (C, H, H) and a size from 1, received samples of "
        f"shape {shape} and size 28. Fix: scale the data before it is passed in."
    )


def test_ready_batches_are_not_scaled():
    """Neither a stream nor a list of batches."""
    for split in (
        StreamSplit([], "why.", ((1, 8, 8),)),
        DatasetSplit([], input_shapes=((1, 8, 8),), prebatched=True),
    ):
        with pytest.raises(DataError) as caught:
            Data("data", None, split, input_shape=(1, 8, 8)).with_image_size(28)
        assert str(caught.value) == (
            f"with_image_size expected single images, received ready batches "
            f"({type(split).__name__}). Fix: scale the images where the batches are made."
        )


@pytest.mark.parametrize(
    ("task", "num_classes", "target_shape", "expected"),
    [
        ("classification", 7, (), 7),
        ("classification", None, (), None),
        ("regression", None, (), 1),
        ("regression", None, (2, 3), 6),
        ("binary", None, (), 1),
        (None, None, (3,), None),
    ],
)
def test_the_number_of_outputs_follows_from_the_task(task, num_classes, target_shape, expected):
    """Classes for classification, numbers to predict otherwise."""
    split = TensorSplit((torch.rand(2, 3),), torch.zeros(2))
    data = Data("data", task, split, num_classes=num_classes, target_shape=target_shape)
    assert data.num_outputs == expected
