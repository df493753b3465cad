"""The user's source."""

import linecache
import os
from pathlib import Path

from layerwright.reports.source import path_from_here, source_line


def test_line(tmp_path):
    """A line comes without its indentation; it is read again when the file has changed."""
    file = tmp_path / "scale.py"
    file.write_text("class Scale:\n    size = 1\n")
    assert source_line(str(file), 2) == "size = 1"
    file.write_text("class Scale:\n    length = 2\n")
    os.utime(file, (1, 1))
    assert source_line(str(file), 2) == "length = 2"


def test_no_line(tmp_path):
    """There is none without a file or line, beyond the end, on an empty line or without text."""
    file = tmp_path / "scale.py"
    file.write_text("\nx = 1\n")
    assert source_line(None, 1) is None
    assert source_line(str(file), None) is None
    assert source_line(str(file), 1) is None
    assert source_line(str(file), 9) is None
    file.unlink()
    assert source_line(str(file), 2) is None
    assert source_line(str(tmp_path), 1) is None


def test_not_along_the_path():
    """A relative name is never looked for beside installed packages."""
    assert linecache.getline("json/__init__.py", 1)  # this is how linecache would answer
    linecache.clearcache()
    assert source_line("json/__init__.py", 1) is None


def test_notebook_cell():
    """A cell, which has no file, is read from where notebooks leave it."""
    linecache.cache["<cell 7>"] = (9, None, ["import torch\n", "x = 1\n"], "<cell 7>")
    try:
        assert source_line("<cell 7>", 2) == "x = 1"
    finally:
        del linecache.cache["<cell 7>"]


def test_path_from_here(tmp_path, monkeypatch):
    """A file below the working folder is named from there, another one in full."""
    monkeypatch.chdir(tmp_path)
    assert path_from_here(str(tmp_path / "models" / "a.py")) == str(Path("models") / "a.py")
    assert path_from_here(str(tmp_path.parent / "a.py")) == str(tmp_path.parent / "a.py")
    above = str(tmp_path / ".." / "a.py")
    assert path_from_here(above) == above
    assert path_from_here("a.py") == "a.py"
