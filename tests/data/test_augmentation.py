import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from layerwright.data.augmentation import Augmentation, crop, flip, rotate
from layerwright.errors import DataError, OptionError


def every_crop(image):
    """All crops of an image padded by reflection, with torch's own padding."""
    height, width = image.shape[-2:]
    down, right = height // 8, width // 8
    padded = F.pad(image[None], (right, right, down, down), mode="reflect")[0]
    return {
        (y, x): padded[:, y : y + height, x : x + width]
        for y in range(2 * down + 1)
        for x in range(2 * right + 1)
    }


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 6), st.integers(1, 3), st.integers(1, 33), st.integers(1, 33))
def test_each_sample_is_one_of_its_own_crops(count, channels, height, width):
    """A crop is what reflecting padding and slicing give, for any shape."""
    images = torch.rand(count, channels, height, width)
    cropped = crop(images, torch.Generator().manual_seed(0))
    for image, result in zip(images, cropped, strict=True):
        assert any(torch.equal(result, one) for one in every_crop(image).values())


def test_samples_are_shifted_independently_and_evenly():
    """Every shift of a 32x32 image appears, about equally often, and not the same in a batch."""
    image = torch.rand(1, 32, 32)
    crops = every_crop(image)
    results = crop(image.expand(8100, 1, 32, 32), torch.Generator().manual_seed(0))
    corners = {tuple(c[0, :2, :2].flatten().tolist()): place for place, c in crops.items()}
    places = [corners[tuple(r[0, :2, :2].flatten().tolist())] for r in results]
    counts = [places.count(place) for place in crops]
    assert len(crops) == 81
    assert min(counts) >= 60
    assert max(counts) <= 145  # 100 expected; 81 draws stay within 4.5 standard deviations


def test_a_flip_mirrors_about_half_of_the_samples():
    """Each sample is itself or its mirror image."""
    images = torch.rand(1000, 2, 3, 5)
    flipped = flip(images, torch.Generator().manual_seed(0))
    mirrored = 0
    for image, result in zip(images, flipped, strict=True):
        is_mirror = torch.equal(result, image[..., [4, 3, 2, 1, 0]])
        assert is_mirror or torch.equal(result, image)
        mirrored += is_mirror
    assert 440 <= mirrored <= 560


def places_of_the_pixels(height, width):
    """An image whose two channels say how far right and down of the middle each pixel lies."""
    down, right = torch.meshgrid(
        torch.arange(height, dtype=torch.float64) - (height - 1) / 2,
        torch.arange(width, dtype=torch.float64) - (width - 1) / 2,
        indexing="ij",
    )
    return torch.stack([right, down])


@pytest.mark.parametrize(("height", "width"), [(32, 32), (21, 40)])
def test_each_image_is_turned_by_one_small_angle_of_its_own(height, width):
    """Far from the border a rotated map of places holds the places rotated, exactly."""
    image = places_of_the_pixels(height, width)
    near = image.square().sum(0).sqrt() < 0.4 * min(height, width)
    turned = rotate(image.expand(500, -1, -1, -1), torch.Generator().manual_seed(0))
    before = torch.complex(*image[:, near])
    after = torch.complex(*turned[:, :, near].transpose(0, 1).contiguous())
    angles = (after / before).log().imag.median(1, keepdim=True).values
    error = (after - before * torch.polar(torch.ones_like(angles), angles)).abs().max()
    assert error < 1e-9
    degrees = angles.flatten().rad2deg()
    assert degrees.abs().max() <= 10
    counts = torch.histc(degrees, bins=5, min=-10, max=10)
    assert counts.sum() == 500
    assert counts.min() >= 60  # 100 expected, 4.5 standard deviations are 40
    assert counts.max() <= 140


def test_a_rotation_keeps_a_flat_image_flat():
    """What comes from outside is the image itself, and raw pixels stay whole numbers."""
    flat = torch.full((20, 3, 9, 12), 77, dtype=torch.uint8)
    assert torch.equal(rotate(flat, torch.Generator().manual_seed(0)), flat)


def test_raw_pixels_stay_raw():
    """The dtype is kept, and the argument too."""
    images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    kept = images.clone()
    augmented = Augmentation(("crop", "flip"), seed=0).apply(images, 0, 0)
    assert augmented.dtype == torch.uint8
    assert torch.equal(images, kept)


def test_draws_are_a_function_of_seed_epoch_and_batch(global_randomness):
    """The order of calls does not matter, and no global generator is used."""
    images = torch.rand(8, 1, 28, 28)
    before = global_randomness()
    both = Augmentation(("crop", "flip"), seed=5)
    first = both.apply(images, 2, 3)
    results = [both.apply(images, 2, 4), both.apply(images, 3, 3)]
    results.append(Augmentation(("crop", "flip"), seed=6).apply(images, 2, 3))
    assert all(not torch.equal(first, other) for other in results)
    assert torch.equal(first, both.apply(images, 2, 3))
    assert global_randomness() == before


def test_the_order_of_names_is_the_order_of_work():
    """Two names are applied one after the other, with one stream of draws."""
    images = torch.rand(8, 1, 28, 28)
    source = torch.Generator()
    augmentation = Augmentation(["flip", "crop"], seed=1)
    result = augmentation.apply(images, 0, 0)
    from layerwright.data.seeding import mixed_seed

    source.manual_seed(mixed_seed(1, "augment", 0, 0))
    assert torch.equal(result, crop(flip(images, source), source))


def test_an_unknown_name_gets_the_nearest_one():
    """The message lists what there is."""
    with pytest.raises(OptionError) as caught:
        Augmentation(("crop", "flop"), seed=0)
    assert str(caught.value) == (
        "augment expected one of crop, flip, rotate, received 'flop'. Did you mean 'flip'?"
    )
    with pytest.raises(OptionError) as caught:
        Augmentation("zebra", seed=0)
    assert str(caught.value) == (
        "augment expected one of crop, flip, rotate, received 'zebra'. Fix: choose one of these."
    )


def test_tables_are_refused():
    """Only images can be augmented."""
    with pytest.raises(DataError) as caught:
        Augmentation(("crop",), seed=0).apply(torch.rand(4, 10), 0, 0)
    assert str(caught.value) == (
        "augment=('crop',) expected images (N, C, H, W), received (4, 10). "
        "Fix: leave augment out for data that is not images."
    )
