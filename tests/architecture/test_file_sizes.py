"""A file holds one thing: it stays short, and its name says what is inside."""

from pathlib import Path

import pytest

import layerwright

SOURCE = Path(layerwright.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
MAX_LINES = 300
SAYS_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc", "base", "core", "tools"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_files_stay_short(file):
    """A longer file holds two things; split it."""
    assert len(file.read_text().splitlines()) <= MAX_LINES


def test_names_say_what_is_inside():
    """No utils.py: name the thing."""
    names = {part for file in FILES for part in file.relative_to(SOURCE).with_suffix("").parts}
    assert names & SAYS_NOTHING == set()


def test_every_folder_is_a_package_with_content():
    """A room without content is not created."""
    folders = {
        parent for file in FILES for parent in file.parents if SOURCE in (parent, *parent.parents)
    }
    for folder in folders:
        assert (folder / "__init__.py").is_file(), folder
        assert [file for file in folder.rglob("*.py") if file.name != "__init__.py"], folder
