"""What torch's compiler believes of an operator, compared with what the operator does."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only


def misdescribed_operator(call: Callable[[], object]) -> str:
    """Run a call; return the first operator of torch's own whose fake kernel is wrong, or "".

    A compiler computes shapes and dtypes with fake kernels. Where torch's own is wrong, so is what
    it compiles, and no layer can help it.
    """
    with _Compared() as compared:
        call()
    return compared.wrong


class _Compared(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.wrong = ""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        # Before the call: an operator in place changes what it is given.
        believed = None if self.wrong else _believed(func, args, kwargs)
        out = func(*args, **kwargs)
        if believed is not None and believed != [_form(leaf) for leaf in tree_leaves(out)]:
            self.wrong = str(func.name())
        return out


def _believed(func: Any, args: Any, kwargs: Any) -> list[Any] | None:
    """Return the forms of the outputs by the fake kernel; None if it cannot tell."""
    if func.namespace != "aten":  # a custom operator's fake kernel is its author's
        return None
    try:
        with FakeTensorMode() as mode:
            fake_args, fake_kwargs = tree_map_only(Tensor, mode.from_tensor, (args, kwargs))
            return [_form(leaf) for leaf in tree_leaves(func(*fake_args, **fake_kwargs))]
    except Exception:  # noqa: BLE001 - no fake kernel, or one that needs values
        return None


def _form(leaf: Any) -> tuple[torch.Size, torch.dtype] | None:
    return (leaf.shape, leaf.dtype) if isinstance(leaf, Tensor) else None
