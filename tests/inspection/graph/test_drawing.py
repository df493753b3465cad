"""Pictures: nothing overlaps or leaves its box, files are sound, and dot is used where it is."""

import os
import stat
import sys
from xml.etree import ElementTree as ET

import pytest
import torch
from torch import nn

from layerwright.errors import MissingExtraError, OptionError
from layerwright.inspection.example_inputs import inputs_of
from layerwright.inspection.graph import dot
from layerwright.inspection.graph.drawing import draw
from layerwright.inspection.graph.placing import page_of
from layerwright.inspection.graph.structure import drawing_of
from layerwright.inspection.graph.tracing import Tracer
from layerwright.inspection.passes import Source, look
from layerwright.networks import network_class

SVG = "{http://www.w3.org/2000/svg}"


def resnet20():
    """The network that has to be readable on one page."""
    return network_class("resnet")((3, 32, 32), 10)


def transformer():
    """The other one."""
    return network_class("text-transformer")(100)


@pytest.fixture(autouse=True)
def no_dot(monkeypatch):
    """Draw as on a machine without Graphviz, whatever this one has."""
    monkeypatch.setattr(dot.shutil, "which", lambda _: None)


def placed(network, inputs, depth):
    """Return a drawing and its page."""
    given = None if inputs is None else inputs_of(inputs)
    drawing = drawing_of(look(Source(network, given), Tracer).seen.root, depth)
    return drawing, page_of(drawing)


@pytest.mark.parametrize(
    ("network", "inputs", "depth"),
    [(resnet20, (2, 3, 32, 32), depth) for depth in (1, 3, 5)]
    + [(transformer, None, depth) for depth in (1, 2, 4)],
)
def test_nothing_overlaps_and_everything_lies_in_its_box(network, inputs, depth):
    """Items of one box stand apart, inside its frame; lines start and end on their items."""
    drawing, page = placed(network, inputs, depth)
    places = {item.item: item for item in page.items}
    assert set(places) == {drawing.root, *drawing.items()}
    for item, place in places.items():
        if item.owner is not None:
            box = places[item.owner]
            assert box.x < place.x
            assert box.y < place.y
            assert place.x + place.width < box.x + box.width
            assert place.y + place.height < box.y + box.height
        for part in item.parts:
            for other in item.parts:
                one, two = places[part], places[other]
                assert (
                    part is other
                    or one.x + one.width <= two.x
                    or two.x + two.width <= one.x
                    or one.y + one.height <= two.y
                    or two.y + two.height <= one.y
                )
    for line in page.lines:
        assert all(0 <= x <= page.width and 0 <= y <= page.height for x, y in line.points)
    for edge in drawing.edges:
        end = places[edge.end]
        tips = [line.points[-1] for line in page.lines if line.edge.start is edge.start]
        assert any(abs(y - end.y) < 0.01 and end.x <= x <= end.x + end.width for x, y in tips), edge


@pytest.mark.parametrize(("network", "inputs"), [(resnet20, (2, 3, 32, 32)), (transformer, None)])
def test_the_two_networks_are_readable_on_one_page(network, inputs, tmp_path):
    """Letters of 10 points are at least 5.5 on the page, and more than one level is shown."""
    found = draw(network, inputs, tmp_path / "net.svg")
    assert found.scale >= 0.55
    assert found.drawing.depth >= 2
    assert found.layout == "own"


def test_an_svg_is_sound_and_tells_what_it_shows(tmp_path):
    """Well-formed, no script and no request; names with special characters stay text."""

    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.add_module('<b>&"', nn.Linear(3, 3))

        def forward(self, x):
            return self._modules['<b>&"'](x)

    file = tmp_path / "odd.svg"
    draw(Odd, (2, 3), file)
    tree = ET.fromstring(file.read_text())
    texts = {item.text for item in tree.iter(f"{SVG}text")}
    assert {'<b>&"', "Linear", "input", "output", "2x3"} <= texts
    assert {item.tag for item in tree.iter()} <= {
        f"{SVG}{name}" for name in ("svg", "title", "rect", "text", "path", "polygon")
    }
    assert "Odd" in tree.findtext(f"{SVG}title")


def test_a_png_has_the_size_of_its_page(tmp_path):
    """Two dots for a point; something is painted in the colours of modules."""
    from matplotlib.image import imread

    file = tmp_path / "net.png"
    draw(nn.Sequential(nn.Linear(3, 3), nn.ReLU()), (2, 3), file)
    _, page = placed(nn.Sequential(nn.Linear(3, 3), nn.ReLU()), (2, 3), 1)
    pixels = imread(file)
    assert abs(pixels.shape[0] - 2 * page.height) <= 2
    assert abs(pixels.shape[1] - 2 * page.width) <= 2
    blue = torch.tensor([0xDD, 0xF4, 0xFF]) / 255
    assert (torch.tensor(pixels[..., :3]) - blue).abs().sum(-1).lt(0.01).float().mean() > 0.05


