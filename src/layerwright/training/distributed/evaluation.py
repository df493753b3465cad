"""One pass over a split by several processes, in which each sample is computed once."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from layerwright.data.batches import Batches
from layerwright.data.share import Share
from layerwright.errors import ShapeError
from layerwright.training import random_state
from layerwright.training.evaluation import evaluation_mode
from layerwright.training.losses import Loss
from layerwright.training.metrics import Metric


class _Processes(Protocol):
    rank: int
    share: Share | None

    def agreed(self, value: Callable[[], Any]) -> Any: ...
    def gathered(self, value: Any) -> list[Any]: ...
    def settle(self, network: nn.Module) -> None: ...


def evaluate_together(
    processes: _Processes,
    network: nn.Module,
    batches: Batches,
    loss: Loss,
    metrics: Sequence[Metric],
    autocast: Callable[[], AbstractContextManager[Any]] | None = None,
) -> dict[str, Any]:
    """Return the mean loss and every metric over all samples, the same in each process.

    Each process computes its rows of each batch. Rank 0 puts the outputs together and counts them
    as one process does: batch by batch, in order, with the same batches. So any metric is exact, a
    user's own too; the outputs travel for it.

    Raises:
        ShapeError: an output cannot be put together from those of parts of the batch.
    """
    context = autocast or nullcontext
    share, size = processes.share, batches.batch_size
    if share is None or size is None or batches.num_samples is None:
        raise TypeError("batches that are shared out have a size")
    loss_sum, num_samples = 0.0, 0
    for metric in metrics:
        metric.reset()
    processes.settle(network)
    device = next((tensor.device for tensor in network.parameters()), torch.device("cpu"))
    with evaluation_mode(network), torch.no_grad(), random_state.preserved():
        for number, (inputs, target) in enumerate(batches.epoch(0)):
            with context():
                output = network(*inputs)
            count = min(size, batches.num_samples - number * size)
            own = share.num_own(count, size)
            leaves, structure = tree_flatten(output)
            parts = processes.gathered((_cut(leaves, len(target), own), target[:own].cpu()))
            if not parts:
                continue
            whole = tree_unflatten(_put_together([part[0] for part in parts], device), structure)
            targets = torch.cat([part[1] for part in parts]).to(device)
            with context():
                value = loss(whole, targets)
            loss_sum += value.item() * len(targets)
            num_samples += len(targets)
            for metric in metrics:
                metric.update(whole, targets)

    def values() -> dict[str, Any]:
        found = {metric.name: metric.compute() for metric in metrics}
        return {"loss": loss_sum / max(num_samples, 1), **found}

    result: dict[str, Any] = processes.agreed(values)
    return result


def _cut(leaves: Sequence[Any], num_rows: int, num_own: int) -> list[Tensor | None]:
    """Take the samples that count out of an output, which may hold several tensors."""
    cut: list[Tensor | None] = []
    for leaf in leaves:
        if leaf is not None and not (
            isinstance(leaf, Tensor) and leaf.dim() and len(leaf) == num_rows
        ):
            form = tuple(leaf.shape) if isinstance(leaf, Tensor) else type(leaf).__name__
            raise ShapeError(
                f"evaluation on several processes expected outputs with the {num_rows} samples "
                f"along their first dim, received {form}. Fix: return such tensors, or train on "
                "one process."
            )
        cut.append(None if leaf is None else leaf[:num_own].cpu())
    return cut


def _put_together(parts: Sequence[list[Any]], device: torch.device) -> list[Tensor | None]:
    return [
        None if pieces[0] is None else torch.cat(pieces).to(device)
        for pieces in zip(*parts, strict=True)
    ]
