"""TensorBoard events, on request."""

from pathlib import Path
from typing import Any

from layerwright.errors import MissingExtraError


def require_tensorboard() -> Any:
    """Return the class that writes events.

    Raises:
        MissingExtraError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError(
            "writing TensorBoard events", "tensorboard", "tensorboard"
        ) from error
    return SummaryWriter


class EventWriter:
    """Writes the numbers of each row as TensorBoard scalars; does nothing without a folder.

    Args:
        run_dir: the run's folder, or None.

    Raises:
        MissingExtraError: TensorBoard is not installed.
    """

    def __init__(self, run_dir: Path | None) -> None:
        self._writer: Any = None
        if run_dir is None:
            return
        self._writer = require_tensorboard()(str(run_dir / "tensorboard"))

    def write(self, row: dict[str, Any]) -> None:
        """Write one row of the history, or the test values, at its step."""
        if self._writer is None:
            return
        if "lr" in row:
            self._writer.add_scalar("lr", row["lr"], row["step"])
        for split in ("train", "validation", "test"):
            for name, value in row.get(split, {}).items():
                if isinstance(value, float):
                    self._writer.add_scalar(f"{split}/{name}", value, row["step"])
        self._writer.flush()

    def close(self) -> None:
        """Finish the event file."""
        if self._writer is not None:
            self._writer.close()
