"""Write an ONNX file, by torch's exporter for exported programs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from layerwright.errors import ExportError, MissingExtraError
from layerwright.exporting import facts as facts_of_file
from layerwright.exporting.torch_compat import quiet

SCOPES = "pkg.torch.onnx.name_scopes"  # where the exporter notes the module of an operator
_LARGEST = 2**31 - 1  # bytes that one protobuf message can hold
_SAID = 400


def write_onnx(program: ExportedProgram, path: Path, facts: Mapping[str, Any]) -> None:
    """Write a program with its weights in one ONNX file, and facts in its metadata.

    Raises:
        ExportError: an operator cannot be expressed, or the file would be larger than 2 GB.
        MissingExtraError: onnx or onnxscript is not installed.
    """
    check_exporter()
    try:
        with quiet(), torch.no_grad():
            converted = torch.onnx.export(program, dynamo=True, verbose=False)
            model: Any = converted.model_proto if converted is not None else None
    except Exception as error:
        raise ExportError(
            "torch's exporter to ONNX stops: "
            f"{type(error).__name__}: {_first_cause(error)[:_SAID]}. "
            "Fix: write the layer with operators that ONNX has, or export .pt2."
        ) from error
    _tidy(model)
    model.metadata_props.add(key=facts_of_file.KEY, value=facts_of_file.as_text(facts))
    if model.ByteSize() > _LARGEST:
        raise ExportError(
            f"an ONNX file holds at most 2 GB, and this one would have {model.ByteSize()} bytes. "
            "Fix: export .pt2."
        )
    path.write_bytes(model.SerializeToString())


def check_exporter() -> None:
    """Refuse to start without the packages that write and run ONNX files.

    Raises:
        MissingExtraError: one is not installed.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            with quiet():
                __import__(package)
        except ImportError as error:
            raise MissingExtraError("exporting to ONNX", package, "export") from error


def _tidy(model: Any) -> None:
    """Name the batch, and keep of each operator's origin the module alone."""
    names: dict[str, str] = {}
    for item in model.graph.input:
        dims = item.type.tensor_type.shape.dim
        for place, dim in enumerate(dims):
            if dim.dim_param and dim.dim_param not in names:
                free = "batch" if place == 0 else f"{item.name}_{place}"
                names[dim.dim_param] = free
    for item in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in item.type.tensor_type.shape.dim:
            if dim.dim_param in names:
                dim.dim_param = names[dim.dim_param]
        del item.metadata_props[:]
        item.doc_string = ""
    for node in model.graph.node:
        kept = [entry.value for entry in node.metadata_props if entry.key == SCOPES]
        del node.metadata_props[:]
        for value in kept:
            node.metadata_props.add(key=SCOPES, value=value)
        node.doc_string = ""
    del model.graph.metadata_props[:]
    model.graph.doc_string = ""


def _first_cause(error: BaseException) -> str:
    """Return the first line of the innermost error of a chain, which tells the operator."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
