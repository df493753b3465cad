"""The page of a run as a browser and a screen reader get it."""

import dataclasses
import random
import re
from collections.abc import Mapping
from itertools import pairwise

import pytest

from layerwright.contract.finding import Report
from layerwright.reports.run_page.content import (
    Curve,
    NotMeasured,
    Picture,
    Sample,
    Samples,
    Series,
)
from layerwright.reports.run_page.page import MOST_BYTES, render_runs

HOSTILE = '<script>alert(1)</script>" onload="alert(2)'


def test_all_that_the_run_has_is_on_the_page(content, parsed):
    """Outcome, curves, matrix, mistakes, configuration, contract, network, layers, command."""
    text = parsed(render_runs([content()], footer="layerwright 1")).words()
    for words in (
        "net-digits-1", "finished after 3 epochs", "test accuracy 87.50 %", "loss train validation",
        "said dog (98.2 %)", "true class 0.4 %", "GRD001 wrong-gradient", "multiply by 2",
        "12 FLOPs", "no layer dies", "torch 2.13.0", "layerwright train --network net",
        "layerwright 1",
    ):  # fmt: skip
        assert words in text, words


@pytest.mark.parametrize("number", [1, 2])
def test_headings_landmarks_captions_and_alternatives(content, parsed, number):
    """One h1, no level left out, each section named, each table with a caption, each image told."""
    page = parsed(render_runs([content()] * number))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    for landmark in ("header", "nav", "main", "footer"):
        assert len(page.all(landmark)) == 1
    identifiers = [found["id"] for _, found in page.elements if "id" in found]
    assert len(identifiers) == len(set(identifiers))
    for section in page.all("section"):
        assert section["aria-labelledby"] in identifiers
    for link in page.all("a"):
        assert link["href"][1:] in identifiers
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(found.get("scope") in {"col", "row"} for found in page.all("th"))
    assert page.all("img")
    assert all(found["alt"] for found in page.all("img"))
    assert all(found.get("role") == "img" for found in page.all("svg", **{"class": "plot"}))


def test_what_scrolls_can_be_reached_by_keyboard(content, parsed):
    """A box that scrolls takes the focus and has a name; nothing else is put into the order."""
    page = parsed(render_runs([content()]))
    focusable = [(tag, found) for tag, found in page.elements if "tabindex" in found]
    assert {found["tabindex"] for _, found in focusable} == {"0"}
    for tag, found in focusable:
        assert tag == "pre" or (found["role"] == "region" and found["aria-label"])


