"""The inputs on which an exported file is compared: several batch sizes, and edge values."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from layerwright.initialization.examples import ExampleInputs

BATCH_SIZES = (1, 2, 3, 8)
EDGE_BATCH = 3
LARGE, SMALL = 100.0, 1e-3  # times the example's values
SUBNORMAL = 1e-40  # a float32 with fewer digits, which some runtimes flush to zero


@dataclass(frozen=True)
class Trial:
    """One call.

    Attributes:
        name: what is special about its inputs.
        batch: number of samples; None where the inputs have no batch.
        inputs: the arguments.
    """

    name: str
    batch: int | None
    inputs: ExampleInputs


def batched(inputs: ExampleInputs) -> list[bool]:
    """Tell for each tensor whether its dim 0 is the batch: as long as that of the first one."""
    tensors = inputs.tensors()
    first = next((tensor.shape[0] for tensor in tensors if tensor.dim()), None)
    return [bool(tensor.dim()) and tensor.shape[0] == first for tensor in tensors]


def with_batch(inputs: ExampleInputs, size: int) -> ExampleInputs:
    """Return inputs of `size` samples: those of the example in turn, each time drawn anew.

    The first round are the example's own samples. In later ones floating-point values are shifted
    by a share of their spread, so that no two samples are alike.
    """
    flags = iter(batched(inputs))

    def resized(tensor: Tensor) -> Tensor:
        if not next(flags) or not tensor.shape[0]:
            return tensor.clone()
        rows = torch.arange(size) % tensor.shape[0]
        chosen = tensor[rows].clone()
        if tensor.is_floating_point() and tensor.numel() > 1:
            turns = (torch.arange(size) // tensor.shape[0]).to(chosen)
            step = 0.1 * float(tensor.double().std(correction=0))
            chosen += step * turns.view(-1, *[1] * (tensor.dim() - 1))
        return chosen

    return inputs.map(resized)


def trials(
    example: ExampleInputs,
    *,
    dynamic_batch: bool,
    dims: Mapping[int, Sequence[int]],
    ends: tuple[float, float] | None,
) -> list[Trial]:
    """Return the calls on which a file is compared with its network.

    Args:
        example: inputs that the network takes.
        dynamic_batch: try other numbers of samples.
        dims: further dims of any size, by the place of their tensor.
        ends: what the darkest and the brightest pixel become, where that is known.
    """
    flags = batched(example)
    own = next((t.shape[0] for t, flag in zip(example.tensors(), flags, strict=True) if flag), None)
    sizes = [*BATCH_SIZES, own] if dynamic_batch and own else [own]
    found = [
        Trial("example", size, example if size is None else with_batch(example, size))
        for size in dict.fromkeys(sizes)
    ]
    edge = own if own is None or not dynamic_batch else EDGE_BATCH
    base = example if edge is None else with_batch(example, edge)
    found += [Trial(name, edge, inputs) for name, inputs in _edges(base, ends)]
    found += [Trial(name, edge, inputs) for name, inputs in _resized_dims(base, dims)]
    return found


def _edges(
    base: ExampleInputs, ends: tuple[float, float] | None
) -> Iterator[tuple[str, ExampleInputs]]:
    if base.floats():
        yield "zeros", _floats(base, torch.zeros_like)
        if ends is not None:
            yield "black", _floats(base, lambda tensor: torch.full_like(tensor, ends[0]))
            yield "white", _floats(base, lambda tensor: torch.full_like(tensor, ends[1]))
        yield "largest value", _floats(base, lambda tensor: torch.full_like(tensor, _max(tensor)))
        yield "smallest value", _floats(base, lambda tensor: torch.full_like(tensor, _min(tensor)))
        yield f"{LARGE:g} times", _floats(base, lambda tensor: tensor * LARGE)
        yield f"{SMALL:g} times", _floats(base, lambda tensor: tensor * SMALL)
        yield "subnormal", _floats(base, lambda tensor: torch.full_like(tensor, SUBNORMAL))
    if any(not tensor.is_floating_point() for tensor in base.tensors()):
        yield "smallest numbers", _whole(base, _min)
        yield "largest numbers", _whole(base, _max)


def _resized_dims(
    base: ExampleInputs, dims: Mapping[int, Sequence[int]]
) -> Iterator[tuple[str, ExampleInputs]]:
    """Change the size of the further dims together: by one, twice, and down to one."""
    for change in (lambda size: size + 1, lambda size: 2 * size, lambda _: 1):
        if not dims:
            return
        places = iter(range(len(base.tensors())))
        sizes: dict[int, None] = {}

        def resized(
            tensor: Tensor,
            places: Iterator[int] = places,
            change: Callable[[int], int] = change,
            sizes: dict[int, None] = sizes,
        ) -> Tensor:
            for dim in dims.get(next(places), ()):
                size = change(tensor.shape[dim])
                sizes[size] = None
                rows = torch.arange(size) % max(tensor.shape[dim], 1)
                tensor = tensor.index_select(dim, rows)
            return tensor.clone()

        inputs = base.map(resized)
        yield f"size {', '.join(map(str, sizes))}", inputs


def _floats(inputs: ExampleInputs, change: Callable[[Tensor], Tensor]) -> ExampleInputs:
    return inputs.map(lambda t: change(t) if t.is_floating_point() and t.numel() else t.clone())


def _whole(inputs: ExampleInputs, value: Callable[[Tensor], float]) -> ExampleInputs:
    return inputs.map(
        lambda t: (
            torch.full_like(t, int(value(t)))
            if not (t.is_floating_point() or t.is_complex()) and t.numel()
            else t.clone()
        )
    )


def _max(tensor: Tensor) -> float:
    return float(tensor.max())


def _min(tensor: Tensor) -> float:
    return float(tensor.min())
