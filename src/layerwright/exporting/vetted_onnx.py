"""ONNX files are data, but they can name files elsewhere: they are read through before they run.

Torch is not needed.
"""

from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import Any

from layerwright.errors import ExportError, MissingExtraError
from layerwright.exporting.refusals import check_content

_EXTERNAL = 1  # TensorProto.DataLocation
_LOADS_FILES = {"EPContext"}  # operators that hand the path of a compiled file to a runtime


def vetted_onnx(path: Path) -> Any:
    """Read an ONNX model without its external data, and refuse what reaches outside its folder.

    Returns:
        The ModelProto.

    Raises:
        ExportError: the file is no ONNX model, or names files outside its folder.
        MissingExtraError: onnx is not installed.
    """
    check_content(path)
    try:
        import onnx  # noqa: PLC0415 - an extra
        from google.protobuf.message import DecodeError  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError(f"reading {path}", "onnx", "export") from error
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except (DecodeError, OSError, ValueError) as error:
        raise ExportError(
            f"{path} is refused: it is no ONNX model, or is damaged ({error})."
        ) from error
    if not model.graph.node and not model.graph.output:
        raise ExportError(f"{path} is refused: it is no ONNX model, or an empty one.")
    for tensor in _messages(model, "TensorProto"):
        for entry in tensor.external_data:
            if entry.key == "location":
                _check_location(path, tensor.name, entry.value)
        if tensor.data_location == _EXTERNAL and not tensor.external_data:
            raise ExportError(f"{path} is refused: {tensor.name!r} names no file for its values.")
    for node in _messages(model, "NodeProto"):
        if node.op_type in _LOADS_FILES:
            raise ExportError(
                f"{path} is refused: its operator {node.op_type} loads a compiled file."
            )
    return model


def _check_location(path: Path, name: str, location: str) -> None:
    """Refuse external data that lies, or leads by a link, outside the model's folder."""
    folder = path.parent.resolve()
    parts = (*Path(location).parts, *PureWindowsPath(location).parts)
    leaves = (
        Path(location).is_absolute()
        or PureWindowsPath(location).is_absolute()
        or PureWindowsPath(location).drive != ""
        or ".." in parts
        or not (folder / location).resolve().is_relative_to(folder)
    )
    if leaves or "\0" in location:
        raise ExportError(
            f"{path} is refused: the values of {name!r} lie outside its folder, in {location!r}. "
            "Fix: ask for the model with its data in one file, or beside it."
        )
    if not (folder / location).is_file():
        raise ExportError(
            f"{path} expected the values of {name!r} in {location!r} beside it, which is missing."
        )


def _messages(message: Any, kind: str) -> Iterator[Any]:
    """Yield each message of a kind in a protobuf message, however deep."""
    if message.DESCRIPTOR.name == kind:
        yield message
        if kind == "TensorProto":
            return
    elif message.DESCRIPTOR.name == "TensorProto":
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        repeated = not hasattr(value, "ListFields")
        for item in value if repeated else [value]:
            yield from _messages(item, kind)
