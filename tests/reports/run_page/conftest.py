"""Contents of pages made by hand: no run, no network and no data is involved."""

from html.parser import HTMLParser

import pytest

from layerwright.contract.finding import Finding, Report, Result
from layerwright.reports.run_page.content import (
    Answers,
    Box,
    Confusion,
    Curve,
    LayerNumbers,
    Picture,
    RunContent,
    Sample,
    Samples,
    Series,
    Summary,
    Table,
)

VOID = {"meta", "link", "input", "br", "hr", "img"}


class Page(HTMLParser):
    """The elements of a page in their order; demands that each one is closed where it should be."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.text, self.inside = [], [], "", {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in {"td", "th", "dt", "dd"}:
            self.handle_data(" ")
        if tag not in VOID:
            self.open.append(tag)
            self.inside.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text += data
        for tag in set(self.open):
            self.inside[tag][-1] += data

    def all(self, tag, **attributes):
        """Return the attributes of each element of this tag that has these."""
        return [
            found
            for name, found in self.elements
            if name == tag and attributes.items() <= found.items()
        ]

    def words(self):
        """Return the text with single spaces."""
        return " ".join(self.text.split())

    def rows(self):
        """Return the cells of each row of a table, a space between two."""
        return [" ".join(row.split()) for row in self.inside["tr"]]


@pytest.fixture(scope="session")
def parsed():
    """Return a function that parses a page."""
    return Page


PICTURE = Picture(2, 1, 1, b"\x00\xff")


def _content(**changes):
    finding = Finding(
        rule_id="GRD001",
        rule_name="wrong-gradient",
        severity="error",
        where="weight",
        expected="2.3",
        found="1.1",
        fix="multiply by 2",
        promise="Backward is the derivative of forward.",
    )
    failed = Result(
        rule_id="GRD001",
        rule_name="wrong-gradient",
        family="gradients",
        outcome="failed",
        findings=(finding,),
    )
    loss = Curve(
        "loss",
        (
            Series("train", ((1, 2.0), (2, 1.0), (3, 0.5))),
            Series("validation", ((1, 2.5), (2, 1.5), (3, 1.25))),
        ),
        axis="fitting",
    )
    accuracy = Curve("accuracy", (Series("validation", ((1, 0.5), (2, 0.75), (3, 0.875))),), True)
    sample = Sample("sample 17", "cat", "dog (98.2 %)", "true class 0.4 %", PICTURE)
    fields = {
        "name": "net-digits-1",
        "subject": "Net on digits",
        "status": "finished after 3 epochs",
        "is_finished": True,
        "headline": (("test accuracy", "87.50 %"),),
        "problems": (),
        "curves": (loss, accuracy),
        "configuration": {"network": "net", "lr": "0.1"},
        "chosen": frozenset({"network"}),
        "environment": {"torch": "2.13.0"},
        "answers": Answers(
            split="test",
            num_samples=8,
            values=(("accuracy", "87.50 %", "87.50 %"),),
            notes=(),
            confusion=Confusion(("cat", "dog"), ((3, 1), (0, 4))),
            pairs=(),
            worst=Samples("Worst mistakes", "The worst comes first.", (sample,)),
        ),
        "contract": Report(subject="Net", results=(failed,)),
        "summary": Summary(Table("Net", ("module", "FLOPs"), (("Net", "12"),)), ("12 FLOPs",)),
        "graph": '<svg xmlns="http://www.w3.org/2000/svg"/>',
        "layers": LayerNumbers(
            Table("Layers", ("layer", "mean"), (("fc", "0.1"),)), ("no layer dies",), b"PNG"
        ),
        "command": "layerwright train --network net",
        "identity": {"seed": "0"},
    }
    return RunContent(**{**fields, **changes})


@pytest.fixture(scope="session")
def content():
    """Return a function that makes what a page shows, with the fields that are given."""
    return _content


@pytest.fixture(scope="session")
def box():
    """An object of the data in a picture."""
    return Box("cat", (0.1, 0.2, 0.5, 0.6), is_truth=True)
