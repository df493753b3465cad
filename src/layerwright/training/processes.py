"""What a training run asks of its process, or of the several that train together.

`OneProcess` gives the answers of a process that is alone: each value is agreed on, each share is
the whole. `layerwright.training.distributed` gives those of several processes.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor, nn

from layerwright.data.batches import Batches
from layerwright.data.interface import Batch
from layerwright.data.share import Share
from layerwright.training.devices import resolve_device
from layerwright.training.evaluation import evaluate_batches
from layerwright.training.gradient_steps import GradientSteps
from layerwright.training.losses import Loss
from layerwright.training.metrics import Metric
from layerwright.training.recipe import Recipe
from layerwright.training.run_folder import RunFolder


class OneProcess:
    """A process that trains alone.

    Attributes:
        rank: of this process among those of the run, from 0.
        size: how many there are.
        share: which rows of each batch it takes; None for all.
        sharded: whether it holds a part of the weights only.
    """

    rank = 0
    size = 1
    share: Share | None = None
    sharded = False

    def device(self, name: str) -> torch.device:
        """Return the device that a recipe's `device` means for this process."""
        return resolve_device(name)

    def random_seed(self, seed: int) -> int:
        """Return the seed of what forward draws, such as dropout; each process has its own."""
        return seed

    def spread(self, network: nn.Module, recipe: Recipe, example: Callable[[], Batch]) -> None:
        """Leave each process its part of the weights, where the recipe asks for that.

        Args:
            network: on its device, with its initial weights.
            recipe: `shard` asks for it.
            example: makes a batch to try the network on.
        """

    def replicated(
        self,
        network: nn.Module,
        recipe: Recipe,
        criterion: Callable[[Any, Tensor], Tensor],  # noqa: ARG002
        example: Callable[[], Batch],  # noqa: ARG002
        autocast: Callable[[], AbstractContextManager[Any]] | None,  # noqa: ARG002
    ) -> Callable[..., Any]:
        """Return what training calls in place of the network, which exchanges gradients.

        Args:
            network: on its device, in training mode.
            recipe: how it is trained.
            criterion: `(output, target) -> scalar`.
            example: makes a batch to try it on.
            autocast: makes the context of a forward pass, or None.
        """
        return torch.compile(network) if recipe.compile else network

    def agreed(self, value: Callable[[], Any]) -> Any:
        """Return what the first process gets when it calls `value`, the only one that does."""
        return value()

    def any(self, flag: bool) -> bool:  # noqa: FBT001 - the question is the argument
        """Return whether the flag is up in any process."""
        return flag

    def gathered(self, value: Any) -> list[Any]:
        """Return the values of all processes in the first one, by rank; an empty list elsewhere."""
        return [value]

    def next_due(self, due_time: float, due_step: int, step: int) -> tuple[float, int]:  # noqa: ARG002
        """Return when the processes look up from their steps next: a time, or a step."""
        return due_time, due_step

    def decided(self, *, stop: bool, save: bool, step: int) -> tuple[bool, bool]:  # noqa: ARG002
        """Return whether all stop, as any of them may wish, and save, as the first one wishes."""
        return stop, save

    def mean_loss(self, steps: GradientSteps) -> float:
        """Return the mean training loss of the epoch's samples, those of all processes."""
        return steps.mean_loss()

    def settle(self, network: nn.Module) -> None:
        """Give every process the first one's buffers, before they are read."""

    def evaluate(
        self,
        network: nn.Module,
        batches: Batches,
        loss: Loss,
        metrics: list[Metric],
        autocast: Callable[[], AbstractContextManager[Any]] | None,
    ) -> dict[str, Any]:
        """Return loss and metrics over all samples, each counted once."""
        return evaluate_batches(network, batches, loss, metrics, autocast)

    def save(self, folder: RunFolder | None, state: dict[str, Any] | None) -> None:
        """Write a checkpoint.

        Args:
            folder: the run's, in the process that writes it.
            state: what `memory_state` returned.

        Raises:
            CheckpointError: it cannot be written.
        """
        if folder is not None and state is not None:
            folder.checkpoints.save(state)

    def begin_run(self, run_dir: Path) -> None:
        """Note that a run begins, for a restart to find it again."""

    def begun_run(self) -> Path | None:
        """Return the folder of the run that this launch began before it was restarted."""
        return None

    def lines(self, batch_size: int | None) -> list[str]:  # noqa: ARG002
        """Say in words how the work is shared out."""
        return []

    def log(self, run_dir: Path | None) -> TextIO | None:  # noqa: ARG002
        """Open this process's own log in a run folder."""
        return None


_current: OneProcess | None = None  # what `joined` has yielded, while it is open


@contextmanager
def joined(device: str = "auto") -> Iterator[OneProcess]:
    """Join the processes of this launch; alone where there is only this one.

    torchrun says in the environment which processes belong together (RANK, WORLD_SIZE,
    MASTER_ADDR, MASTER_PORT). Where a caller has set up `torch.distributed` itself, that is used.
    Inside another `joined` the same processes are meant.

    Args:
        device: the recipe's device, which decides how they talk to each other.

    Raises:
        ProcessError: the others cannot be reached, or one of them has gone.
    """
    global _current  # noqa: PLW0603 - a process belongs to one launch
    if _current is not None:
        yield _current
        return
    if not _has_company():
        yield OneProcess()
        return
    from layerwright.training.distributed.launch import several_processes  # noqa: PLC0415 - heavy

    with several_processes(device) as processes:
        _current = processes
        try:
            yield processes
        finally:
            _current = None


def _has_company() -> bool:
    """Whether this process is one of several."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_world_size() > 1
    launched = "RANK" in os.environ and "MASTER_ADDR" in os.environ
    return launched and int(os.environ.get("WORLD_SIZE", "1")) > 1
