"""Let a file through that computes the same, and say where another begins to differ."""

from pathlib import Path

from torch import nn

from layerwright.errors import ExportError, LayerwrightError
from layerwright.exporting.first_difference import first_difference
from layerwright.exporting.parity import Comparison, compare
from layerwright.exporting.reference import References

_LEAST = 1e-6  # of the largest value: how exactly values inside a network are compared at the most


def checked(
    network: nn.Module, aside: Path, known: References, path: Path, *, machine_code: bool = False
) -> list[Comparison]:
    """Compare, and say where a file that differs begins to; of machine code nobody can.

    Raises:
        ExportError: it differs.
    """
    try:
        comparisons = compare(aside, known, machine_code=machine_code)
    except ExportError as error:
        raise ExportError(f"{path} was not kept: {error}") from error
    for item, trial in zip(comparisons, known.trials, strict=True):
        if item.problem is None:
            continue
        size = "" if item.batch is None else f", batch of {item.batch}"
        words = f"{path} was not kept: on {item.name} inputs{size}, {item.problem}."
        if item.scale and not machine_code:
            share = max(item.allowed / item.scale, _LEAST)
            try:
                place = first_difference(network, aside, trial.inputs, share)
            except LayerwrightError as error:
                place = f"The module could not be found: {error}"
            words += f" {place or 'No single module could be named.'}"
        raise ExportError(words)
    return comparisons
