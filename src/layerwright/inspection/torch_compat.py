"""Running networks without values, and watching operators: torch keeps both in private modules."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeCopyMode,
    FakeTensor,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from layerwright.contract.copying import fresh_copy
from layerwright.contract.isolation import hushed_logs


class WithoutValues:
    """A world of tensors that have shapes, dtypes and devices, and neither values nor memory."""

    def __init__(self) -> None:
        self._mode = FakeTensorMode()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Inside the block every new tensor is without values."""
        with hushed_logs(), self._mode:  # torch logs the operators that it cannot simulate
            yield

    def copy(self, module: nn.Module) -> nn.Module:
        """Return a copy of a module whose parameters and buffers take no memory."""
        with FakeCopyMode(self._mode):
            return fresh_copy(module)

    def tensor(self, tensor: Tensor) -> Tensor:
        """Return a tensor of the same form without values."""
        return self._mode.from_tensor(tensor)


def asks_for_values(error: BaseException) -> bool:
    """Tell whether a pass without values ended because Python asked a tensor for its values."""
    return isinstance(error, DataDependentOutputException | DynamicOutputShapeException)


def is_without_values(tensor: Tensor) -> bool:
    """Tell whether a tensor has a form only."""
    return isinstance(tensor, FakeTensor) or tensor.is_meta


class OperatorWatch(TorchDispatchMode):
    """Tells of each operator of torch that runs, below autograd, backward passes included.

    Args:
        told: gets the operator, its arguments, and what runs it; returns its output.
    """

    def __init__(
        self, told: Callable[[Any, tuple[Any, ...], dict[str, Any], Callable[[], Any]], Any]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._told = told

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Hand the operator over."""
        del types
        kwargs = kwargs or {}
        if func.namespace == "prim":  # questions about a tensor's form, which only fakes ask
            return func(*args, **kwargs)
        return self._told(func, args, kwargs, lambda: func(*args, **kwargs))


def operator_name(func: Any) -> str:
    """Return a name like "aten.addmm", without the overload."""
    return str(func).rpartition(".")[0] if isinstance(func, torch._ops.OpOverload) else str(func)  # noqa: SLF001


def only_moves(func: Any) -> bool:
    """Tell whether an operator returns a view of what it is given, by its own declaration."""
    schema = getattr(func, "_schema", None)
    if schema is None:
        return False
    returned = [item.alias_info for item in schema.returns]
    return bool(returned) and all(info is not None and not info.is_write for info in returned)


def memory_of(tensor: Tensor) -> tuple[int, Any] | None:
    """Return a tensor's memory and what tells it from others; None if it has none of its own."""
    try:
        storage = tensor.untyped_storage()
    except (NotImplementedError, RuntimeError, ValueError):  # sparse, or not materialised
        return None
    return storage._cdata, storage  # noqa: SLF001


def current_backward_node() -> Any:
    """Return the step of autograd that is running now; None outside a backward pass."""
    return torch._C._current_autograd_node()  # noqa: SLF001


def leaves_of(tree: Any) -> list[Any]:
    """Return the leaves of tuples, lists and dicts, nested as operators return them."""
    return tree_leaves(tree)
