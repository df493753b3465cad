"""What holds for all formats."""

import json
import subprocess
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerwright.errors import OptionError
from layerwright.reports import RENDERERS, render


def test_formats():
    """There are five formats, by these names."""
    assert set(RENDERERS) == {"text", "json", "sarif", "html", "junit"}


def test_unknown_format():
    """An unknown format is an option error that names the nearest one."""
    with pytest.raises(OptionError) as caught:
        render([], "jsn")
    assert str(caught.value) == (
        "unknown report format 'jsn'. Did you mean 'json'? Known: html, json, junit, sarif, text."
    )


@pytest.mark.parametrize("format_", RENDERERS)
def test_no_report(format_):
    """No report at all is a valid report too."""
    assert render([], format_)


def test_no_torch():
    """Rendering imports no torch, and rich only for the terminal."""
    code = (
        "import sys; from layerwright.reports import render;"
        "[render([], name) for name in ('json', 'sarif', 'html', 'junit')];"
        "assert 'rich' not in sys.modules; render([], 'text');"
        "assert 'rich' in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_saved_by_suffix(every_outcome, tmp_path):
    """report.save picks the format by the suffix and writes what render returns."""
    for suffix, format_ in (
        ("json", "json"),
        ("sarif", "sarif"),
        ("html", "html"),
        ("xml", "junit"),
    ):
        path = tmp_path / f"report.{suffix}"
        every_outcome.save(path)
        assert path.read_text(encoding="utf-8") == render([every_outcome], format_)
        assert path.read_text(encoding="utf-8").endswith(
            ">\n" if suffix in {"html", "xml"} else "}\n"
        )


class _Words(HTMLParser):
    """All text and attribute values of a page, as a browser reads them."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.tags, self.words = set(), []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)

    def handle_data(self, data):
        self.words.append(data)


ANY_TEXT = st.text(st.characters(codec=None), max_size=30) | st.sampled_from(
    [
        "[bold]",
        "[/]",
        ":smile:",
        "</style><script>",
        "]]>",
        "&amp;",
        "\x1b[31m",
        "\udc80",
        "\x00",
        "{0}",
    ]
)


@settings(max_examples=60, deadline=None)
@given(text=ANY_TEXT)
def test_any_text(text, finding, result, report):
    """Whatever a user's texts hold, each format stays well formed, printable and encodable."""
    fields = dict.fromkeys(("where", "expected", "found", "fix", "promise", "reproduce"), text)
    whole = report(
        result("failed", findings=(finding(**fields, file=text or None, line=1),)),
        result("skipped", reason=text),
        result("error", reason=text),
        result("xpassed", reason=text),
        subject=text,
        inputs=(text,),
        notes=(text,),
        file=text or None,
        versions={"torch": text},
    )
    texts = {format_: render([whole, whole], format_) for format_ in RENDERERS}
    for rendered in texts.values():
        rendered.encode("utf-8")
        assert not {chr(code) for code in range(32) if code not in {9, 10}} & set(rendered)
    json.loads(texts["json"])
    json.loads(texts["sarif"])
    ET.fromstring(texts["junit"])
    assert "script" not in _Words(texts["html"]).tags


@pytest.mark.parametrize("text", ["[bold]x[/bold]", "[/]", ":smile:", "a [link=b]c"])
def test_markup_is_text(text, finding, result, report):
    """What looks like rich's markup or an emoji code is shown as it is, in colour too."""
    whole = report(result("failed", findings=(finding(where=text, found=text),)), subject=text)
    for colour in (False, True):
        assert render([whole], "text", colour=colour).count(text) == 4


def test_html_is_text(finding, result, report):
    """A browser reads the text that the user wrote, not tags or entities in it."""
    text = "<img src=x onerror=\"1\"> &lt; '{style}'"
    page = render(
        [report(result("failed", findings=(finding(found=text, reproduce=text),)))], "html"
    )
    words = _Words(page)
    assert words.words.count(text) == 2
    assert "img" not in words.tags
