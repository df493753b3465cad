"""The report as one page."""

import re
from html.parser import HTMLParser

from layerwright.reports import render

VOID = {"meta", "link", "input", "br", "hr", "img"}


class Page(HTMLParser):
    """The elements of a page; demands that every one is closed where it should be."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text += data

    def all(self, tag, **attributes):
        """Return the attributes of each element of this tag that has these."""
        return [
            found
            for name, found in self.elements
            if name == tag and attributes.items() <= found.items()
        ]


def page_of(*reports):
    """Render and parse."""
    return Page(render(reports, "html"))


def test_every_outcome(every_outcome):
    """The page shows verdict, counts, findings, crashes, reasons and every rule."""
    page = page_of(every_outcome)
    text = " ".join(page.text.split())
    for words in (
        "layerwright 0.1.0, torch 2.13.0, python 3.11.9",
        "1 error, 1 warning, 1 that follow",
        "1 passed, 3 failed, 1 skipped, 1 expected failure, 1 unexpected pass, 1 rule crashed",
        "x: (4, 16) float32",
        "the last 14 lines did not run",
        "error REG001 unregistered-module",
        "also: SER003 state-lost, explained by REG001",
        "layerwright's own rule CMP001 graph-break crashed: KeyError: 'x'.",
        "NUM002 under-flow passed and was expected to fail (issue 12).",
        "1 rule: no second instance can be built",
        "layerwright rule REG001",
        "Every rule (8)",
    ):
        assert words in text
    assert len(page.all("article")) == 2  # what follows from another has no box of its own
    outcomes = [result.outcome for result in every_outcome.results]
    assert [found["class"] for found in page.all("li") if found.get("class")] == outcomes


def test_source_and_snippet(finding, result, report, tmp_path):
    """The line of the source and the snippet are shown as code."""
    file = tmp_path / "scale.py"
    file.write_text("class Scale:\n    x = a < b\n")
    found = finding(file=str(file), line=2, reproduce="if True:\n    print('<b>')")
    text = render([report(result("failed", findings=(found,)))], "html")
    assert '<pre tabindex="0">2 | x = a &lt; b</pre>' in text
    assert '<pre tabindex="0">if True:\n    print(&#x27;&lt;b&gt;&#x27;)</pre>' in text


def test_offline(every_outcome):
    """The page loads nothing, runs nothing, and tells the browser to refuse both."""
    text = render([every_outcome], "html")
    page = Page(text)
    assert not re.search(r"https?:|//|@import|url\(", text)
    assert not page.all("script")
    assert [found["href"] for found in page.all("link")] == ["data:,"]
    (policy,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith("default-src 'none';")


def test_filter(every_outcome, report, result):
    """Each outcome that occurs has a choice of its report's own filter, and a rule of the style."""
    text = render([every_outcome, report(result())], "html")
    page = Page(text)
    choices = [found["value"] for found in page.all("input", type="radio", name="show-0")]
    assert choices == ["all", "passed", "failed", "skipped", "xfailed", "xpassed", "error"]
    assert [found["value"] for found in page.all("input", name="show-1")] == ["all", "passed"]
    assert [found["value"] for found in page.all("input") if "checked" in found] == ["all", "all"]
    for name in choices[1:]:
        assert f".report:has([value={name}]:checked) .results li:not(.{name})" in text


def test_several_layers(every_outcome, report, result):
    """Several layers get a list on top that leads to each, with its verdict."""
    page = page_of(every_outcome, report(result(), subject="Shift"))
    assert "2 layers: 1 ok, 1 failed" in page.text
    places = {found["id"] for found in page.all("section")}
    assert {found["href"][1:] for found in page.all("a")} == places == {"layer-0", "layer-1"}
    assert not page_of(every_outcome).all("nav")


def test_tone(finding, result, report):
    """A layer's verdict has the colour of its severest finding; one not judged is no success."""
    cases = {
        "ok": result(),
        "error": result("failed"),
        "warning": result("failed", findings=(finding(severity="warning"),)),
        "note": result("failed", findings=(finding(severity="note"),)),
    }
    for tone, only in cases.items():
        assert f'<p><span class="word {tone}">' in render([report(only)], "html")
    assert '<span class="word error">not judged' in render([report()], "html")


def test_small(finding, result, report):
    """A page on 80 rules, ten of them with findings, stays below 60 kB."""
    failed = [
        result("failed", findings=(finding(found="x" * 200, reproduce="y" * 400),))
        for _ in range(10)
    ]
    skipped = [result("skipped", reason="z" * 100) for _ in range(20)]
    whole = report(*failed, *skipped, *[result() for _ in range(50)])
    assert len(render([whole], "html").encode()) < 60_000
