"""Activations: functions of single values, recognised by what they do, and where they are flat."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

FUNCTIONS = frozenset(
    {
        "celu", "elu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid",
        "mish", "relu", "relu6", "selu", "sigmoid", "silu", "softplus", "softsign", "tanh",
    }
)  # fmt: skip
_FLAT = 0.01  # of the steepest slope between -3 and 3
_NUM_PROBED = 64


class FunctionWatch(TorchFunctionMode):
    """Tells of activations that are called as functions, such as `torch.tanh(x)`.

    Args:
        told: gets the function's name, the input as it was before, the output, and what repeats
            the call.
    """

    def __init__(
        self, told: Callable[[str, Tensor, Tensor, Callable[[Tensor], Tensor]], None]
    ) -> None:
        super().__init__()
        self.told = told

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the function, and tell of it if it is an activation."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").removesuffix("_")
        if name not in FUNCTIONS or not args or not isinstance(args[0], Tensor):
            return func(*args, **kwargs)
        before, options = args[0].detach().clone(), {**kwargs}
        options.pop("inplace", None)
        rest = args[1:]
        output = func(*args, **kwargs)

        def again(x: Tensor) -> Tensor:
            return func(x.clone(), *rest, **options)

        self.told(name, before, output, again)
        return output


def activation_of(module: nn.Module, x: Any, y: Any) -> Callable[[Tensor], Tensor] | None:
    """Return what repeats a module's call, if it works on each value alone and changes it.

    Judged by behaviour: the module holds nothing, keeps the shape, and gives single values what
    it gave them inside the whole.
    """
    if any(True for _ in module.parameters()) or any(True for _ in module.buffers()):
        return None
    if any(True for _ in module.children()):
        return None
    if not isinstance(x, Tensor) or not isinstance(y, Tensor) or x.shape != y.shape:
        return None
    if not (x.is_floating_point() and y.is_floating_point() and x.numel()) or torch.equal(x, y):
        return None

    def again(values: Tensor) -> Tensor:
        return module.forward(values.clone())

    some = torch.linspace(0, x.numel() - 1, min(x.numel(), _NUM_PROBED)).long().to(x.device)
    try:
        alone = again(x.detach().flatten()[some].flip(0)).flip(0)
    except Exception:  # noqa: BLE001 - any module may refuse another shape: it is no activation
        return None
    same = alone.shape == some.shape and torch.allclose(
        alone, y.detach().flatten()[some], rtol=1e-4, atol=1e-6
    )
    return again if same else None


def flatness(again: Callable[[Tensor], Tensor], x: Tensor) -> tuple[float, float] | None:
    """Return the share of dead units, and of saturated values; None if it has no slope.

    A unit is a place in a sample, the first dim being the batch. It is dead if it is zero and
    flat for each sample. A value is saturated where it is not zero, and the slope is below 1 % of
    the steepest one between -3 and 3.
    """
    if not x.numel():
        return None
    try:
        grid = torch.linspace(-3, 3, 61, device=x.device, dtype=x.dtype)
        steepest = float(_slope(again, grid)[1].abs().max())
        y, slope = _slope(again, x)
    except Exception:  # noqa: BLE001 - one that cannot be differentiated is not judged
        return None
    if steepest == 0 or not bool(slope.isfinite().all()):
        return None
    flat = slope.abs() < _FLAT * steepest
    off = flat & (y == 0)
    dead = off.all(0) if off.dim() > 1 else off
    return float(dead.float().mean()), float((flat & (y != 0)).float().mean())


def _slope(again: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        y = again(leaf)
        (slope,) = torch.autograd.grad(y.sum(), leaf)
    return y.detach(), slope
