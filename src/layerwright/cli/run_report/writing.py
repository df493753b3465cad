"""Where the page goes, and how it gets there whole."""

import os
from collections.abc import Sequence
from pathlib import Path

from layerwright.errors import OptionError


def page_file(folders: Sequence[Path], output: Path | None) -> Path:
    """Return the file to write: the one that was asked for, or one in the first run's folder.

    Raises:
        OptionError: it is a folder, or lies in none.
    """
    if output is None:
        first, *others = folders
        name = f"report-{others[0].resolve().name}.html" if others else "report.html"
        return first / name
    if output.is_dir():
        raise OptionError(
            f"--output expected a file, and {output} is a folder. Fix: --output {output}/run.html"
        )
    if not output.parent.is_dir():
        raise OptionError(f"--output {output}: the folder {output.parent} does not exist.")
    return output


def write_page(file: Path, text: str) -> int:
    """Write a page under another name first, and return its size in bytes.

    Raises:
        OptionError: it cannot be written.
    """
    data = text.encode("utf-8", "replace")
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        aside.write_bytes(data)
        aside.replace(file)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise OptionError(
            f"{file} cannot be written: {error.strerror}. Fix: --output FILE in another folder."
        ) from error
    return len(data)
