"""Open an exported file: what it knows of its network, and a function that runs it.

Torch is imported for a .pt2 file alone.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from layerwright.errors import ExportError
from layerwright.exporting.refusals import check_content


class OpenedFile(Protocol):
    """A network from a file.

    Attributes:
        facts: what `layerwright.exporting.facts` says travels with it.
        input_types: numpy's names of the dtypes of the inputs, in order.
    """

    facts: dict[str, Any]
    input_types: tuple[str, ...]

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """Return the network's outputs for its inputs: arrays of numpy, or tensors of torch."""
        ...

    def load_tensors(self, path: Path) -> dict[str, Any]:
        """Read a .safetensors file as what `run` takes."""
        ...

    def save_tensors(
        self, tensors: dict[str, Any], path: Path, metadata: Mapping[str, str]
    ) -> None:
        """Write what `run` returned into a .safetensors file."""
        ...


def open_exported(path: str | Path) -> OpenedFile:
    """Open a .onnx or .pt2 file; nothing in it is executed but its operators.

    Raises:
        ExportError: the file is damaged, would run code, or holds weights alone.
        MissingExtraError: onnxruntime is not installed.
        OptionError: there is no such file, or its suffix is another one.
    """
    path = Path(path)
    suffix = check_content(path)
    if suffix == ".onnx":
        from layerwright.exporting.opened_onnx import OpenedOnnx  # noqa: PLC0415 - an extra

        return OpenedOnnx(path)
    if suffix == ".pt2":
        from layerwright.exporting.opened_pt2 import OpenedPt2  # noqa: PLC0415 - torch

        return OpenedPt2(path)
    raise ExportError(
        f"{path} expected a network, and holds weights alone. "
        "Fix: export .onnx or .pt2, or load the weights: "
        "network.load_state_dict(safetensors.torch.load_file(...))."
    )
