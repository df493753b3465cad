"""Confusion matrices, and the pictures of mistakes."""

import io
from base64 import b64decode

import numpy as np
import pytest
from PIL import Image

from layerwright.reports.run_page.answers import answers
from layerwright.reports.run_page.content import (
    Answers,
    Confusion,
    NotMeasured,
    Picture,
    Sample,
    Samples,
)
from layerwright.reports.run_page.png import png_of


def answered(**changes):
    """Answers on a split, with the fields that are given."""
    fields = {
        "split": "test",
        "num_samples": 8,
        "values": (("loss", "0.5", ""),),
        "notes": (),
        "confusion": NotMeasured("no classes"),
        "pairs": (),
        "worst": NotMeasured("no order"),
    }
    return Answers(**{**fields, **changes})


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_come_back_from_the_png(channels):
    """Pillow reads what was written, pixel for pixel."""
    shape = (5, 7) if channels == 1 else (5, 7, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    data = png_of(Picture(7, 5, channels, pixels.tobytes()))
    with Image.open(io.BytesIO(data)) as image:
        image.verify()
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(np.array(image), pixels)


def test_a_matrix_has_its_counts_and_shares(parsed):
    """A row for each true class; a class without a sample says so."""
    confusion = Confusion(("cat", "dog", "cow"), ((3, 1, 0), (0, 4, 0), (0, 0, 0)))
    page = parsed("".join(answers(answered(confusion=confusion), 3)))
    assert "cat 3 1 0 75.0 %" in page.rows()
    assert "dog 0 4 0 100.0 %" in page.rows()
    assert "cow 0 0 0 no sample" in page.rows()
    assert {"class": "hit shade-6"} in page.all("td")
    assert {"class": "miss shade-2"} in page.all("td")


def test_of_many_classes_the_worst_confusions_are_told(parsed):
    """A matrix of 1,000 classes would be a million cells."""
    size = 1000
    counts = [[0] * size for _ in range(size)]
    for place in range(size):
        counts[place][place] = 10
    counts[7][9] = 30
    names = tuple(f"class {place}" for place in range(size))
    text = "".join(answers(answered(confusion=Confusion(names, tuple(map(tuple, counts)))), 3))
    page = parsed(text)
    assert len(text) < 30_000
    assert "class 7 class 9 30" in page.rows()
    assert "class 7 40 25.0 %" in page.rows()
    assert not page.all("table", **{"class": "matrix"})


def test_a_picture_says_in_words_what_it_shows(parsed, box):
    """Its alternative text has sample, truth and answer; its objects have frames in their place."""
    sample = Sample("sample 3", "cat", "dog", "loss 2", Picture(1, 1, 1, b"\x80"), "", (box,))
    worst = Samples("Worst mistakes", "", (sample,))
    page = parsed("".join(answers(answered(worst=worst), 3)))
    (image,) = page.all("img")
    assert image["alt"] == "sample 3: true cat, the network said dog"
    with Image.open(io.BytesIO(b64decode(image["src"].partition(",")[2]))) as read:
        assert read.getpixel((0, 0)) == 0x80
    (frame,) = page.all("rect")
    places = {key: float(frame[key]) for key in ("x", "y", "width", "height")}
    assert places == {"x": 10, "y": 20, "width": 40, "height": 40}
    assert frame["class"] == "true-box"


def test_answers_that_are_numbers_are_drawn_against_the_truth(parsed):
    """A perfect answer stands on the line, and the values are in its title."""
    page = parsed("".join(answers(answered(pairs=((0.0, 0.0), (1.0, 0.5), (2.0, 2.0))), 3)))
    (line,) = page.all("line", **{"class": "equal"})
    first, second, third = page.all("circle")
    slope = (float(line["y2"]) - float(line["y1"])) / (float(line["x2"]) - float(line["x1"]))
    for dot, on_line in ((first, True), (second, False), (third, True)):
        expected = float(line["y1"]) + slope * (float(dot["cx"]) - float(line["x1"]))
        assert (abs(expected - float(dot["cy"])) < 0.5) == on_line
    assert "truth 1, answer 0.5" in page.words()


def test_what_was_not_recorded_says_so(parsed):
    """An empty cell would look like zero."""
    page = parsed("".join(answers(answered(), 3)))
    assert "loss 0.5 not recorded" in page.rows()
    assert "Confusion matrix: not measured. no classes" in page.words()
