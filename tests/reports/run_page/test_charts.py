"""Learning curves as drawings: every value where it belongs."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerwright.reports.run_page.charts import chart, thinned
from layerwright.reports.run_page.content import Curve, Series
from layerwright.reports.run_page.scales import Scale, number, scale_of, tick_text


def drawn(*curves):
    """Draw curves of one run, or of as many as there are."""
    letters = ["AB"[place] if len(curves) > 1 else "" for place in range(len(curves))]
    return "".join(chart(list(zip(letters, curves, strict=True)), "c"))


def lines(text):
    """Return the points of each line of a drawing."""
    return [
        [tuple(map(float, point.split(","))) for point in found.split()]
        for found in re.findall(r'<polyline[^>]* points="([^"]*)"', text)
    ]


def test_points_stand_in_proportion():
    """Half the way up the axis is half the way up the drawing."""
    (points,) = lines(drawn(Curve("mae", (Series("", ((1, 0.0), (2, 5.0), (5, 10.0))),))))
    (x1, y1), (x2, y2), (x5, y5) = points
    assert x2 - x1 == pytest.approx((x5 - x1) / 4, abs=0.1)
    assert y1 - y2 == pytest.approx((y1 - y5) / 2, abs=0.1)
    assert y1 > y2 > y5


def test_a_value_that_is_not_finite_breaks_the_line():
    """Nothing is drawn where nothing is known, and the words say so."""
    points = ((1, 1.0), (2, 2.0), (3, None), (4, 1.0), (5, 2.0), (6, None), (7, 3.0))
    text = drawn(Curve("loss", (Series("train", points),)))
    assert [len(line) for line in lines(text)] == [2, 2]
    assert text.count('r="3"/>') == 1  # the last point has no neighbour
    assert "epoch 3: train not finite" in text


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-12, 4e9, None])
def test_a_single_epoch_is_a_point(value):
    """No division by nothing, whatever the value."""
    text = drawn(Curve("x", (Series("train", ((1, value),)),)))
    assert text.count('r="3"/>') == (value is not None)
    assert ">1</text>" in text


def test_losses_of_very_different_sizes_get_a_logarithmic_axis():
    """From 100 to 0.1 each step takes a third of the way; the axis says what it is."""
    points = ((1, 100.0), (2, 10.0), (3, 1.0), (4, 0.1))
    text = drawn(Curve("loss", (Series("train", points),), axis="fitting"))
    heights = [y for _, y in lines(text)[0]]
    steps = [b - a for a, b in pairwise(heights)]
    assert steps == pytest.approx([steps[0]] * 3, abs=0.2)
    assert "logarithmic axis" in text
    assert "logarithmic" not in drawn(Curve("loss", (Series("train", points),)))


def test_values_appear_under_the_pointer():
    """Each epoch has a band with the values of all lines; those of two runs by their letter."""
    first = Curve("accuracy", (Series("validation", ((1, 0.5), (2, 0.75))),), as_percent=True)
    second = Curve("accuracy", (Series("validation", ((1, 0.25),)),), as_percent=True)
    assert "epoch 2: validation 75.00 %" in drawn(first)
    text = drawn(first, second)
    assert "A: validation 50.00 %" in text
    assert "B: validation 25.00 %" in text
    assert "B: no value" in text
    assert text.count('class="band"') == 2


def test_those_who_hear_the_page_are_told_begin_and_end():
    """The drawing's name holds the first and the last value of each line."""
    text = drawn(Curve("loss", (Series("train", ((1, 2.0), (3, 0.5))),)))
    assert 'aria-label="loss: train from 2 at epoch 1 to 0.5 at epoch 3"' in text


def test_thinning_keeps_both_ends():
    """250 points stay; of more, about 250 evenly spaced ones."""
    assert thinned(list(range(250))) == list(range(250))
    found = thinned(list(range(1001)))
    assert found[0] == 0
    assert found[-1] == 1000
    assert len(found) <= 252


finite = st.floats(-1e12, 1e12, allow_nan=False)


@given(
    st.lists(finite, min_size=1, max_size=20), st.sampled_from(["linear", "from zero", "fitting"])
)
def test_axes_hold_all_values_and_few_round_ticks(values, kind):
    """Every value lies on the axis, and so does every tick."""
    scale = scale_of(values, kind)
    assert all(-1e-6 <= scale.share(value) <= 1 + 1e-6 for value in values)
    assert len(scale.ticks()) <= 12
    for tick in scale.ticks():
        assert -1e-6 <= scale.share(tick) <= 1 + 1e-6


def test_ticks_are_round():
    """1, 2 or 5 times a power of ten apart."""
    assert Scale(0.0, 1.0).ticks() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert Scale(0.13, 0.29).ticks() == pytest.approx([0.15, 0.2, 0.25])
    assert Scale(0.05, 40.0, is_log=True).ticks() == pytest.approx([0.1, 1, 10])
    assert [tick_text(tick) for tick in Scale(0.0, 0.3).ticks()] == ["0", "0.1", "0.2", "0.3"]


def test_numbers_are_read_as_people_quote_them():
    """Shares in percent, others with four digits."""
    assert number(0.98611, as_percent=True) == "98.61 %"
    assert number(0.000123456) == "0.0001235"
    assert number(None) == "not finite"
