"""How long each operator of torch takes in a network's forward pass, measured."""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from layerwright.contract.trees import Inputs
from layerwright.inspection.torch_compat import OperatorWatch, operator_name

_NUM_PASSES = 3
_LONG_S = 0.5  # a pass that takes longer is measured once


def operator_times(network: nn.Module, inputs: Inputs) -> dict[str, float]:
    """Return the seconds that each operator took, by name, over a few passes.

    A first pass, which is not counted, warms up. Without autograd; on an accelerator each operator
    is waited for.

    Args:
        network: is run in the mode that it is in.
        inputs: what it is called with; layers may change them.
    """
    seconds: dict[str, float] = defaultdict(float)
    waits = torch.accelerator.is_available()

    def told(
        func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], run: Callable[[], Any]
    ) -> Any:
        del args, kwargs
        started = time.perf_counter()
        output = run()
        if waits:
            torch.accelerator.synchronize()
        seconds[operator_name(func)] += time.perf_counter() - started
        return output

    num_passes, done = _NUM_PASSES, 0
    with torch.no_grad():
        began = time.perf_counter()
        network(*inputs.args, **inputs.kwargs)
        if time.perf_counter() - began > _LONG_S:
            num_passes = 1
        while done < num_passes:
            with OperatorWatch(told):
                network(*inputs.args, **inputs.kwargs)
            done += 1
    return dict(seconds)
