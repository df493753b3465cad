"""Write a file aside, and give it its name when it is known to be right."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from layerwright.errors import OptionError


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and rename it at the end.

    When anything fails meanwhile, the temporary file is removed, and a file that had the name
    before is left as it was.

    Raises:
        OptionError: the folder does not exist or cannot be written.
    """
    if not path.parent.is_dir():
        raise OptionError(
            f"export expected a folder for {path.name}, and {path.parent} is none. "
            "Fix: make it, or correct the path."
        )
    if path.is_dir():
        raise OptionError(f"export expected a file, and {path} is a folder.")
    aside = path.with_name(f".{path.stem}-{os.getpid()}-unchecked{path.suffix}")
    try:
        try:
            aside.touch(exist_ok=False)
        except OSError as error:
            raise OptionError(f"{path} cannot be written: {error}.") from error
        mode = aside.stat().st_mode
        yield aside
        aside.chmod(mode)  # of the user's umask; safetensors writes for the user alone
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
