"""The user's source: where a file lies as seen from here, and one line of it."""

import linecache
from pathlib import Path


def path_from_here(file: str) -> str:
    """Return a file's path relative to the working folder if it lies below it."""
    try:
        below = Path(file).relative_to(Path.cwd())
    except (ValueError, OSError):  # it lies elsewhere; or the working folder is gone
        return file
    return file if ".." in below.parts else str(below)


def source_line(file: str | None, line: int | None) -> str | None:
    """Return one line of a file without its indentation, or None if it cannot be had.

    Cells of notebooks are found too: their front ends leave the text with linecache.
    """
    if file is None or line is None:
        return None
    linecache.checkcache(file)
    if file not in linecache.cache and not Path(file).is_file():
        return None  # linecache would look for a file of that name all along sys.path
    return linecache.getline(file, line).strip() or None
