"""Tell when the calls of a network's modules begin and end."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from layerwright.contract.trees import Inputs


@contextmanager
def watched_calls(
    network: nn.Module,
    began: Callable[[str, nn.Module, Inputs], None],
    ended: Callable[[nn.Module, Any], None],
) -> Iterator[None]:
    """Tell when a call of a module begins and when it returns, inside the block.

    A module that refuses hooks, as a scripted one may, is passed over. Transformer layers call
    their parts, which torch's fused operator would pass over.

    Args:
        network: is watched with all its parts.
        began: gets the path of a module, the module and its arguments.
        ended: gets a module and what it returned; not called for what raised.
    """
    handles = []

    def watch(path: str, module: nn.Module) -> None:
        def before(_: nn.Module, args: Any, kwargs: Any) -> None:
            began(path, module, Inputs(tuple(args), dict(kwargs)))

        def after(_: nn.Module, args: Any, output: Any) -> None:
            del args
            ended(module, output)

        handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        handles.append(module.register_forward_hook(after))

    for path, module in network.named_modules():
        with contextlib.suppress(RuntimeError, AttributeError, TypeError):
            watch(path, module)
    try:
        with without_fast_paths():
            yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def without_fast_paths() -> Iterator[None]:
    """Let Transformer layers call their parts, which one fused operator would pass over."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
