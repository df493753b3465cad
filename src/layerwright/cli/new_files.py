"""The files of a new layer: what is in them, and how they are written, all or none."""

import keyword
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from layerwright.cli.new_place import Project, is_importable
from layerwright.errors import OptionError

TEMPLATES = Path(__file__).with_name("templates")
_HIDING = {*sys.stdlib_module_names, "torch", "numpy", "pytest", "layerwright", "tensor", "nn"}
_EXAMPLE = "layerwright new attention/my_layer"

_CONFTEST = '''"""Lets the tests import the project's own code without an installation."""

import sys
from pathlib import Path

sys.path.insert(0, str({folder}))
'''


@dataclass(frozen=True)
class LayerName:
    """What "attention/my_layer" names.

    Attributes:
        family: the folder, "attention".
        module: the file, "my_layer".
    """

    family: str
    module: str

    @property
    def cls(self) -> str:
        """The class, "MyLayer"."""
        return "".join(part.capitalize() for part in self.module.split("_") if part)

    @property
    def words(self) -> str:
        """The name for a reader, "My layer"."""
        return " ".join(part for part in self.module.split("_") if part).capitalize()


def read_name(text: str) -> LayerName:
    """Read "attention/my_layer".

    Raises:
        OptionError: it is none; the message has the nearest that is.
    """
    parts = text.strip("/").removesuffix(".py").split("/")
    tidy = [_snake_case(part) for part in parts]
    if len(parts) == 2 and parts == tidy and all(map(_is_name, parts)):
        if parts[1] in _HIDING:
            raise OptionError(
                f"new expected a name of its own, received {text!r}, which would hide "
                f"{parts[1]!r}. Did you mean {text}_layer?"
            )
        return LayerName(*parts)
    if len(tidy) == 2 and all(map(_is_name, tidy)):
        hint = f"Did you mean {'/'.join(tidy)}?"
    elif len(tidy) == 1 and _is_name(tidy[0]):
        hint = f"Fix: put a family before it, such as attention/{tidy[0]}."
    else:
        hint = f"Fix: two names in lower case, as in: {_EXAMPLE}"
    raise OptionError(f"new expected FAMILY/NAME, received {text!r}. {hint}")


def plan_files(project: Project, name: LayerName) -> dict[Path, str]:
    """Return what is to be written, by file: the layer first, then its test, then the rest.

    Raises:
        OptionError: a file of the layer exists, or a module would be hidden.
    """
    folder = project.package / "layers" / name.family
    tests = project.root / "tests" / "layers" / name.family
    layer, test = folder / f"{name.module}.py", tests / f"test_{name.module}.py"
    for path in (layer, test):
        if path.exists():
            raise OptionError(
                f"{path} expected no file, and exists; nothing was written. "
                "Fix: choose another name, or move it away."
            )
    for hidden in (folder.parent.with_suffix(".py"), folder.with_suffix(".py")):
        if hidden.exists():
            raise OptionError(
                f"{hidden} expected no such module, because the folder {hidden.stem} beside it "
                f"would hide it; nothing was written. Fix: rename it, or choose another place "
                f"with --package."
            )
    is_package = (project.root / "tests" / "__init__.py").exists()
    if not is_package and any((project.root / "tests").rglob(test.name)):
        # pytest takes two files of one name for one module, unless they stand in packages
        test = tests / f"test_{name.family}_{name.module}.py"
        if test.exists():
            raise OptionError(f"{test} expected no file, and exists; nothing was written.")
    module = project.import_name(layer)
    files = {layer: _layer_text(name), test: _test_text(name, module)}
    packages = {folder.parent: "Custom layers, one file each, in a folder for each family."}
    packages[folder] = f"Layers of the family {name.family}."
    if is_package:
        packages[tests.parent] = "Tests of the layers."
        packages[tests] = f"Tests of the family {name.family}."
    if project.package != project.source and not project.package.exists():
        packages[project.package] = f"{project.package.name}."
    files |= {
        package / "__init__.py": f'"""{text}"""\n'
        for package, text in packages.items()
        if not (package / "__init__.py").exists()
    }
    conftest = project.root / "conftest.py"
    if not conftest.exists() and not is_importable(project, module.split(".")[0]):
        here = "Path(__file__).parent"
        place = here if project.source == project.root else f'{here} / "src"'
        files[conftest] = _CONFTEST.format(folder=place)
    return files


def write_files(files: Mapping[Path, str]) -> None:
    """Write all files, none of which may exist; on failure take back what was written.

    Raises:
        OptionError: a file appeared meanwhile, or cannot be written.
    """
    made: list[Path] = []
    try:
        for path, text in files.items():
            for folder in reversed([item for item in path.parents if not item.exists()]):
                folder.mkdir()
                made.append(folder)
            with path.open("x", encoding="utf-8") as file:
                made.append(path)
                file.write(text)
    except BaseException as error:
        for path in reversed(made):
            path.rmdir() if path.is_dir() else path.unlink()
        if not isinstance(error, OSError):
            raise
        raise OptionError(
            f"the layer could not be written: {error}; nothing of it was kept. "
            "Fix: choose a folder that can be written to."
        ) from error


def _layer_text(name: LayerName) -> str:
    text = (TEMPLATES / "my_layer.py").read_text(encoding="utf-8")
    return text.replace("My layer.", f"{name.words}.", 1).replace("MyLayer", name.cls)


def _test_text(name: LayerName, module: str) -> str:
    text = (TEMPLATES / "test_my_layer.py").read_text(encoding="utf-8")
    ours = "import layerwright as lw\n"  # for us of this package, for users of another
    text = text.replace(ours, "", 1).replace("import pytest\n", f"{ours}import pytest\n", 1)
    text = text.replace("layerwright.cli.templates.my_layer", module, 1)
    return text.replace("MyLayer", name.cls)


def _snake_case(text: str) -> str:
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", text)
    return re.sub(r"[\s.-]+", "_", text.strip()).lower()


def _is_name(text: str) -> bool:
    return text.isascii() and text.isidentifier() and text[0] != "_" and not keyword.iskeyword(text)
