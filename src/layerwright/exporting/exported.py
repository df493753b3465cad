"""What came of an export: the file, and how it was compared."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from layerwright.exporting.optimizing import Optimization
from layerwright.exporting.parity import Comparison

_TITLES = ("  inputs", "batch", "largest", "off float64", "allowed", "off own", "left out")


@dataclass(frozen=True)
class Exported:
    """A file that was kept, and how it was compared.

    Attributes:
        path: the file.
        size_bytes: of it.
        inputs: name, dtype and sizes of each input; a size that is free is a word.
        comparisons: one for each call on which the file was compared.
        notes: what was not measured, in words.
        optimization: what optimizing did and cost; None where it was not asked for.
    """

    path: Path
    size_bytes: int
    inputs: list[dict[str, Any]]
    comparisons: list[Comparison] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    optimization: Optimization | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "file": str(self.path),
            "size_bytes": self.size_bytes,
            "inputs": self.inputs,
            "comparisons": [item.as_dict() for item in self.comparisons],
            "notes": self.notes,
            "optimization": self.optimization.as_dict() if self.optimization else None,
        }

    def __str__(self) -> str:
        """Return the table of comparisons, with what was allowed."""
        lines = [f"{self.path}: {_size_in_words(self.size_bytes)}"]
        for item in self.inputs:
            sizes = ", ".join(map(str, item["shape"]))
            lines.append(f"  input {item['name']}: {item['dtype']} ({sizes})")
        if self.comparisons:
            lines += ["", *_table(self.comparisons), ""]
        lines += self.notes
        if self.optimization is not None:
            lines += ["", str(self.optimization)]
        return "\n".join(lines)


def _table(comparisons: Sequence[Comparison]) -> list[str]:
    rows = [_TITLES, *map(_row, comparisons)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _row(item: Comparison) -> tuple[str, ...]:
    return (
        f"  {item.name}",
        "-" if item.batch is None else str(item.batch),
        f"{item.scale:.3g}",
        f"{item.from_float64:.2g}",
        f"{item.allowed:.2g}",
        f"{item.from_float32:.2g}",
        str(item.left_out),
    )


def _size_in_words(size: int) -> str:
    return f"{size / 1e6:.2f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
