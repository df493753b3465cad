"""The ground that layers with a hand-written backward stand on."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, is_grad_enabled
from torch.autograd import Function, forward_ad
from torch.compiler import is_exporting

_transform_active = torch._C._are_functorch_transforms_active  # noqa: SLF001 - no public spelling


class HandWrittenFunction(Function):
    """An autograd Function in `setup_context` style without its fixed cost.

    `torch.func` transforms need `setup_context`, but `Function.apply` then binds the arguments to
    forward's signature at each call, which costs more than a small layer's own work. The binding
    only fills in default values; a function without any, called with all its arguments, can go
    straight to the C++ entry. Subclasses therefore give forward no default values: one that does
    is refused when its class is created.

    Under a `torch.func` transform the ordinary path is taken, and `torch.compile` traces forward
    and backward themselves. Subclasses have no `jvp`, because `torch.compile` refuses a Function
    that has one and nested forward mode gets it wrong: in forward mode a layer uses the plain
    operator. What they save are tensors, never None, which the generated vmap rule cannot take.
    """

    generate_vmap_rule = True
    _record: ClassVar[Callable[..., Any]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse default values, which would be lost without the binding."""
        super().__init_subclass__(**kwargs)
        defaults = cls.forward.__defaults__ or cls.forward.__kwdefaults__
        if defaults:
            raise TypeError(
                f"{cls.__name__}.forward expected no default values, received {defaults}. "
                f"Fix: pass every argument to apply."
            )
        cls._record = super(Function, cls).apply  # type: ignore[misc]  # the C++ entry

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run forward on `args` and record backward."""
        if _transform_active():
            return super().apply(*args)  # type: ignore[no-untyped-call]
        return cls._record(*args)


def recording_backward() -> bool:
    """Say whether operators are recorded for backward, and for nothing else.

    Then a `HandWrittenFunction` is entered for inputs that require a gradient. In forward mode
    the plain operator is used, which brings its own derivative, and in `torch.export` too, whose
    programs cannot hold a Function.
    """
    return is_grad_enabled() and forward_ad._current_level < 0 and not is_exporting()  # noqa: SLF001 - no public spelling


def cast_for_autocast(
    x: Tensor, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Cast as autocast does for products and convolutions, where autograd can see it.

    Autocast acts below a Function: its casts would be lost to backward, which would meet the
    saved float32 next to a bfloat16 gradient. Cast before, a gradient flows back through the cast
    and arrives in the parameter's own dtype. Double precision stays as it is.

    Args:
        x: the input; without autocast on its device all three come back unchanged.
        weight: the layer's weight.
        bias: the layer's bias, or None.
    """
    device_type = x.device.type
    available = torch.amp.is_autocast_available(device_type)
    if not available or not torch.is_autocast_enabled(device_type):
        return x, weight, bias
    dtype = torch.get_autocast_dtype(device_type)
    return _cast(x, dtype), _cast(weight, dtype), None if bias is None else _cast(bias, dtype)


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    exempt = not tensor.is_floating_point() or tensor.dtype == torch.float64
    return tensor if exempt else tensor.to(dtype)
