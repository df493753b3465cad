"""What a person sees while a network trains: one live line, one permanent row an epoch."""

import time
from datetime import UTC, datetime
from typing import Any, TextIO

from rich.console import Console

LIVE_INTERVAL_S = 0.2


class Progress:
    """Writes to a console; to none when training is silent.

    The live line is plain text and a carriage return: a widget that redraws itself would cost more
    than a small network's step. Where the console is no terminal, only permanent lines are written.

    Args:
        console: where to write, or None.
        epochs: epochs of the whole run.
        batches_per_epoch: None when unknown.
        log: a file that gets the permanent lines too, each with its time; None for none.
    """

    def __init__(
        self,
        console: Console | None,
        epochs: int,
        batches_per_epoch: int | None,
        log: TextIO | None = None,
    ) -> None:
        self._console = console
        self._log = log
        self._epochs = epochs
        self._batches_per_epoch = batches_per_epoch
        self._live = console is not None and console.is_terminal
        self._width_shown = 0
        self._started = time.monotonic()
        self._batches_before = 0
        self._columns: list[str] = []

    @property
    def interval_s(self) -> float:
        """Seconds between two live lines; infinite where none are shown."""
        return LIVE_INTERVAL_S if self._live else float("inf")

    def say(self, text: str) -> None:
        """Write one permanent line."""
        if self._console is not None:
            self._clear()
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)
        if self._log is not None:
            self._log.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {text}\n")

    def start_epoch(self, batch: int) -> None:
        """Start the clock of an epoch, which may begin in its middle."""
        self._started = time.monotonic()
        self._batches_before = batch

    def live(self, epoch: int, batch: int, loss: float, lr: float) -> None:
        """Redraw the live line."""
        if not self._live or self._console is None:
            return
        seconds = max(time.monotonic() - self._started, 1e-9)
        rate = (batch - self._batches_before) / seconds
        parts = [f"epoch {epoch + 1}/{self._epochs}"]
        if self._batches_per_epoch:
            share = min(batch / self._batches_per_epoch, 1.0)
            filled = int(20 * share)
            parts.append("━" * filled + "╌" * (20 - filled) + f" {share:4.0%}")
            left = (self._batches_per_epoch - batch) / rate if rate else 0.0
            parts.append(f"{left:4.0f} s left")
        else:
            parts.append(f"batch {batch}")
        parts += [f"{rate:.0f} batches/s", f"loss {loss:.4f}", f"lr {lr:.2g}"]
        text = "  ".join(parts)[: max(self._console.width - 1, 20)]
        padding = " " * (self._width_shown - len(text))
        self._console.file.write("\r" + text + padding)
        self._console.file.flush()
        self._width_shown = len(text)

    def row(self, row: dict[str, Any], seconds: float, *, is_best: bool) -> None:
        """Write the permanent row of a finished epoch."""
        if self._console is None and self._log is None:
            return
        cells = {
            "epoch": f"{row['epoch']}/{self._epochs}",
            "step": str(row["step"]),
            "train loss": f"{row['train']['loss']:.4f}",
        }
        for name, value in row.get("validation", {}).items():
            if isinstance(value, float):  # tables such as a confusion matrix are in metrics.jsonl
                cells[f"val {name}"] = format_value(name, value)
        cells["lr"] = f"{row['lr']:.2g}"
        cells["seconds"] = f"{seconds:.1f}"
        if list(cells) != self._columns:
            self._columns = list(cells)
            self.say("  ".join(f"{name:>8}" for name in cells))
        line = "  ".join(f"{cell:>{max(len(name), 8)}}" for name, cell in cells.items())  # 77 wide
        self.say(line + ("  *" if is_best else ""))

    def outcome(
        self,
        monitor: tuple[str, bool],
        headline: str,
        best: dict[str, Any] | None,
        test: dict[str, Any] | None,
    ) -> None:
        """Say the best epoch by `monitor` and the values on the test split, `headline` last."""
        if best is not None:
            name = monitor[0]
            value = format_value(name, best["validation"][name])
            self.say(f"best epoch {best['epoch']} (validation {name} {value})")
        numbers = {k: v for k, v in (test or {}).items() if isinstance(v, float)}
        for key in sorted(numbers, key=lambda key: key == headline):
            self.say(f"test {key} {format_value(key, numbers[key])}")

    def _clear(self) -> None:
        if self._width_shown and self._console is not None:
            self._console.file.write("\r" + " " * self._width_shown + "\r")
            self._width_shown = 0


def format_value(name: str, value: float) -> str:
    """Write a metric as people quote it: shares of samples in percent."""
    if name == "accuracy" or name.startswith("top-"):
        return f"{100 * value:.2f} %"
    return f"{value:.4f}"
