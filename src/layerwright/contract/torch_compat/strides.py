"""Operators of torch's own that read memory without looking at strides."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from layerwright.contract.comparing import difference

# Operators that are told strides by whoever calls them, or whose memory holds nothing yet.
_NO_VALUES = ("as_strided", "_reshape_alias", "empty")


def stride_blind_operator(call: Callable[[], object], *, tolerance: float) -> str:
    """Run a call; return the first operator of torch whose answer depends on strides alone, or "".

    It is asked again with the same values in contiguous memory, and answers otherwise.
    """
    with _AskedTwice(tolerance) as asked:
        call()
    return asked.blind


class _AskedTwice(TorchDispatchMode):
    def __init__(self, tolerance: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tolerance = tolerance
        self.blind = ""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if not self.blind and _may_be_asked(func) and _strided(args, kwargs):
            laid_out, named = tree_map_only(Tensor, Tensor.contiguous, (args, kwargs))
            if difference(out, func(*laid_out, **named), tolerance=self.tolerance):
                self.blind = str(func.name())
        return out


def _may_be_asked(func: Any) -> bool:
    """Tell whether an operator of torch computes something from values alone."""
    return (
        func.namespace == "aten"
        and not func._schema.is_mutable  # noqa: SLF001 - there is no public way to ask
        and torch.Tag.nondeterministic_seeded not in func.tags
        and not any(word in func.name() for word in _NO_VALUES)
    )


def _strided(args: Any, kwargs: Any) -> bool:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    return any(not item.is_contiguous() for item in tensors if item.layout == torch.strided)
