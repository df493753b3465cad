"""Run an exported file in a fresh process: `python -m layerwright.exporting.replay FILE IN OUT`.

With `--machine-code` at the end, FILE is a package of AOTInductor that was just written here.

IN and OUT are .safetensors files. IN holds input i of call t as "t:i"; OUT gets output j of call t
under the same kind of name, and what went wrong in the metadata. Only layerwright, and the runtime
that the file is for, are imported.
"""

import json
import struct
import sys
from pathlib import Path
from typing import Any

from layerwright.errors import LayerwrightError
from layerwright.exporting.opened_file import open_exported


def grouped(tensors: dict[str, Any]) -> dict[int, list[Any]]:
    """Return the tensors of each call, in their order."""
    calls: dict[int, dict[int, Any]] = {}
    for name, tensor in tensors.items():
        call, place = map(int, name.split(":"))
        calls.setdefault(call, {})[place] = tensor
    return {
        call: [items[place] for place in sorted(items)] for call, items in sorted(calls.items())
    }


def metadata_of(path: Path) -> dict[str, str]:
    """Return the metadata of a .safetensors file."""
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header: dict[str, Any] = json.loads(file.read(size))
    return dict(header.get("__metadata__", {}))


def main(file: Path, inputs: Path, outputs: Path, *, machine_code: bool) -> int:
    """Run every call of `inputs`, and write what came out."""
    problems: dict[str, str] = {}
    results: dict[str, Any] = {}
    if machine_code:
        from layerwright.exporting.aot_file import OpenedAot  # noqa: PLC0415 - torch

        opened: Any = OpenedAot(file)
    else:
        opened = open_exported(file)
    for call, tensors in grouped(opened.load_tensors(inputs)).items():
        try:
            found = opened.run(tensors)
        except Exception as error:  # noqa: BLE001 - a runtime raises anything
            kind = "" if isinstance(error, LayerwrightError) else f"{type(error).__name__}: "
            problems[str(call)] = f"{kind}{str(error).strip()[:600]}"
            continue
        results |= {f"{call}:{place}": value for place, value in enumerate(found)}
    opened.save_tensors(results, outputs, {"problems": json.dumps(problems)})
    return 0


if __name__ == "__main__":
    try:
        code = main(*map(Path, sys.argv[1:4]), machine_code=sys.argv[4:] == ["--machine-code"])
        sys.exit(code)
    except LayerwrightError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
