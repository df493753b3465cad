"""What reversible blocks save and cost: memory, time and error of a training step, by depth.

    python benchmarks/reversible_memory.py [--depths 4 16 64] [--repeats 5] [--device cpu]
        [--json FILE]

Baseline: the same blocks with the same weights as plain operators, in the same process. Against
it `ReversibleSequence`, and the plain blocks under `torch.utils.checkpoint`, each block for itself.
F and G are GroupNorm, ReLU and a 3x3 convolution over half of the channels.

"kept" is the memory that is held between forward and backward, beside parameters and input: the
activations. "peak" is the most during the step, which the gradients of the parameters ("gradients",
the same for all) are part of towards its end. On a CPU the storages of all tensors that torch's
operators return are followed; what an operator uses inside is not seen. On CUDA the allocator is
asked. Time is the median over the repeats, and its ratio the median of the ratios within a repeat;
the three take turns. Error is the distance of the parameters' gradients, as one vector, from those
of the plain blocks in float64, over their length: the baseline's own shows what the type costs.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint

from layerwright.layers.activation.relu import ReLU
from layerwright.layers.convolution.conv2d import Conv2d
from layerwright.layers.normalization.group_norm import GroupNorm
from layerwright.layers.residual.reversible_block import ReversibleBlock
from layerwright.layers.residual.reversible_sequence import ReversibleSequence

MIB = 2**20


@dataclass(frozen=True)
class Row:
    """What was measured for one way at one depth."""

    depth: int
    way: str
    kept_mib: float
    peak_mib: float
    gradients_mib: float
    step_ms: float
    time_ratio: float
    time_quartiles: tuple[float, float]
    error: float


class PlainBlock(nn.Module):
    """The block's formula, differentiated by torch."""

    def __init__(self, block: ReversibleBlock) -> None:
        super().__init__()
        self.f, self.g = block.f, block.g

    def forward(self, x: Tensor) -> Tensor:
        x1, x2 = x.chunk(2, 1)
        y1 = x1 + self.f(x2)
        return torch.cat([y1, x2 + self.g(y1)], 1)


class Checkpointed(nn.Sequential):
    """Blocks of which each keeps its input only."""

    def forward(self, x: Tensor) -> Tensor:
        for block in self:
            x = checkpoint(block, x, use_reentrant=False)
        return x


