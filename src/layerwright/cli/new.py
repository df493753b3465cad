"""`layerwright new`: a layer, its test and its contract case, ready to run."""

import os
import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from layerwright.cli.new_files import plan_files, read_name, write_files
from layerwright.cli.new_place import find_project, is_importable
from layerwright.cli.output import print_json


def new(
    name: str,
    /,
    *,
    package: Path | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Write a layer and its test, which holds the contract case; everything passes at once.

    The layer goes to PACKAGE/layers/FAMILY/NAME.py, the test to tests/layers/FAMILY/test_NAME.py.
    The project is the nearest folder, from here upwards, with a pyproject.toml, setup.cfg or
    setup.py, or else the current folder. PACKAGE is the folder with the project's name in src or
    beside pyproject.toml, or the only package there; where there is none, a folder with the
    project's name is made, and where the project has no name, layers goes to src or to the project
    itself. A conftest.py is added if pytest would not find the package. No file is ever changed or
    overwritten.

    Args:
        name: family and name of the layer in lower case: attention/my_layer.
        package: folder of the package that the layer goes to.
        as_json: print one JSON object.
    """
    chosen = read_name(name)
    project = find_project(Path.cwd().resolve(), package)
    files = plan_files(project, chosen)
    write_files(files)
    layer, test = list(files)[:2]
    module = project.import_name(layer)
    commands = [
        shlex.join(["pytest", _from_here(test)]),
        f'layerwright check "{_from_here(layer)}:{chosen.cls}(8)" --input 4x5x8',
    ]
    known = (project.root / "conftest.py" in files) or project.source == project.root
    note = None
    if not known and not is_importable(project, module.split(".")[0]):
        note = (
            f"pytest has to find {_from_here(project.source)}: run pip install -e ., or set "
            'pythonpath = ["src"] in [tool.pytest.ini_options]'
        )
    if as_json:
        written = [_from_here(path) for path in files]
        target = f"{module}:{chosen.cls}"
        print_json({"written": written, "layer": target, "next": commands, "note": note})
        return 0
    for path in files:
        print(f"wrote {_from_here(path)}")
    if note:
        print(f"note: {note}")
    print("\nnext: write your formula into the layer, and keep these green")
    for command in commands:
        print(f"  {command}")
    return 0


def _from_here(path: Path) -> str:
    return os.path.relpath(path)
