"""The same as PNG files."""

import sys

import pytest
from PIL import Image

from layerwright.errors import MissingExtraError, OptionError
from layerwright.reports.run_page.pictures import save_pictures


def test_curves_matrix_and_mistakes_become_files(content, tmp_path):
    """Each can be read; with two runs the curves share a file and the others have a letter."""
    files = save_pictures([content()], tmp_path / "new" / "one")
    assert [file.name for file in files] == ["curves.png", "confusion.png", "mistakes.png"]
    for file in files:
        with Image.open(file) as image:
            assert min(image.size) > 100
    both = save_pictures([content(), content(name="B $x$")], tmp_path)
    assert [file.name for file in both] == [
        "curves.png", "confusion-a.png", "mistakes-a.png", "confusion-b.png", "mistakes-b.png",
    ]  # fmt: skip


def test_a_run_without_epochs_has_no_curves(content, tmp_path):
    """Nothing is drawn of nothing."""
    names = [file.name for file in save_pictures([content(curves=())], tmp_path)]
    assert names == ["confusion.png", "mistakes.png"]


def test_without_matplotlib_the_extra_is_named(content, tmp_path, monkeypatch):
    """And nothing is written."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'layerwright\[plot\]'"):
        save_pictures([content()], tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_folder_that_cannot_be_made_is_an_error(content, tmp_path):
    """One sentence names it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionError, match=r"--png .*file cannot be written"):
        save_pictures([content()], tmp_path / "file")
