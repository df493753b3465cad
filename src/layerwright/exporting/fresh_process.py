"""What an exported file answers in a process that has never seen the network."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

import layerwright
from layerwright.errors import ExportError
from layerwright.exporting.replay import grouped, metadata_of


@dataclass(frozen=True)
class Answers:
    """What came back.

    Attributes:
        outputs: of each call, in order; empty where the call failed.
        problems: what the runtime said, by call.
    """

    outputs: list[list[Tensor]]
    problems: dict[int, str]


def replayed(
    file: Path, calls: Sequence[Sequence[Tensor]], *, machine_code: bool = False
) -> Answers:
    """Load a file in a fresh process, and call it.

    Args:
        file: .onnx or .pt2.
        calls: the tensors of each call, in the order of the file's inputs.
        machine_code: the file is a package of AOTInductor that was just written here.

    Raises:
        ExportError: the file cannot be loaded there, or its process died.
    """
    with tempfile.TemporaryDirectory(prefix="layerwright-export-") as folder:
        given, found = Path(folder) / "in.safetensors", Path(folder) / "out.safetensors"
        tensors = {
            f"{call}:{place}": tensor.detach().contiguous().clone()
            for call, items in enumerate(calls)
            for place, tensor in enumerate(items)
        }
        save_file(tensors, given)
        home = str(Path(layerwright.__file__).parents[1])
        paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
        done = subprocess.run(  # noqa: S603 - our own module, and files of ours
            [
                *(sys.executable, "-P", "-m", "layerwright.exporting.replay"),
                *map(str, (file.resolve(), given, found)),
                *(["--machine-code"] if machine_code else []),
            ],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not found.is_file():
            said = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
            raise ExportError(f"the file cannot be loaded in a fresh process: {said[0]}")
        results = grouped(load_file(found))
        problems = json.loads(metadata_of(found)["problems"])
    return Answers(
        [results.get(call, []) for call in range(len(calls))],
        {int(call): words for call, words in problems.items()},
    )
