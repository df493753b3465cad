"""How long one call takes: eager, compiled, and from a file."""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from layerwright.exporting.torch_compat import quiet
from layerwright.initialization.examples import ExampleInputs

CALLS = 200
WARM_UP = 20
_ROUND = 10  # calls of one kind at a stretch: what slows the machine slows all kinds


@dataclass(frozen=True)
class Latency:
    """How long calls took.

    Attributes:
        name: what was called.
        median_ms: of its calls, in milliseconds; None where it could not be measured.
        p95_ms: 95 of 100 calls took no longer.
        problem: why it was not measured.
    """

    name: str
    median_ms: float | None
    p95_ms: float | None
    problem: str = ""


def latencies(calls: Mapping[str, Callable[[], Any]]) -> list[Latency]:
    """Time each call, in turns."""
    problems: dict[str, str] = {}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for name, call in calls.items():
        try:
            with quiet(), torch.no_grad():
                for _ in range(WARM_UP):
                    call()
        except Exception as error:  # noqa: BLE001 - a compiler raises anything
            problems[name] = f"not measured: {type(error).__name__}: {str(error)[:100]}"
    with torch.no_grad():
        for _ in range(CALLS // _ROUND):
            for name, call in calls.items():
                if name in problems:
                    continue
                for _ in range(_ROUND):
                    start = time.perf_counter()
                    call()
                    times[name].append(1e3 * (time.perf_counter() - start))
    return [
        Latency(name, None, None, problems[name])
        if name in problems
        else Latency(name, statistics.median(found), sorted(found)[math.ceil(0.95 * CALLS) - 1])
        for name, found in times.items()
    ]


def torch_calls(network: nn.Module, inputs: ExampleInputs) -> dict[str, Callable[[], Any]]:
    """Return the calls of a network in torch: as it is, and compiled."""
    with quiet():  # the compiler's own imports warn
        compiled = torch.compile(network)
    kwargs = dict(inputs.kwargs)
    return {
        "eager": lambda: network(*inputs.args, **kwargs),
        "torch.compile": lambda: compiled(*inputs.args, **kwargs),
    }
