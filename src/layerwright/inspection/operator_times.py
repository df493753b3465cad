"""How long each operator of torch takes in a network's forward pass, measured."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from layerwright.contract.trees import Inputs
from layerwright.inspection.flops import flops_of
from layerwright.inspection.module_calls import without_fast_paths
from layerwright.inspection.torch_compat import OperatorWatch, operator_name

_NUM_PASSES = 3
_LONG_S = 0.5  # a pass that takes longer is measured once


@dataclass(frozen=True)
class OperatorTimes:
    """Seconds of a few passes.

    Attributes:
        uncounted_s: of the operators whose floating-point operations are not known, by name.
        total_s: of all operators; 0 if nothing was measured.
    """

    uncounted_s: dict[str, float]
    total_s: float


def operator_times(network: nn.Module, inputs: Inputs) -> OperatorTimes:
    """Return how long operators took over a few passes.

    A first pass, which is not counted, warms up. Without autograd; on an accelerator each operator
    is waited for.

    Args:
        network: is run in the mode that it is in.
        inputs: what it is called with; layers may change them.
    """
    seconds: dict[str, float] = defaultdict(float)
    total_s = 0.0
    waits = torch.accelerator.is_available()

    def told(
        func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], run: Callable[[], Any]
    ) -> Any:
        nonlocal total_s
        started = time.perf_counter()
        output = run()
        if waits:
            torch.accelerator.synchronize()
        took = time.perf_counter() - started
        total_s += took
        if flops_of(func, args, kwargs, output) is None:
            seconds[operator_name(func)] += took
        return output

    num_passes, done = _NUM_PASSES, 0
    with torch.no_grad(), without_fast_paths():
        began = time.perf_counter()
        network(*inputs.args, **inputs.kwargs)
        if time.perf_counter() - began > _LONG_S:
            num_passes = 1
        while done < num_passes:
            with OperatorWatch(told):
                network(*inputs.args, **inputs.kwargs)
            done += 1
    return OperatorTimes(dict(seconds), total_s)