def test_the_page_loads_and_runs_nothing(content, parsed):
    """No address but data of its own, no script, and a policy that forbids both."""
    text = render_runs([content(), content()])
    page = parsed(text)
    assert not re.search(r"https?:|@import|url\(", text)
    assert not page.all("script")
    assert all(found["src"].startswith("data:image/") for found in page.all("img"))
    (policy,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith("default-src 'none';")


def made_hostile(value):
    """Replace every text of a content by one that wants to run code."""
    if isinstance(value, str):
        return HOSTILE
    if dataclasses.is_dataclass(value) and not isinstance(value, Report):
        plain = {"axis", "status"}
        fields = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
        return type(value)(
            **{name: v if name in plain else made_hostile(v) for name, v in fields.items()}
        )
    if isinstance(value, tuple):
        return tuple(made_hostile(item) for item in value)
    if isinstance(value, Mapping):
        return {made_hostile(key): made_hostile(item) for key, item in value.items()}
    return value


@pytest.mark.parametrize("number", [1, 2])
def test_hostile_names_are_shown_and_not_obeyed(content, parsed, number):
    """A class name, an option or a file name with markup is text, wherever it stands."""
    page = parsed(render_runs([made_hostile(content())] * number))
    assert page.words().count("<script>alert(1)</script>") > 20 * number
    assert not page.all("script")
    assert not [name for _, found in page.elements for name in found if name.startswith("on")]
    scored = made_hostile(content(answers=NotMeasured("x"), graph=NotMeasured("y")))
    assert not parsed(render_runs([scored])).all("script")


def test_what_is_missing_is_said_with_the_reason(content, parsed):
    """In its place and on top; nothing else of the page goes with it."""
    run = content(
        answers=NotMeasured("the data is gone"),
        contract=NotMeasured("left out"),
        summary=NotMeasured("no summary"),
        graph=NotMeasured("no graph"),
        layers=NotMeasured("no trace"),
        curves=(),
        problems=("metrics.jsonl is missing",),
    )
    text = parsed(render_runs([run])).words()
    for words in (
        "Answers on a split: not measured. the data is gone", "Contract: not measured. left out",
        "Summary: not measured. no summary", "Graph: not measured. no graph",
        "Statistics of the layers: not measured. no trace",
        "Learning curves: not measured. no epoch has been finished", "metrics.jsonl is missing",
    ):  # fmt: skip
        assert words in text, words


def test_two_runs_lie_over_each_other_and_differences_are_marked(content, parsed):
    """One chart with the lines of both; the option that differs says so in words."""
    other = content(
        name="other",
        configuration={"network": "net", "lr": "0.2", "mixup": "0.1"},
        curves=(Curve("loss", (Series("train", ((1, 3.0), (4, 1.0))),)),),
    )
    page = parsed(render_runs([content(), other]))
    text = page.words()
    assert "loss A: train A: validation B: train" in text
    assert "2 options not alike: lr, mixup." in text
    assert "lr 0.1 0.2 differs" in page.rows()
    assert "mixup not recorded 0.1 differs" in page.rows()
    assert "network net net" in page.rows()
    assert "<h3>B: other</h3>" in render_runs([content(), other])


def test_the_page_stays_below_two_megabytes(content):
    """Drawing, heat map and pictures are left out in this order, and each place says so."""
    noise = bytes(range(256)) * 4000
    run = content(graph="<svg>" + "x" * 3_000_000)
    text = render_runs([run])
    assert len(text.encode()) < MOST_BYTES
    assert "the drawing takes 3.0 MB, which would make this page too large" in text
    assert 'class="heat-map"' in text
    layers = dataclasses.replace(run.layers, heat_map=noise * 2)
    text = render_runs([dataclasses.replace(run, layers=layers)])
    assert len(text.encode()) < MOST_BYTES
    assert "the heat map over the steps takes 2.0 MB" in text
    assert "Worst mistakes" in text


def test_pictures_that_would_make_the_page_too_large_are_left_out(content):
    """Noise cannot be compressed."""
    pixels = random.Random(0).randbytes(700 * 700)
    samples = (Sample("s", "a", "b", "c", Picture(700, 700, 1, pixels)),) * 4
    answers = content().answers
    heavy = dataclasses.replace(answers, worst=Samples("Worst", "", samples))
    text = render_runs([content(answers=heavy)])
    assert len(text.encode()) < MOST_BYTES
    assert "their pictures would make this page too large" in text


def test_ten_thousand_epochs_make_no_large_page(content):
    """Points are left out evenly, and the table says how many."""
    points = tuple((epoch, 1.0 / epoch) for epoch in range(1, 10_001))
    run = content(curves=(Curve("loss", (Series("train", points), Series("validation", points))),))
    text = render_runs([run])
    assert len(text.encode()) < 400_000
    assert "epochs between these are left out; metrics.jsonl has them all" in text
    assert ">10000</th>" in text


def test_the_switch_of_colours_needs_no_script(content, parsed):
    """Each choice is a radio button that a rule of the style reads."""
    text = render_runs([content()])
    values = [found["value"] for found in parsed(text).all("input", name="theme")]
    assert values == ["system", "light", "dark"]
    assert "color-scheme: light dark" in text
    for value in ("light", "dark"):
        assert f":root:has(.theme [value={value}]:checked) {{ color-scheme: {value}; }}" in text