def test_dot_text_holds_all_items_and_edges(tmp_path):
    """Clusters are nested as boxes are; each edge joins items that are declared."""
    file = tmp_path / "net.dot"
    found = draw(resnet20, (2, 3, 32, 32), file, depth=3)
    text = file.read_text()
    assert text.count("{") == text.count("}")
    boxes = [item for item in found.drawing.items() if item.kind == "box"]
    assert all(f"subgraph cluster_{item.key} {{" in text for item in boxes)
    assert text.count(" -> ") == len(found.drawing.edges)
    for edge in found.drawing.edges:
        assert f"    {edge.start.key} [label=" in text or f"  {edge.start.key} [label=" in text
        assert f'  {edge.start.key} -> {edge.end.key} [label="{edge.label}"' in text


FAKE_DOT = """#!{python}
import sys
text = sys.stdin.read()
assert text.startswith("digraph")
if "Fails" in text:
    sys.exit("syntax error in line 1")
if sys.argv[1] == "-Tsvg":
    print('<svg width="{size}pt" height="{size}pt" xmlns="http://www.w3.org/2000/svg"></svg>')
else:
    print(sys.argv[1:])
"""


@pytest.fixture
def fake_dot(tmp_path, monkeypatch):
    """Put a program called dot where it is found; return what sets the size of its pictures."""

    def install(size):
        program = tmp_path / "dot"
        program.write_text(FAKE_DOT.format(python=sys.executable, size=size))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(dot.shutil, "which", lambda _: os.fspath(program))

    return install


def test_dot_lays_out_where_it_is_installed(fake_dot, tmp_path):
    """Unless columns are larger on a page; the layout can be chosen."""
    network = nn.Sequential(*(nn.Linear(2, 2) for _ in range(30)))
    file = tmp_path / "net.svg"
    fake_dot(400)
    assert draw(network, (1, 2), file).layout == "dot"
    assert 'width="400pt"' in file.read_text()
    fake_dot(9000)
    assert draw(network, (1, 2), file).layout == "own"
    assert "Linear" in file.read_text()
    assert draw(network, (1, 2), file, layout="dot").scale == pytest.approx(540 / 9000)
    fake_dot(400)
    assert draw(network, (1, 2), file, layout="own").layout == "own"
    draw(network, (1, 2), tmp_path / "net.png")
    assert (tmp_path / "net.png").read_text() == "['-Tpng', '-Gdpi=144']\n"


def test_a_failing_dot_is_told_and_leaves_nothing(fake_dot, tmp_path):
    """With its own words."""

    class Fails(nn.Linear):
        pass

    fake_dot(400)
    with pytest.raises(
        OptionError, match=r"dot failed: syntax error in line 1\. Fix: --layout own"
    ):
        draw(Fails(2, 2), (1, 2), tmp_path / "net.svg", layout="dot")
    assert not (tmp_path / "net.svg").exists()


def test_a_file_that_cannot_be_written_is_told_and_leaves_nothing(tmp_path):
    """Such as one that is a folder."""
    (tmp_path / "net.svg").mkdir()
    with pytest.raises(OptionError, match=r"net\.svg cannot be written: "):
        draw(nn.Linear(2, 2), (1, 2), tmp_path / "net.svg")
    assert [item.name for item in tmp_path.iterdir()] == ["net.svg"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("net.pdf", {}, "a graph expected a file .svg, .png, .dot, .gv, received "),
        ("none/net.svg", {}, "cannot be written: there is no folder "),
        ("net.svg", {"depth": 0}, "depth expected a whole number from 1, received 0."),
        ("net.svg", {"layout": "dot"}, "expected Graphviz's program dot, which is not on the PATH"),
    ],
)
def test_wrong_use_is_told_before_anything_runs(name, options, message, tmp_path):
    """What was expected, what was received."""
    with pytest.raises(OptionError) as caught:
        draw(None, None, tmp_path / name, **options)
    assert message in str(caught.value)


def test_a_png_without_matplotlib_names_the_extra(tmp_path, monkeypatch):
    """An SVG needs nothing."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'layerwright\[plot\]'"):
        draw(nn.Linear(2, 2), (1, 2), tmp_path / "net.png")
    draw(nn.Linear(2, 2), (1, 2), tmp_path / "net.svg")
