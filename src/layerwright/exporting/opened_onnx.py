"""An ONNX file in onnxruntime; torch is not needed."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from layerwright.errors import ExportError, MissingExtraError
from layerwright.exporting import facts
from layerwright.exporting.vetted_onnx import vetted_onnx

_ERRORS_ALONE = 3  # of onnxruntime's log levels
_TYPES = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16",
          "tensor(bool)": "bool"}  # fmt: skip


class OpenedOnnx:
    """A network in onnxruntime, on the CPU.

    Args:
        path: the file.

    Raises:
        ExportError: the file is damaged, names files outside its folder, or onnxruntime refuses it.
        MissingExtraError: onnx or onnxruntime is not installed.
    """

    def __init__(self, path: Path) -> None:
        model = vetted_onnx(path)
        texts = {entry.key: entry.value for entry in model.metadata_props}
        self.facts = facts.from_text(texts.get(facts.KEY), path)
        self.session = session_of(model.SerializeToString(), path.parent)
        self.input_names = [item.name for item in self.session.get_inputs()]
        self.input_types = tuple(
            _TYPES.get(item.type, item.type.removeprefix("tensor(").removesuffix(")"))
            for item in self.session.get_inputs()
        )

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """Return the outputs, arrays of numpy, for arrays of numpy."""
        return list(self.session.run(None, dict(zip(self.input_names, inputs, strict=True))))

    def load_tensors(self, path: Path) -> dict[str, Any]:
        """Read a .safetensors file as arrays of numpy."""
        from safetensors.numpy import load_file  # noqa: PLC0415 - beside torch another one is used

        return dict(load_file(path))

    def save_tensors(
        self, tensors: dict[str, Any], path: Path, metadata: Mapping[str, str]
    ) -> None:
        """Write arrays of numpy into a .safetensors file."""
        import numpy as np  # noqa: PLC0415
        from safetensors.numpy import save_file  # noqa: PLC0415

        arrays = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
        save_file(arrays, path, dict(metadata))


def session_of(model: bytes, folder: Path) -> Any:
    """Return an onnxruntime session of a model whose external data lies in `folder`.

    OMP_NUM_THREADS, where it is set, gives the number of threads, as for torch.

    Raises:
        ExportError: onnxruntime refuses the model.
        MissingExtraError: onnxruntime is not installed.
    """
    try:
        import onnxruntime  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError("running an ONNX file", "onnxruntime", "export") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ALONE
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdigit():
        options.intra_op_num_threads = int(threads)
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(folder.resolve())
    )
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ExportError(f"onnxruntime refuses the file: {str(error).strip()[:300]}") from error
