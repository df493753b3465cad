"""Dynamic int8 for the linear layers of an ONNX file."""

from collections import Counter
from pathlib import Path

from layerwright.errors import ExportError
from layerwright.exporting.torch_compat import quiet

_PRODUCTS = ["MatMul", "Gemm"]


def write_int8(source: Path, target: Path) -> int:
    """Write an ONNX file with its products by weights in int8, and return how many there are.

    Weights are rounded to 7 bits with a scale for each output, so that processors without VNNI
    instructions cannot overflow; inputs of a product are rounded to 8 bits with one scale for the
    whole batch, found when it runs. Convolutions stay in float.

    Raises:
        ExportError: onnxruntime cannot quantize the file.
    """
    import onnx  # noqa: PLC0415 - an extra
    from onnxruntime import quantization  # noqa: PLC0415

    model = onnx.load(source)
    metadata = [(entry.key, entry.value) for entry in model.metadata_props]
    del model.graph.value_info[:]  # of weights that will be stored transposed
    try:
        with quiet():
            quantization.quantize_dynamic(
                model,
                target,
                op_types_to_quantize=_PRODUCTS,
                per_channel=True,
                reduce_range=True,
                weight_type=quantization.QuantType.QInt8,
            )
    except Exception as error:
        raise ExportError(
            f"onnxruntime cannot quantize the network: {type(error).__name__}: {str(error)[:200]}. "
            "Fix: export without --optimize."
        ) from error
    written = onnx.load(target)
    del written.metadata_props[:]
    for key, value in metadata:
        written.metadata_props.add(key=key, value=value)
    written.producer_name, written.producer_version = model.producer_name, model.producer_version
    target.write_bytes(written.SerializeToString())
    return Counter(node.op_type for node in written.graph.node)["MatMulInteger"]
