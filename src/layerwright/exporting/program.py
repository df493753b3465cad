"""A network as one graph of operators, by torch.export."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram, ShapesCollection

from layerwright.errors import ExportError, OptionError
from layerwright.exporting.subject import named_tensors
from layerwright.exporting.torch_compat import quiet
from layerwright.exporting.trials import batched, with_batch
from layerwright.initialization.examples import ExampleInputs

_SAMPLES = (3, 5, 7, 11, 13)  # one of them is no other size of the inputs
_SAID = 300


def captured(
    network: nn.Module,
    inputs: ExampleInputs,
    *,
    dynamic_batch: bool = True,
    dims: Mapping[int, Sequence[int]] | None = None,
) -> ExportedProgram:
    """Export a network.

    Args:
        network: in eval mode.
        inputs: an example; it is brought to a number of samples that stands out from other sizes.
        dynamic_batch: let the batch be of any size.
        dims: further dims of any size, by the place of their tensor among the inputs.

    Raises:
        ExportError: torch.export cannot capture the network, or fixes a size that is to be free.
    """
    flags = batched(inputs)
    if dynamic_batch:
        others = {size for tensor in inputs.tensors() for size in tensor.shape[1:]}
        samples = next((size for size in _SAMPLES if size not in others), _SAMPLES[-1])
        inputs = with_batch(inputs, samples)
    else:
        inputs = inputs.map(torch.clone)
    shapes: Any = ShapesCollection()
    for place, (tensor, flag) in enumerate(zip(inputs.tensors(), flags, strict=True)):
        free = [*([0] if flag and dynamic_batch else []), *(dims or {}).get(place, ())]
        if free:
            shapes[tensor] = dict.fromkeys(free, Dim.DYNAMIC)
    try:
        with quiet(), torch.no_grad():
            program = torch.export.export(
                network,
                inputs.args,
                dict(inputs.kwargs),
                dynamic_shapes=shapes if shapes._shapes else None,  # noqa: SLF001 - it has no len()
                strict=False,
            )
    except Exception as error:
        raise ExportError(_in_words(network, error)) from error
    _forget_sources(program)
    return program


def places_of(
    network: nn.Module, inputs: ExampleInputs, dims: Mapping[str, Sequence[int]]
) -> dict[int, tuple[int, ...]]:
    """Turn dims by the name of forward's argument into dims by the place of the tensor.

    Raises:
        OptionError: no argument has this name, or its tensor has no such dim.
    """
    names = [name for name, _ in named_tensors(network, inputs)]
    tensors = inputs.tensors()
    found: dict[int, tuple[int, ...]] = {}
    for name, chosen in dims.items():
        if name not in names:
            raise OptionError(
                f"dynamic dims expected an argument of forward ({', '.join(dict.fromkeys(names))}),"
                f" received {name!r}."
            )
        for place, other in enumerate(names):
            if other != name:
                continue
            size = tensors[place].dim()
            if any(not 0 < dim < size for dim in chosen):
                raise OptionError(
                    f"dynamic dims of {name} expected dims from 1 to {size - 1} (0 is the batch), "
                    f"received {', '.join(map(str, chosen))}."
                )
            found[place] = tuple(chosen)
    return found


def _in_words(network: nn.Module, error: Exception) -> str:
    said = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
    fixed = re.findall(r"L\['(\w+)'\]\.size\(\)\[(\d+)\] .{0,90}?constant \((\d+)\)", said)
    fixed = fixed or re.findall(r"marked L\['(\w+)'\]\.size\(\)\[(\d+)\](.{0,0})", said)
    if fixed:
        places = ", ".join(dict.fromkeys(f"dim {dim} of {name}" for name, dim, _ in fixed))
        batch = any(dim == "0" for _, dim, _ in fixed)
        loop = "samples; or give --fixed-batch" if batch else "steps; or give inputs of one size"
        return (
            f"{type(network).__name__} expected to take any size in {places}, and torch.export "
            "finds code that works for one size alone. Fix: keep x.shape[...] as it is, without "
            f"len(), int() or loops over {loop}."
        )
    return (
        f"{type(network).__name__} expected to be one graph, and torch.export stops: "
        f"{type(error).__name__}: {said[:_SAID]} Fix: keep values in tensors: no numpy, .tolist() "
        "or `if` on values in forward; layerwright check --tier full names the line."
    )


def _forget_sources(program: ExportedProgram) -> None:
    """Drop the lines of source and the paths of this machine that each operator carries."""
    for module in program.graph_module.modules():
        graph = getattr(module, "graph", None)
        for node in graph.nodes if graph is not None else ():
            for name in ("stack_trace", "source_fn_stack", "from_node"):
                node.meta.pop(name, None)
