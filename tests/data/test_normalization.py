import json

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layerwright.data.normalization import Normalization


def test_each_channel_is_normalised_by_its_own_values():
    """The formula, in float64 and by loops."""
    raw = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    mean, std = (0.1, 0.5, 0.9), (0.3, 0.2, 0.1)
    result = Normalization(mean, std).apply(raw)
    assert result.dtype == torch.float32
    for channel in range(3):
        expected = (raw[:, channel].double() / 255 - mean[channel]) / std[channel]
        torch.testing.assert_close(result[:, channel].double(), expected, rtol=1e-5, atol=1e-6)


def test_one_value_serves_all_channels_and_any_rank():
    """A table, a line of numbers and an image take one mean for all."""
    for shape in ((6,), (6, 5), (6, 2, 3, 3)):
        raw = torch.rand(shape)
        result = Normalization((0.5,), (2.0,), scale=1.0).apply(raw)
        torch.testing.assert_close(result, (raw - 0.5) / 2.0)


def test_the_argument_keeps_its_values():
    """What is normalised is a copy, also of float32."""
    raw = torch.rand(2, 1, 3, 3)
    kept = raw.clone()
    Normalization((0.5,), (0.5,), scale=1.0).apply(raw)
    assert torch.equal(raw, kept)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 40), st.integers(1, 3), st.integers(1, 9), st.integers(1, 40))
def test_a_sample_is_the_same_in_any_batch(count, channels, size, cut):
    """Normalising parts gives the bits of normalising the whole."""
    raw = torch.randint(0, 256, (count, channels, size, size), dtype=torch.uint8)
    normalization = Normalization((0.4914, 0.48, 0.44)[:channels], (0.247, 0.24, 0.26)[:channels])
    parts = [normalization.apply(part) for part in raw.split(cut)]
    assert torch.equal(torch.cat(parts), normalization.apply(raw))


def test_it_survives_json():
    """A run folder keeps it as JSON."""
    normalization = Normalization((0.1, 0.2), (0.3, 0.4), 16.0)
    assert Normalization.from_dict(json.loads(json.dumps(normalization.as_dict()))) == normalization
