"""Write a .pt2 package of AOTInductor: the network as machine code, which runs without Python."""

import os
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.export import ExportedProgram

from layerwright.errors import ExportError
from layerwright.exporting import facts as facts_of_file
from layerwright.exporting.torch_compat import compile_package, load_package, quiet
from layerwright.initialization.examples import tensors_in

_SOURCES = (".cpp", ".h")  # they name the folders of this machine, and nothing reads them


def write_aot(program: ExportedProgram, path: Path, facts: Mapping[str, Any]) -> None:
    """Compile a program with its weights for this kind of processor.

    Raises:
        ExportError: there is no C++ compiler, or AOTInductor cannot compile the network.
    """
    check_compiler()
    try:
        with quiet(), torch.no_grad():
            compile_package(program, path, {facts_of_file.KEY: facts_of_file.as_text(facts)})
    except Exception as error:
        said = next(iter(str(error).strip().splitlines()), "")[:300]
        raise ExportError(
            f"AOTInductor cannot compile the network: {type(error).__name__}: {said} "
            "Fix: export without --aot."
        ) from error
    _drop_sources(path)


def check_compiler() -> None:
    """Refuse to start without a C++ compiler.

    Raises:
        ExportError: there is none.
    """
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None and shutil.which("clang++") is None:
        raise ExportError(
            f"AOTInductor expected a C++ compiler, and there is no {compiler}. "
            "Fix: install g++, or export without --aot."
        )


class OpenedAot:
    """A package in the process that compares it: loading one runs its machine code.

    Args:
        path: a package that this machine has just written.
    """

    def __init__(self, path: Path) -> None:
        with quiet():
            self.call = load_package(path)

    def run(self, inputs: Sequence[Any]) -> list[Tensor]:
        """Return the outputs, as tensors, for tensors."""
        with torch.no_grad():
            return list(tensors_in(self.call(list(inputs))))

    def load_tensors(self, path: Path) -> dict[str, Tensor]:
        """Read a .safetensors file as tensors."""
        return dict(load_file(path))

    def save_tensors(
        self, tensors: dict[str, Any], path: Path, metadata: Mapping[str, str]
    ) -> None:
        """Write tensors into a .safetensors file."""
        apart = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
        save_file(apart, path, dict(metadata))


def _drop_sources(path: Path) -> None:
    smaller = path.with_name(f"{path.name}.smaller")
    try:
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(smaller, "w") as new:
            for item in old.infolist():
                if not item.filename.endswith(_SOURCES):
                    new.writestr(item, old.read(item))
        smaller.replace(path)
    finally:
        smaller.unlink(missing_ok=True)
