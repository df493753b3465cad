"""The ground that layers with a hand-written backward stand on."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd import Function

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
        cls._record = super(Function, cls).apply  # the C++ entry, looked up once

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run forward on `args` and record backward."""
        if _transform_active():
            return super().apply(*args)
        return cls._record(*args)


def cast_for_autocast(*tensors: Tensor | None) -> tuple[Tensor | None, ...]:
    """Cast as autocast does for matrix products and convolutions, where autograd can see it.

    Autocast acts below a Function: its casts would be lost to backward, which would meet the
    saved float32 next to a bfloat16 gradient. Cast before, a gradient flows back through the cast
    and arrives in the parameter's own dtype. Double precision and integers stay as they are.

    Args:
        tensors: the arguments, on one device; without autocast there they come back unchanged.
    """
    device_type = next(tensor.device.type for tensor in tensors if tensor is not None)
    available = torch.amp.is_autocast_available(device_type)
    if not available or not torch.is_autocast_enabled(device_type):
        return tensors
    dtype = torch.get_autocast_dtype(device_type)
    return tuple(
        tensor.to(dtype)
        if tensor is not None and tensor.is_floating_point() and tensor.dtype != torch.float64
        else tensor
        for tensor in tensors
    )
