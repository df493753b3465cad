"""The pyproject.toml that the command line obeys, and the rules beside it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layerwright.contract.suppression import Config


def project_config() -> "Config":
    """Read the nearest pyproject.toml; modules in its folder can be named as rules.

    Raises:
        OptionError: the file is no TOML, or an entry is unknown or does not fit.
    """
    from layerwright.contract.suppression import load_config

    config = load_config(Path.cwd())
    folder = str(config.file.parent) if config.file and config.rules else None
    if folder and folder not in sys.path:
        sys.path.append(folder)  # as `python -m` has it; the console script has not
    return config
