r"""How far rounding alone may move a network's outputs.

The network runs in float64, and each operator's result is moved at random by as much as a float32
evaluation of that operator may be off, in any order of its sums:

$$ \tilde y = y + u \, c \, \sqrt{K} \; f(|a|, |b|) \; \xi, \quad \xi \sim N(0, 1) $$

with u the unit roundoff of the network's dtype. For products of matrices and convolutions
`f(|a|, |b|)` is the operator on the absolute values, and K an eighth of the number of terms, since
processors keep eight partial sums or more: the probabilistic bound for sums (Higham and Mary,
2019). For reductions the same, with the number of values; for the sum of two tensors |a| + |b|; for
every other operator |y|, c = 4. The moves go on through the network, so that a layer which
amplifies errors is allowed more, and one that damps them less.

Reference:
    Higham and Mary (2019), "A new approach to probabilistic rounding error analysis",
    https://doi.org/10.1137/18M1226312
    Parker (1997), "Monte Carlo arithmetic", UCLA CSD-970002
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from layerwright.exporting.torch_compat import TorchDispatchMode, operator_name

PARTIAL_SUMS = 8  # that a processor adds up at once
ROUNDINGS = 4.0  # of an operator that is no sum: exp, tanh and division are a few units off

_PRODUCTS = {"aten::mm": 0, "aten::bmm": 0, "aten::addmm": 1, "aten::baddbmm": 1, "aten::addmv": 1,
             "aten::mv": 0, "aten::dot": 0, "aten::linear": 0, "aten::_linear": 0}  # fmt: skip
_REDUCTIONS = {"aten::sum", "aten::mean", "aten::cumsum", "aten::avg_pool1d", "aten::avg_pool2d",
               "aten::avg_pool3d", "aten::_adaptive_avg_pool2d", "aten::_adaptive_avg_pool3d",
               "aten::upsample_bilinear2d", "aten::_upsample_bilinear2d_aa"}  # fmt: skip
_SUMS = {"aten::add", "aten::sub", "aten::rsub", "aten::add_", "aten::sub_", "aten::lerp",
         "aten::addcmul"}  # fmt: skip
_BATCH_NORMS = {"aten::native_batch_norm", "aten::_native_batch_norm_legit_no_training",
                "aten::cudnn_batch_norm", "aten::_native_batch_norm_legit"}  # fmt: skip


class RoundingNoise(TorchDispatchMode):
    """Moves each operator's floating-point results by its rounding error, while it is entered.

    Args:
        unit: the unit roundoff of the dtype whose arithmetic is imitated, such as 2^-24.
        seed: of the random moves.
    """

    def __init__(self, unit: float, seed: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.unit = unit
        self.generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator, and move what it computed."""
        del types
        kwargs = kwargs or {}
        bounds = _bounds(operator_name(func), func, args, kwargs)
        output = func(*args, **kwargs)
        mutable = getattr(getattr(func, "_schema", None), "is_mutable", False)
        owners = set() if mutable else {_storage(value) for value in args}
        results = output if isinstance(output, tuple | list) else (output,)
        for place, tensor in enumerate(results):
            if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
                continue
            if not tensor.numel() or _storage(tensor) in owners:  # a view: nothing was computed
                continue
            bound = bounds if place == 0 else None
            if bound is None:
                bound = ROUNDINGS * tensor.abs()
            if bound.shape == tensor.shape:
                noise = torch.randn(tensor.shape, generator=self.generator, dtype=tensor.dtype)
                moved = noise * bound * self.unit
                tensor.add_(moved.where(moved.isfinite(), 0.0))
        return output


def _bounds(name: str, func: Callable[..., Any], args: Any, kwargs: Any) -> Tensor | None:
    """Return what an operator's first result may be off by, in units of roundoff, or None."""
    if name in _SUMS:
        first, second = args[:2]
        return _absolute(first) + _absolute(second) if isinstance(second, Tensor) else None
    if name in _BATCH_NORMS and len(args) > 4 and args[3] is not None:
        return _batch_norm_bound(args)
    if name in _PRODUCTS:
        terms = args[_PRODUCTS[name]].shape[-1]
    elif name == "aten::convolution":
        terms = math.prod(args[1].shape[1:])
        if args[6]:  # transposed: the input's channels are summed
            terms = args[1].shape[0] * math.prod(args[1].shape[2:])
    elif name in _REDUCTIONS:
        result = func(*map(_absolute, args), **kwargs)
        terms = max(args[0].numel() // max(result.numel(), 1), 2)
        if name == "aten::cumsum":
            terms = max(args[0].shape, default=1)
        return result * _growth(terms) if result.is_floating_point() else None
    else:
        return None
    result = func(*map(_absolute, args), **{key: _absolute(v) for key, v in kwargs.items()})
    return result * _growth(terms)


def _growth(terms: int) -> float:
    return math.sqrt(1 + terms / PARTIAL_SUMS)


def _batch_norm_bound(args: Any) -> Tensor:
    """`|x s| + |mean s| + |bias|`: the scale s may be folded into the layer before."""
    values, weight, bias, mean, variance = args[:5]
    eps = float(args[-1])
    scale = (variance + eps).rsqrt() * (1.0 if weight is None else weight)
    shape = (1, -1, *[1] * (values.dim() - 2))
    shift = (mean * scale).abs() + (0.0 if bias is None else bias.abs())
    return ROUNDINGS * (values.abs() * scale.abs().view(shape) + shift.view(shape))


def _storage(value: Any) -> int | None:
    return value.untyped_storage().data_ptr() or None if isinstance(value, Tensor) else None


def _absolute(value: Any) -> Any:
    return value.abs() if isinstance(value, Tensor) and value.is_floating_point() else value