class LiveBytes(TorchDispatchMode):
    """Follow the storages that operators return, and the most that were alive at once."""

    def __init__(self, ignored: list[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's is not annotated
        self.alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self.ignored = {tensor.untyped_storage()._cdata for tensor in ignored}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator and note what it returns."""
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self.ignored:
                    self.alive[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self.peak = max(self.peak, self.now())
        return result

    def now(self) -> int:
        """Bytes of the storages that are alive."""
        self.alive = {key: item for key, item in self.alive.items() if not item[0].expired()}
        return sum(size for _, size in self.alive.values())


def memory(network: nn.Module, x: Tensor, grad: Tensor) -> tuple[int, int]:
    """Return the bytes kept between forward and backward, and the most during the step."""
    network.zero_grad()
    if x.is_cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        y = network(x)
        kept = torch.cuda.memory_allocated() - before
        y.backward(grad)
        return kept, torch.cuda.max_memory_allocated() - before
    with LiveBytes([x, grad, *network.parameters()]) as live:
        y = network(x)
        kept = live.now()
        y.backward(grad)
    return kept, live.peak


def seconds(network: nn.Module, x: Tensor, grad: Tensor) -> float:
    """Time one step."""
    network.zero_grad()
    if x.is_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    network(x).backward(grad)
    if x.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def gradients(network: nn.Module, x: Tensor, grad: Tensor) -> Tensor:
    """The gradients of all parameters after one step, as one vector in float64."""
    network.zero_grad()
    network(x).backward(grad)
    return torch.cat(
        [p.grad.double().flatten() for p in network.parameters() if p.grad is not None]
    )


def ways(depth: int, channels: int, device: str) -> dict[str, nn.Module]:
    """The three networks, with parameters of their own and equal values."""

    def branch() -> nn.Module:
        half = channels // 2
        return nn.Sequential(GroupNorm(4, half), ReLU(), Conv2d(half, half, 3, padding=1))

    blocks = [ReversibleBlock(branch(), branch()) for _ in range(depth)]

    def plain() -> list[PlainBlock]:
        return [PlainBlock(block) for block in copy.deepcopy(blocks)]

    networks: dict[str, nn.Module] = {
        "plain": nn.Sequential(*plain()),
        "checkpoint": Checkpointed(*plain()),
        "reversible": ReversibleSequence(*blocks),
    }
    return {way: network.to(device) for way, network in networks.items()}


def measure(depth: int, shape: tuple[int, ...], repeats: int, device: str) -> list[Row]:
    """Measure the three ways at one depth."""
    torch.manual_seed(0)
    networks = ways(depth, shape[1], device)
    x = torch.randn(shape, device=device, requires_grad=True)
    grad = torch.randn(shape, device=device)
    exact = copy.deepcopy(networks["plain"]).double()
    wanted = gradients(exact, x.detach().double().requires_grad_(), grad.double())
    errors = {
        way: ((gradients(network, x, grad) - wanted).norm() / wanted.norm()).item()
        for way, network in networks.items()
    }
    used = {}
    for way, network in networks.items():
        x.grad = None
        used[way] = memory(network, x, grad)
        network.zero_grad()
    times: dict[str, list[float]] = {way: [] for way in networks}
    for repeat in range(repeats + 1):
        for way, network in networks.items():
            elapsed = seconds(network, x, grad)
            if repeat:  # the first warms up
                times[way].append(elapsed)
    size = sum(p.numel() * p.element_size() for p in networks["plain"].parameters())
    rows = []
    for way in networks:
        ratios = [a / b for a, b in zip(times[way], times["plain"], strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4)
        kept, peak = used[way]
        rows.append(
            Row(
                depth,
                way,
                kept / MIB,
                peak / MIB,
                size / MIB,
                statistics.median(times[way]) * 1e3,
                statistics.median(ratios),
                (low, high),
                errors[way],
            )
        )
    return rows


def table(rows: list[Row]) -> Table:
    """The rows for the terminal, memory with its ratio to the plain blocks."""
    result = Table(title="A training step through reversible blocks")
    columns: dict[str, Callable[[Row, Row], str]] = {
        "depth": lambda row, _: str(row.depth),
        "way": lambda row, _: row.way,
        "kept MiB": lambda row, _: f"{row.kept_mib:.1f}",
        "of plain": lambda row, plain: f"{row.kept_mib / plain.kept_mib:.2f}",
        "peak MiB": lambda row, _: f"{row.peak_mib:.1f}",
        "of plain ": lambda row, plain: f"{row.peak_mib / plain.peak_mib:.2f}",
        "gradients MiB": lambda row, _: f"{row.gradients_mib:.1f}",
        "ms": lambda row, _: f"{row.step_ms:.0f}",
        "time ratio": lambda row, _: f"{row.time_ratio:.2f}",
        "quartiles": lambda row, _: "{:.2f}-{:.2f}".format(*row.time_quartiles),
        "error": lambda row, _: f"{row.error:.1e}",
    }
    for name in columns:
        result.add_column(name, justify="left" if name == "way" else "right")
    for row in rows:
        plain = next(item for item in rows if item.depth == row.depth and item.way == "plain")
        result.add_row(*(show(row, plain) for show in columns.values()))
    return result


def main() -> None:
    """Measure, print the table, and write JSON where it is wanted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--depths", type=int, nargs="+", default=[4, 16, 64])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--shape", type=int, nargs=4, default=[16, 32, 16, 16])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.repeats < 2:
        parser.error("--repeats: quartiles need at least 2")
    torch.set_num_threads(1)
    shape = tuple(options.shape)
    rows = [
        row
        for depth in options.depths
        for row in measure(depth, shape, options.repeats, options.device)
    ]
    Console(width=None if sys.stdout.isatty() else 140).print(table(rows))
    if options.json:
        report = {
            "torch": torch.__version__,
            "device": options.device,
            "shape": shape,
            "rows": [asdict(row) for row in rows],
        }
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
