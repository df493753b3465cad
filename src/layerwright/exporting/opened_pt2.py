"""A .pt2 file of torch.export, as a function of tensors."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from layerwright.errors import ExportError
from layerwright.exporting import facts
from layerwright.exporting.torch_compat import quiet
from layerwright.exporting.vetted_pt2 import vetted_archive
from layerwright.initialization.examples import ExampleInputs, tensors_in


class OpenedPt2:
    """A network as torch.export stored it.

    Args:
        path: the file.

    Raises:
        ExportError: the file is damaged, or holds what could run code.
    """

    def __init__(self, path: Path) -> None:
        archive = vetted_archive(path)
        extra = {facts.EXTRA_FILE: ""}
        try:
            with quiet():
                self.program = torch.export.load(archive, extra_files=extra)
                self.module = self.program.module()
        except Exception as error:
            raise ExportError(
                f"{path} expected a file of torch.export, and torch {torch.__version__} cannot "
                f"load it: {type(error).__name__}: {str(error)[:200]}"
            ) from error
        self.facts = facts.from_text(extra[facts.EXTRA_FILE] or None, path)
        args, kwargs = self.program.example_inputs
        self.example = ExampleInputs(tuple(args), kwargs)
        self.input_types = tuple(
            str(tensor.dtype).removeprefix("torch.") for tensor in self.example.tensors()
        )

    def run(self, inputs: Sequence[Any]) -> list[Tensor]:
        """Return the outputs, as tensors, for tensors or arrays of numpy."""
        given = iter([torch.as_tensor(value) for value in inputs])
        call = self.example.map(lambda _: next(given))
        with torch.no_grad():
            return list(tensors_in(self.module(*call.args, **call.kwargs)))

    def load_tensors(self, path: Path) -> dict[str, Tensor]:
        """Read a .safetensors file as tensors."""
        return dict(load_file(path))

    def save_tensors(
        self, tensors: dict[str, Any], path: Path, metadata: Mapping[str, str]
    ) -> None:
        """Write tensors into a .safetensors file."""
        apart = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
        save_file(apart, path, dict(metadata))
