"""The inner loop: forward, backward, step, with everything that must not cost time kept out."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from layerwright.data.share import Share
from layerwright.training.own_parts import own_part

Batch = tuple[tuple[Tensor, ...], Tensor]


@dataclass(frozen=True)
class NonFiniteStep:
    """Where a non-finite loss or gradient was met.

    Attributes:
        step: optimizer steps done before it.
        epoch: counted from 0.
        batch: the forward pass within the epoch, counted from 0.
    """

    step: int
    epoch: int
    batch: int


class GradientSteps:
    """Runs optimizer steps over batches and keeps the position in the run.

    The object holds what the loop needs at each step and nothing else; epochs, validation,
    checkpoints and progress happen outside, when `run` returns or calls `on_due`.

    Args:
        network: called as `network(*inputs)`; compiled or not.
        parameters: those that the optimizer updates.
        criterion: `(output, target) -> scalar`, the mean over the batch.
        optimizer: updated in place.
        factor: the schedule: step -> factor of each group's peak learning rate.
        constant_lr: whether the factor is 1 at each step.
        accumulate: forward passes per optimizer step.
        batch_size: samples per forward pass, the last of an epoch excepted.
        num_samples: samples in an epoch; None when unknown.
        clip_norm: the largest total gradient norm, or None.
        autocast: makes the context of a forward pass, or None.
        guard: whether to look for non-finite losses and gradients at each step.
        deferred: look at them one step later, so that an accelerator need not be waited for.
        share: which rows of each batch this process takes, where several train together; the
            network then averages gradients over them and has `begin_pass` (see `Replicas`).
        num_batches: batches in an epoch; needed with a share.
        any_process: says whether something holds in any process; for sharded weights.
    """

    def __init__(  # noqa: PLR0913 - the loop's whole surroundings, said once
        self,
        network: Callable[..., Any],
        parameters: Sequence[nn.Parameter],
        criterion: Callable[[Any, Tensor], Tensor],
        optimizer: torch.optim.Optimizer,
        *,
        factor: Callable[[int], float],
        constant_lr: bool,
        accumulate: int,
        batch_size: int,
        num_samples: int | None,
        clip_norm: float | None,
        autocast: Callable[[], AbstractContextManager[Any]] | None,
        guard: bool,
        deferred: bool,
        share: Share | None = None,
        num_batches: int | None = None,
        any_process: Callable[[bool], bool] | None = None,
    ) -> None:
        self.network = network
        self.parameters = list(parameters)
        self.criterion = criterion
        self.optimizer = optimizer
        self.factor = factor
        self.constant_lr = constant_lr
        self.accumulate = accumulate
        self.batch_size = batch_size
        self.num_samples = num_samples
        self.clip_norm = clip_norm
        self.autocast = autocast
        self.guard = guard
        self.deferred = deferred
        self.share = share
        self.num_batches = num_batches
        self.any_process = any_process
        self.peak_lrs = [float(group["lr"]) for group in optimizer.param_groups]
        # The position in the run, which a checkpoint saves:
        self.step = 0  # optimizer steps done
        self.epoch = 0
        self.batch = 0  # batches done in this epoch
        self.loss_sum: float | Tensor = 0.0  # over this epoch's samples
        self.num_seen = 0  # samples of this epoch
        self.failed_batch: Batch | None = None
        self._probe: tuple[NonFiniteStep, Tensor, torch.cuda.Event | None] | None = None

    def run(
        self,
        batches: Iterator[Batch],
        *,
        due_at: Callable[[], tuple[float, int]],
        on_due: Callable[[], bool],
    ) -> NonFiniteStep | None:
        """Take steps until the batches end or `on_due` returns False.

        Args:
            batches: the rest of this epoch, from `self.batch` on.
            due_at: the time (`time.monotonic`) and step at which `on_due` is wanted next. It is
                asked again after each call of `on_due`.
            on_due: called between two steps; returns whether to go on.

        Returns:
            None, or where a non-finite loss or gradient was met; the step was not taken (with
            `deferred`: the one before may have been).
        """
        network, criterion, optimizer = self.network, self.criterion, self.optimizer
        parameters, accumulate, autocast = self.parameters, self.accumulate, self.autocast
        share, plain = self.share, accumulate == 1 and self.share is None
        clock = time.monotonic
        due_time, due_step = due_at()
        for inputs, target in batches:
            num_samples = len(target) if share is None else self._begin_pass(share)
            if autocast is None:
                loss = criterion(network(*inputs), target)
            else:
                with autocast():
                    loss = criterion(network(*inputs), target)
            if plain:
                loss.backward()
            elif share is None:
                (loss * self._share(num_samples)).backward()
            else:
                self._backward_together(loss, num_samples, share.size)
            suspect = self._look(loss, num_samples)
            if suspect is not None:
                self.failed_batch = None if self.deferred else (inputs, target)
                return suspect
            self.batch += 1
            if self.batch % accumulate:
                continue
            self._update(optimizer, parameters)
            if self.step >= due_step or clock() >= due_time:
                if not on_due():
                    return None
                due_time, due_step = due_at()
        if self.batch % accumulate:  # the last step of the epoch has fewer forward passes
            self._update(optimizer, parameters)
        return None

    def start_epoch(self, epoch: int) -> None:
        """Stand before the first batch of an epoch."""
        self.epoch, self.batch, self.num_seen, self.loss_sum = epoch, 0, 0, 0.0

    def mean_loss(self) -> float:
        """The mean training loss of this epoch's samples so far."""
        return float(self.loss_sum) / max(self.num_seen, 1)

    def lr(self) -> float:
        """The first group's learning rate at the next step."""
        return self.peak_lrs[0] * self.factor(self.step)

    def settle(self) -> NonFiniteStep | None:
        """Wait for a deferred look at the last step; needed before its weights are saved."""
        if self._probe is None:
            return None
        where, finite, event = self._probe
        self._probe = None
        if event is not None:
            event.synchronize()
        return None if bool(finite) else where

    def _update(self, optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter]) -> None:
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(parameters, self.clip_norm)
        if not self.constant_lr:
            factor = self.factor(self.step)
            for group, peak in zip(optimizer.param_groups, self.peak_lrs, strict=True):
                group["lr"] = peak * factor
        optimizer.step()
        for parameter in parameters:
            parameter.grad = None
        self.step += 1

    def _begin_pass(self, share: Share) -> int:
        """Tell the network about its next pass; return how many samples of it count."""
        size, batch = self.batch_size, self.batch
        count = min(size, (self.num_samples or 0) - batch * size)
        num_own = share.num_own(count, size)
        last = (batch + 1) % self.accumulate == 0 or batch + 1 == self.num_batches
        self.network.begin_pass(counts=num_own > 0, last=last)  # type: ignore[attr-defined]
        return num_own

    def _backward_together(self, loss: Tensor, num_samples: int, num_processes: int) -> None:
        """Weigh this process's loss so that the average of the gradients is that of all samples.

        A loss that is not finite makes the gradients NaN: then they are in every process, and all
        stop at this step.
        """
        weight: float | Tensor = num_processes * self._share(num_samples)
        if self.guard:
            value = loss.detach() if self.deferred else loss.item()
            weight = weight + (value - value)
        if isinstance(weight, float) and weight == 1.0:
            loss.backward()
        else:
            (loss * weight).backward()

    def _share(self, num_samples: int) -> float:
        """This forward pass's share of its step, so that the step's loss is one mean."""
        if self.num_samples is None:
            return 1 / self.accumulate
        first = self.batch - self.batch % self.accumulate
        rest = self.num_samples - first * self.batch_size
        return num_samples / min(rest, self.accumulate * self.batch_size)

    def _look(self, loss: Tensor, num_samples: int) -> NonFiniteStep | None:
        """Add the loss to the epoch's, and say where something is not finite.

        NaN and infinity survive a sum, so that one sum a gradient is enough to clear it; only a
        sum that is not finite (it may have overflowed) is looked into.
        """
        self.num_seen += num_samples
        if self.deferred:
            self.loss_sum = self.loss_sum + loss.detach().double() * num_samples
            return self._look_later(loss) if self.guard else None
        total = loss.item()
        self.loss_sum += total * num_samples
        if not self.guard:
            return None
        for parameter in self.parameters:
            if parameter.grad is not None:
                total += own_part(parameter.grad).sum().item()
        finite = total - total == 0.0 or self._is_finite(loss)  # false for NaN and infinity
        if self.any_process is not None:  # each looks at its part of the gradients
            finite = not self.any_process(not finite)
        if finite:
            return None
        return NonFiniteStep(self.step, self.epoch, self.batch)

    def _is_finite(self, loss: Tensor) -> bool:
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        values = [
            grad.coalesce().values() if grad.is_sparse else own_part(grad) for grad in gradients
        ]
        return all(bool(torch.isfinite(value).all()) for value in [loss, *values])

    def _look_later(self, loss: Tensor) -> NonFiniteStep | None:
        earlier = self.settle()
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        largest = torch._foreach_norm(gradients, float("inf"))  # noqa: SLF001 - no public spelling
        flags = torch.stack([value.float() for value in [loss.detach(), *largest]])
        finite = torch.isfinite(flags).all().to("cpu", non_blocking=True)
        event = None
        if loss.is_cuda:
            event = torch.cuda.Event()
            event.record()
        self._probe = (NonFiniteStep(self.step, self.epoch, self.batch), finite, event)
        return earlier
