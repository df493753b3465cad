"""Write a .pt2 file: torch.export's own format."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from layerwright.exporting import facts as facts_of_file
from layerwright.exporting.torch_compat import quiet


def write_pt2(program: ExportedProgram, path: Path, facts: Mapping[str, Any]) -> None:
    """Write a program with its weights, and facts beside it."""
    extra = {facts_of_file.EXTRA_FILE: facts_of_file.as_text(facts)}
    with quiet():
        torch.export.save(program, path, extra_files=extra)
