"""How many floating-point operations an operator of torch does; None where that is not known.

Counted are the multiplications and additions of matrix products, convolutions, attention and
recurrent layers, a multiply-add as two, as in papers and in `torch.utils.flop_counter`. A bias that
is added inside, padding that is skipped and a causal mask change nothing in the count.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils import flop_counter

from layerwright.inspection.torch_compat import leaves_of, only_moves

_aten = torch.ops.aten
_COMPLEX = 4  # a complex multiply-add is four real ones

# Operators that fill or move memory and calculate nothing: their count is a true zero.
_MOVES = frozenset(
    getattr(_aten, name)
    for name in (
        "_conj", "_efficientzerotensor", "_local_scalar_dense", "_reshape_alias", "_to_copy",
        "_unsafe_view", "arange", "as_strided_copy", "cat", "clone", "constant_pad_nd", "copy",
        "copy_", "detach", "diag_embed", "diagonal_scatter", "embedding", "empty", "empty_like",
        "empty_strided", "eye", "fill", "fill_", "flip", "full", "full_like", "gather", "im2col",
        "index", "index_select", "lift_fresh", "masked_fill", "masked_fill_", "masked_select",
        "narrow_copy", "new_empty", "new_full", "new_ones", "new_zeros", "nonzero", "ones",
        "ones_like", "pixel_shuffle", "pixel_unshuffle", "reflection_pad1d", "reflection_pad2d",
        "repeat", "replication_pad2d", "resize_", "roll", "scalar_tensor", "scatter",
        "select_backward", "select_scatter", "slice_backward", "slice_scatter",
        "split_with_sizes_copy", "stack", "take", "tril", "triu", "unsafe_split", "where", "zero_",
        "zeros", "zeros_like",
    )
    if hasattr(_aten, name)
)  # fmt: skip

Formula = Callable[[tuple[Any, ...], Any], int]


def flops_of(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> int | None:
    """Return the count of one call of an operator; None if it is not known.

    Formulas that were registered with `torch.utils.flop_counter.register_flop_formula` are used.

    Args:
        func: the operator.
        args: its positional arguments; tensors need no values.
        kwargs: its keyword arguments.
        output: what it returned.
    """
    packet = getattr(func, "_overloadpacket", func)
    own, known = _FORMULAS.get(packet), flop_counter.flop_registry.get(packet)
    if own is not None:
        count = own(args, output)
    elif known is not None:
        count = int(known(*args, **kwargs, out_val=output))
    elif packet in _MOVES or only_moves(func):
        return 0
    else:
        tensors = [item for item in leaves_of((args, kwargs, output)) if isinstance(item, Tensor)]
        is_float = any(item.is_floating_point() or item.is_complex() for item in tensors)
        return None if is_float else 0
    is_complex = any(isinstance(item, Tensor) and item.is_complex() for item in leaves_of(args))
    return count * _COMPLEX if is_complex else count


def _convolution_backward(args: tuple[Any, ...], output: Any) -> int:
    """Each gradient takes as many multiply-adds as the convolution itself, grouped or not."""
    grad, x, weight, transposed = args[0], args[1], args[2], args[7]
    forward = _convolution(x, weight, grad, transposed=transposed)
    return forward * sum(item is not None for item in output[:2])


def _convolution(x: Tensor, weight: Tensor, y: Tensor, *, transposed: bool) -> int:
    """Each position of the output, or of the input when transposed, meets the whole kernel."""
    positions = (x if transposed else y).shape[2:]
    return 2 * x.shape[0] * prod(positions) * weight.numel()


def _matrices(args: tuple[Any, ...], output: Any) -> int:
    """One matrix product, each row of the output against each column of the last factor."""
    del output
    return 2 * args[0].numel() * args[1].shape[-1]


def _added_matrices(args: tuple[Any, ...], output: Any) -> int:
    return _matrices(args[1:], output)


def _vector(args: tuple[Any, ...], output: Any) -> int:
    del output
    return 2 * int(args[0].numel())


def _added_vector(args: tuple[Any, ...], output: Any) -> int:
    return _vector(args[1:], output)


def _linear(args: tuple[Any, ...], output: Any) -> int:
    return 2 * output.numel() * args[1].shape[-1]


def _recurrent_layer(args: tuple[Any, ...], output: Any) -> int:
    """Both matrices of a layer, from the input and from the last step, at each step."""
    del output
    x = args[0]
    return 2 * (x.numel() // max(x.shape[-1], 1)) * int(args[1].numel() + args[2].numel())


def _recurrent_layer_backward(args: tuple[Any, ...], output: Any) -> int:
    return 2 * _recurrent_layer(args, output)


def _recurrent_stack(args: tuple[Any, ...], output: Any) -> int:
    """All matrices of all layers and directions, at each step."""
    del output
    x, weights = args[0], args[1]
    matrices = sum(item.numel() for item in weights if item.dim() > 1)
    return 2 * (x.numel() // max(x.shape[-1], 1)) * int(matrices)


def _recurrent_stack_backward(args: tuple[Any, ...], output: Any) -> int:
    return 2 * _recurrent_stack(args, output)


def _attention(args: tuple[Any, ...], output: Any) -> int:
    del output
    return int(flop_counter.sdpa_flop_count(*(item.shape for item in args[:3])))


def _attention_backward(args: tuple[Any, ...], output: Any) -> int:
    """Scores once more, and the gradients of both products."""
    del output
    return int(flop_counter.sdpa_backward_flop_count(*(item.shape for item in args[:4])))


# Where torch's own counter has no formula, or a wrong one: it counts the gradient of a grouped
# convolution's weight once for each group.
_FORMULAS: dict[Any, Formula] = {
    getattr(_aten, name): formula
    for name, formula in {
        "convolution_backward": _convolution_backward,
        "linear": _linear,
        "mv": _vector,
        "addmv": _added_vector,
        "dot": _vector,
        "vdot": _vector,
        "addbmm": _added_matrices,
        "_addmm_activation": _added_matrices,
        "_int_mm": _matrices,
        "mkldnn_rnn_layer": _recurrent_layer,
        "mkldnn_rnn_layer_backward": _recurrent_layer_backward,
        "_cudnn_rnn": _recurrent_stack,
        "_cudnn_rnn_backward": _recurrent_stack_backward,
        "_scaled_dot_product_flash_attention_for_cpu": _attention,
        "_scaled_dot_product_flash_attention_for_cpu_backward": _attention_backward,
    }.items()
    if hasattr(_aten, name)
}
