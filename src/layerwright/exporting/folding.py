"""Fold batch norms into the convolutions and linear maps before them, in the exported graph."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

_ATEN = torch.ops.aten
_BATCH_NORM = _ATEN.batch_norm.default
_DIMS: dict[Any, int] = {  # of the output of each operator that a batch norm can be folded into
    _ATEN.linear.default: 2,
    _ATEN.conv1d.default: 3,
    _ATEN.conv2d.default: 4,
    _ATEN.conv3d.default: 5,
}


def folded(program: ExportedProgram) -> tuple[nn.Module, int]:
    """Return a program's network with its batch norms folded, and how many were.

    A batch norm with fixed statistics is `y = x s + t` for each channel. Where it is the only
    reader of a convolution or linear map, `s` goes into that map's weight and `t` into its bias.
    What counts is the operators, whatever modules they came from; a batch norm that is written out
    by hand stays as it is.
    """
    module: Any = program.module()
    graph, count = module.graph, 0
    for node in list(graph.nodes):
        if node.target is not _BATCH_NORM or node.args[5]:
            continue
        source = node.args[0]
        dims = _DIMS.get(getattr(source, "target", None))
        value = getattr(source, "meta", {}).get("val")
        if dims is None or len(source.users) != 1 or value is None or value.dim() != dims:
            continue
        read = [*source.args[1:3], *[None] * (3 - len(source.args)), *node.args[1:5]]
        if any(item is not None and item.op != "get_attr" for item in read):
            continue  # a weight that is computed
        tensors = [None if item is None else _tensor(module, item.target) for item in read]
        if tensors[0] is None or tensors[4] is None or tensors[5] is None:
            continue
        _fold(module, source, node, tensors, count)
        count += 1
    graph.eliminate_dead_code()
    _drop_unread(module)
    module.recompile()
    return module, count


def _fold(module: Any, source: Any, node: Any, tensors: list[Any], number: int) -> None:
    """Give `source` new values, computed in float64, in place of the batch norm."""
    doubles: list[Any] = [None if item is None else item.double() for item in tensors]
    weight, bias, scale, shift, mean, variance = doubles
    scale = torch.ones_like(mean) if scale is None else scale
    shift = torch.zeros_like(mean) if shift is None else shift
    linear = source.target is _ATEN.linear.default
    fuse: Any = fuse_linear_bn_weights if linear else fuse_conv_bn_weights
    values = fuse(weight, bias, mean, variance, node.args[7], scale, shift)
    nodes = []
    with module.graph.inserting_before(source):
        for name, value in zip(("weight", "bias"), values, strict=True):
            attribute = f"folded_{number}_{name}"
            module.register_parameter(
                attribute, nn.Parameter(value.detach().to(tensors[0].dtype), requires_grad=False)
            )
            nodes.append(module.graph.get_attr(attribute))
    source.args = (source.args[0], *nodes, *source.args[3:])
    node.replace_all_uses_with(source)
    module.graph.erase_node(node)


def _tensor(module: Any, path: str) -> Tensor:
    """Return the parameter or buffer of a path."""
    owner, _, name = path.rpartition(".")
    found: Tensor = getattr(module.get_submodule(owner), name)
    return found.detach()


def _drop_unread(module: Any) -> None:
    """Remove parameters and buffers that the graph no longer reads."""
    read = {node.target for node in module.graph.nodes if node.op == "get_attr"}
    named = [*module.named_parameters(remove_duplicate=False)]
    named += [*module.named_buffers(remove_duplicate=False)]
    for path, _ in named:
        owner, _, name = path.rpartition(".")
        if path not in read:
            delattr(module.get_submodule(owner), name)
