"""Watch a run: at some steps, what passes each layer and how far the step moves its weights.

Hooks hang on the network for the watched steps only, so that the other steps cost nothing, and they
only look: the weights that come out are the same, bit for bit. `watch.jsonl` in the run folder has
a row for each watched step: `step` (the steps taken before it), `epoch`, and `layers`, by name,
with the fields of `LayerStatistics` that were measured. With `accumulate`, the first forward pass
of a step is measured.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from layerwright.errors import LayerwrightError
from layerwright.inspection.trace_heat_map import require_figure, save_heat_map
from layerwright.inspection.trace_recorder import Recorder
from layerwright.inspection.trace_statistics import LayerStatistics
from layerwright.inspection.trace_troubles import troubles
from layerwright.training.assembly import Assembly
from layerwright.training.run_folder import RunFolder, writable

ROWS, PICTURE = "watch.jsonl", "watch.png"
_NUM_ROWS = 100  # in a run, where nobody says how many
_EVERY = 50  # steps, where nobody knows how many there are
_NEVER = 2**62
_DEFAULTS = {item.name: item.default for item in fields(LayerStatistics)}


class RunWatch:
    """What a session asks between steps; does nothing unless the recipe wants it.

    Args:
        assembly: the parts of the run.
        folder: where rows and picture go; None keeps the rows in memory only.
        say: writes a line for the person who trains.

    Attributes:
        rows: what was recorded; None where nothing is.
    """

    def __init__(
        self, assembly: Assembly, folder: RunFolder | None, say: Callable[[str], None]
    ) -> None:
        recipe = assembly.recipe
        self.rows: list[dict[str, Any]] | None = [] if recipe.watch else None
        self._network = assembly.network
        self._steps = assembly.steps
        self._folder = folder
        self._say = say
        self._every = recipe.watch_every or _interval(assembly)
        self._recorder: Recorder | None = None
        self._armed_at = (0, 0)  # step and epoch
        self._suspected: set[tuple[str, str]] = set()  # by the row before
        self._told: dict[str, tuple[str, str]] = {}  # by kind of trouble: the layer, a sentence
        self._num_new = 0

    def due_step(self) -> int:
        """Return the step at which `between_steps` is wanted next."""
        if self.rows is None:
            return _NEVER
        step = self._steps.step
        return step + 1 if self._recorder else step + self._every - step % self._every

    def between_steps(self) -> None:
        """Record the step that was watched, and hang hooks if the next one is to be."""
        if self.rows is None:
            return
        self._record()
        step = self._steps.step
        if step % self._every == 0 and self._recorder is None:
            if not self._num_new and not self.rows:
                self._introduce()
            self._recorder = Recorder(self._network, updates=True)
            self._armed_at = (step, self._steps.epoch)
            self._recorder.attach()

    def end_epoch(self) -> None:
        """Take the hooks off: the network is evaluated now, or the run has ended."""
        self._record()
        if self._recorder is not None:
            self._recorder.remove()
            self._recorder = None

    def restore(self) -> None:
        """Take up the rows that a run wrote before its checkpoint; later ones come again."""
        if self.rows is None or self._folder is None:
            return
        for row in self._folder.read_rows(ROWS):
            try:
                if row["step"] >= self._steps.step:
                    break
                self._judge(row, quiet=True)
            except (KeyError, TypeError, AttributeError):
                break  # not a row of ours: somebody edited the file
            self.rows.append(row)
        if (self._folder.path / ROWS).exists():
            self._folder.write_rows(ROWS, self.rows)

    def sync(self) -> None:
        """Let no checkpoint be on the disk before the rows that belong to it."""
        if self._num_new and self._folder is not None:
            with writable(), (self._folder.path / ROWS).open("rb") as file:
                os.fsync(file.fileno())

    def close(self) -> None:
        """Take the hooks off, draw the heat map, and say where the records are."""
        if self._recorder is not None:
            self._recorder.remove()
            self._recorder = None
        if not self.rows or not self._num_new:
            return
        if not self._told:
            self._say(f"watch: no layer died or exploded in {len(self.rows)} records")
        if self._folder is None:
            return
        where = f"{len(self.rows)} records in {self._folder.path / ROWS}"
        try:
            picture = self._folder.path / PICTURE
            records = [(row["step"], layers_of(row)) for row in self.rows]
            save_heat_map(records, picture, list(self._told.values()))
        except LayerwrightError:
            self._say(f"watch: {where}")  # why there is no picture was said at the start
        else:
            self._say(f"watch: {where}, heat map in {picture}")

    def _introduce(self) -> None:
        steps = "step" if self._every == 1 else f"{self._every} steps"
        self._say(f"watch: a record every {steps}")
        if self._folder is not None:
            try:
                require_figure()
            except LayerwrightError as error:
                self._say(f"watch: no heat map will be drawn. {error}")

    def _record(self) -> None:
        """Write the row of the watched step, if that has been taken."""
        step, epoch = self._armed_at
        recorder = self._recorder
        if recorder is None or self.rows is None or self._steps.step <= step:
            return
        recorder.remove()
        self._recorder = None
        if not recorder.complete:
            return
        layers = {layer.name: _plain(layer) for layer in recorder.statistics()}
        row: dict[str, Any] = {"step": step, "epoch": epoch + 1, "layers": layers}
        self.rows.append(row)
        self._num_new += 1
        if self._folder is not None:
            self._folder.append_row(ROWS, row)
        self._judge(row, quiet=False)

    def _judge(self, row: Mapping[str, Any], *, quiet: bool) -> None:
        """Name the first layer that dies or explodes; what may be chance, when it is seen again."""
        found = troubles(layers_of(row))
        for trouble in found:
            again = (trouble.kind, trouble.layer) in self._suspected
            if trouble.kind in self._told or not (trouble.lasting or again):
                continue
            said = f"step {row['step']}: {trouble.text}"
            self._told[trouble.kind] = (trouble.layer, said)
            if not quiet:
                self._say(f"watch: {said}")
        self._suspected = {(trouble.kind, trouble.layer) for trouble in found}


def layers_of(row: Mapping[str, Any]) -> tuple[LayerStatistics, ...]:
    """Return the statistics that a row of watch.jsonl holds."""
    return tuple(LayerStatistics(name, **values) for name, values in row["layers"].items())


def _plain(layer: LayerStatistics) -> dict[str, Any]:
    """The fields that say something."""
    values = {name: getattr(layer, name) for name in _DEFAULTS if name != "name"}
    return {name: value for name, value in values.items() if value != _DEFAULTS[name]}


def _interval(assembly: Assembly) -> int:
    num_batches = assembly.train_batches.num_batches
    if num_batches is None:
        return _EVERY
    recipe = assembly.recipe
    num_steps = recipe.epochs * -(-num_batches // recipe.accumulate)
    return max(1, num_steps // _NUM_ROWS)
