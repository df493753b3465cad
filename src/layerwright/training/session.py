"""A run from its first step to its last: epochs, validation, checkpoints, and what goes wrong."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from layerwright.data.interface import Batches
from layerwright.errors import NonFiniteError
from layerwright.training import network_state
from layerwright.training.assembly import Assembly, non_finite_state
from layerwright.training.gradient_steps import NonFiniteStep
from layerwright.training.interrupts import Interrupts
from layerwright.training.nonfinite_replay import explain, without_look
from layerwright.training.positions import memory_state, restore_state
from layerwright.training.progress import Progress
from layerwright.training.recipe import checkpoint_interval
from layerwright.training.run import Run
from layerwright.training.run_config import data_facts
from layerwright.training.run_folder import RunFolder
from layerwright.training.run_watch import RunWatch
from layerwright.training.tensorboard import EventWriter

LOOK_INTERVAL_S = 0.2  # how soon a Ctrl-C is noticed


class Session:
    """Trains an assembly, with or without a folder to write to.

    Without a folder the last checkpoint is kept in memory, for the non-finite guard to replay. Of
    several processes each has a session, the first one has the folder, and what they do together
    (see `OneProcess`) each of them does at the same step.

    Args:
        assembly: the parts of the run.
        folder: where this process writes to, or None.
        console: where progress goes, or None.
        run_dir: the run's folder, where another process writes it.
    """

    def __init__(
        self,
        assembly: Assembly,
        folder: RunFolder | None,
        console: Console | None,
        run_dir: Path | None = None,
    ) -> None:
        self.assembly = assembly
        self.folder = folder
        self.run_dir = folder.path if folder else run_dir
        self.processes, recipe = assembly.processes, assembly.recipe
        num_batches, log = assembly.train_batches.num_batches, self.processes.log(self.run_dir)
        self.progress = Progress(console, recipe.epochs, num_batches, log)
        self.events = EventWriter(folder.path if folder and recipe.tensorboard else None)
        self.watch = RunWatch(assembly, folder, self.progress.say)
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None  # the best row
        self.best_weights: dict[str, Any] | None = None
        self.test: dict[str, Any] | None = None
        self.started_from: dict[str, Any] | None = None
        self.stopped_early = False
        self.done = False  # epochs, test split and the last checkpoint
        self._interval_s, self._interval_steps = checkpoint_interval(recipe.checkpoint_every)
        self._last_state: dict[str, Any] | None = None  # what a replay starts from, with no folder
        self._saved_at = time.monotonic()
        self._saved_step = -1
        self._interrupts = Interrupts(repeated=self.processes.size > 1)
        self._stopping = False  # agreed on by all processes

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end."""
        steps = self.assembly.steps
        return self.stopped_early or steps.epoch >= self.assembly.recipe.epochs

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up the run where a checkpoint left it."""
        restore_state(self.assembly, state)
        training = state["training"]
        self.history = list(training["history"])
        self.best, self.best_weights = training["best"], state["best"]
        self.test, self.done = training["test"], training["done"]
        self.stopped_early = training["stopped_early"]
        self._saved_step = training["step"]
        if self.folder is not None:
            rows = [*self.history, *([{"test": self.test}] if self.test is not None else [])]
            self.folder.write_rows("metrics.jsonl", rows)
            self.watch.restore()

    def train(self) -> Run:
        """Run the rest of the epochs, then touch the test split once.

        Raises:
            NonFiniteError: a loss, gradient or weight became non-finite.
            CheckpointError: a checkpoint could not be written.
        """
        try:
            with self._interrupts:
                return self._train()
        finally:
            self.watch.close()
            self.events.close()
            for batches in self.assembly.all_batches():
                batches.close()

    def _train(self) -> Run:
        if self._saved_step < 0:
            self._save()
        while not self.finished:
            self._train_epoch()
            if self._stopping and not self.finished:
                return self._interrupted()
        if not self.done:
            self._finish()
        elif self.best_weights is not None:
            network_state.restore(self.assembly.network, self.best_weights)
        return self._run("stopped early" if self.stopped_early else "finished")

    def _train_epoch(self) -> None:
        steps, started = self.assembly.steps, time.monotonic()
        self.progress.start_epoch(steps.batch)
        batches = self.assembly.train_batches.epoch(steps.epoch, start=steps.batch)
        self.watch.between_steps()
        try:
            failure = steps.run(batches, due_at=self._due_at, on_due=self._on_due)
        finally:
            batches.close()
            self.watch.end_epoch()
        self._stopping = self.processes.any(self._stopping or self._interrupts.requested)
        failure = failure or (steps.settle() if not self._stopping else None)
        if failure is not None:
            self._fail(failure)
        num_batches = self.assembly.train_batches.num_batches
        if self._stopping and (num_batches is None or steps.batch < num_batches):
            return
        self._end_epoch(time.monotonic() - started)

    def _end_epoch(self, seconds: float) -> None:
        assembly, steps = self.assembly, self.assembly.steps
        row: dict[str, Any] = {
            "epoch": steps.epoch + 1,
            "step": steps.step,
            "lr": steps.peak_lrs[0] * steps.factor(max(steps.step - 1, 0)),
            "train": {"loss": self.processes.mean_loss(steps)},
        }
        if assembly.validation_batches is not None:
            row["validation"] = self._values(assembly.validation_batches)
        is_best = self._is_best(row)
        if is_best:
            self.best, self.best_weights = row, network_state.capture(assembly.network)
        self.history.append(row)
        patience = assembly.recipe.patience
        if patience is not None and self.best is not None:
            self.stopped_early = (
                row["epoch"] - self.best["epoch"] >= patience
                and row["epoch"] < assembly.recipe.epochs
            )
        self._append(row, {"epoch": row["epoch"], "seconds": round(seconds, 3)})
        self.events.write(row)
        self.progress.row(row, seconds, is_best=is_best)
        steps.start_epoch(steps.epoch + 1)

    def _values(self, batches: Batches) -> dict[str, Any]:
        parts = self.assembly
        return self.processes.evaluate(
            parts.network, batches, parts.loss, parts.metrics, parts.autocast
        )

    def _append(self, row: dict[str, Any], timing: dict[str, Any]) -> None:
        if self.folder is not None:
            self.folder.append_row("metrics.jsonl", row)
            self.folder.append_row("timing.jsonl", timing)

    def _is_best(self, row: dict[str, Any]) -> bool:
        name, higher_is_better = self.assembly.monitor
        value = row.get("validation", {}).get(name)
        if not isinstance(value, float) or value != value:  # noqa: PLR0124 - NaN is never best
            return False
        if self.best is None:
            return True
        before = float(self.best["validation"][name])
        return value > before if higher_is_better else value < before

    def _due_at(self) -> tuple[float, int]:
        now = time.monotonic()
        next_time = now + LOOK_INTERVAL_S
        if self._interval_s is not None:
            next_time = min(next_time, max(self._saved_at + self._interval_s, now))
        step, next_step = self.assembly.steps.step, self.watch.due_step()
        if self._interval_steps is not None:
            next_step = min(next_step, step + self._interval_steps - step % self._interval_steps)
        return self.processes.next_due(next_time, next_step, step)

    def _on_due(self) -> bool:
        """Between two steps: notice Ctrl-C, write a checkpoint, redraw the live line."""
        self.watch.between_steps()
        steps, now = self.assembly.steps, time.monotonic()
        by_time = self._interval_s is not None and now >= self._saved_at + self._interval_s
        by_step = self._interval_steps is not None and steps.step % self._interval_steps == 0
        save = by_time or (by_step and steps.step != self._saved_step)
        self._stopping, save = self.processes.decided(
            stop=self._interrupts.requested, save=save, step=steps.step
        )
        if self._stopping:
            return False
        if save:
            self._save()
        self.progress.live(steps.epoch, steps.batch, steps.mean_loss(), steps.lr())
        return True

    def _require_finite(self) -> None:
        """Let nothing that is not finite reach a checkpoint: weights, buffers, optimizer state."""
        failure = self.assembly.steps.settle()
        if failure is not None:
            self._fail(failure)
        if not self.assembly.recipe.nan_guard:
            return
        broken = non_finite_state(self.assembly)
        if self.processes.any(bool(broken)):
            self._fail(None, broken[0] if broken else "what another process holds")

    def _save(self, network: dict[str, Any] | None = None) -> None:
        """Write a checkpoint: of the network as it is, or of `network`, captured before."""
        if network is None:
            self._require_finite()
        state = memory_state(self.assembly)
        if state is not None:
            state.update({} if network is None else {"network": network}, best=self.best_weights)
            state["training"].update(
                history=self.history,
                best=self.best,
                test=self.test,
                stopped_early=self.stopped_early,
                done=self.done,
            )
        if self.run_dir is not None:
            self.watch.sync()
            self.processes.save(self.folder, state)
        else:
            self._last_state = state
        self._saved_at, self._saved_step = time.monotonic(), self.assembly.steps.step

    def _finish(self) -> None:
        self._require_finite()
        assembly = self.assembly
        last = network_state.capture(assembly.network)
        if self.best is not None and self.best_weights is not None:
            network_state.restore(assembly.network, self.best_weights)
        if assembly.test_batches is not None:
            self.test = self._values(assembly.test_batches)
            self._append({"test": self.test}, {"finished": True})
            self.events.write({"step": assembly.steps.step, "test": self.test})
        self.done = True
        self._save(last)
        self.report()

    def report(self) -> None:
        """Say the best epoch and the values on the test split, the most important one last."""
        self.progress.outcome(self.assembly.monitor, self.assembly.headline, self.best, self.test)

    def _interrupted(self) -> Run:
        self._save()
        where = f"step {self.assembly.steps.step}"
        if self.run_dir is not None:
            where += f"; continue with: layerwright resume {self.run_dir}"
        self.progress.say(f"interrupted after {where}")
        return self._run("interrupted")

    def _fail(self, failure: NonFiniteStep | None, weights: str | None = None) -> None:
        """Replay from the last checkpoint, say what happened, keep the state before it."""
        if self.processes.sharded:  # a layer can be looked into only where all of it is
            raise NonFiniteError(without_look(self.assembly, weights))
        self.progress.say("a value is not finite; replaying from the last checkpoint to find where")
        kept = self.folder.checkpoints.newest_intact if self.folder else lambda: self._last_state
        state = self.processes.agreed(kept)
        message = explain(self.assembly, state, failure, weights)
        if self.folder is not None:
            newest, where = self.folder.checkpoints.steps()[-1], self.folder.checkpoints.folder
            message += f" The checkpoint of step {newest} is intact: {where}."
        raise NonFiniteError(message)

    def _run(self, status: str) -> Run:
        steps = self.assembly.steps
        return Run(
            network=self.assembly.network,
            recipe=self.assembly.recipe,
            dir=self.run_dir,
            status=status,
            step=steps.step,
            epoch=steps.epoch,
            history=self.history,
            best=self.best,
            test=self.test,
            watched=self.watch.rows,
            data_facts=data_facts(self.assembly.data),
            vocabulary=self.assembly.data.vocabulary,
            started_from=self.started_from,
        )
