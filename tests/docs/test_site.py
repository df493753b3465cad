"""The documentation site: links between files, pages of docstrings, and what stops the build."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))

import build_pages
import yaml
from reference import layer_pages
from reference.repository_links import rewritten

from layerwright.errors import OptionError


@pytest.mark.parametrize(
    ("written", "on_the_site"),
    [
        ("[a](../guide/checking.md#traits)", "[a](../guide/checking.md#traits)"),
        ("[b](../../README.md)", "[b](../index.md)"),
        ("[c](../../src/rules/wrong.py)", "[c](../rules/WRONG.md)"),
        ("[d](https://example.org/README.md)", "[d](https://example.org/README.md)"),
        ("[e](#here)", "[e](#here)"),
        ("```text\n[f](../../README.md)\n```", "```text\n[f](../../README.md)\n```"),
    ],
)
def test_links_between_files_become_links_between_pages(written, on_the_site):
    """What is right in the repository is right on the site; code is left alone."""
    pages = {
        "README.md": "index.md",
        "docs/guide/checking.md": "guide/checking.md",
        "src/rules/wrong.py": "rules/WRONG.md",
    }
    assert rewritten(written, "docs/tutorial/a.md", "tutorial/a.md", pages) == on_the_site


def test_a_layers_page_has_what_its_docstring_says():
    """Signature, formula, table, arguments, errors, example, source."""
    pages = layer_pages.layer_pages()
    page = pages["layers/attention/attention.md"]
    for part in (
        "from layerwright.layers.attention.attention import Attention",
        "    *,\n    num_kv_heads: int | None = None,",
        "<mfrac>",
        "broadcast; bool, or numbers to add, of which -inf hides",
        "- `kdim`: number of features of `key`; default embed_dim.",
        "- `ShapeError`: at the call",
        "```pycon\n>>> attention = Attention(16",
        "<https://arxiv.org/abs/1706.03762>",
    ):
        assert part in page
    assert "$$" not in "".join(pages.values())
    assert "[Attention](attention/attention.md)" in pages["layers/index.md"]
    assert "[LeNet](lenet.md)" in pages["networks/index.md"]


def test_a_formula_that_cannot_be_drawn_is_refused():
    """By the name of the command, which would stand on the page otherwise."""
    with pytest.raises(OptionError, match=r"formula of Layer has \\nonsense"):
        layer_pages._in_mathml("Layer", r"$$ y = \nonsense x $$")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with a home page, and our settings; returns what writes a page of docs."""
    config = yaml.safe_load((build_pages.ROOT / "mkdocs.yml").read_text())

    def write(text, nav=("index.md", "guide.md")):
        (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(config | {"nav": list(nav)}))
        (tmp_path / "docs" / "guide.md").write_text(text)
        return tmp_path / "build"

    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("# Home\n\n[guide](docs/guide.md#part)\n")
    monkeypatch.setattr(build_pages, "ROOT", tmp_path)
    for module, name in (("rule", "rule"), ("layer", "layer"), ("verb", "verb")):
        reference = getattr(build_pages, f"{module}_pages")
        monkeypatch.setattr(reference, f"{name}_pages", dict)
    return write


def test_a_site_is_built_without_a_request_to_elsewhere(repository):
    """Page and link are there; no script, font or style comes from another host."""
    folder = repository("# Guide\n\n## Part\n")
    build_pages.build(folder)
    home = (folder / "site" / "index.html").read_text()
    assert "guide/#part" in home or "guide.html#part" in home
    assert 'src="http' not in home
    assert "fonts.g" not in home


@pytest.mark.parametrize(
    ("text", "nav", "message"),
    [
        ("# Guide\n\n[x](nowhere.md)\n\n## Part\n", ["index.md", "guide.md"], "does not exist"),
        ("# Guide\n", ["index.md", "guide.md"], "anchor does not exist"),
        ("# Guide\n\n## Part\n", ["index.md"], "guide.md: in no section of mkdocs.yml"),
        ("# Guide\n\n## Part\n", ["index.md", "guide.md", "lost.md"], "lost.md: no page"),
    ],
)
def test_a_warning_stops_the_build(repository, text, nav, message):
    """A link, an anchor, a page without a section, a section without a page."""
    with pytest.raises(build_pages.BuildError, match=message):
        build_pages.build(repository(text, nav))
