"""The number of CPU threads, which belongs to the process and not to a recipe."""

import os

from layerwright.errors import OptionError


def use_threads(number: int | None) -> None:
    """Compute with this many CPU threads; None leaves torch's choice.

    Call it before torch is imported. GNU OpenMP's threads wait for each other by spinning, ten
    times as long as is set here; beside other busy programs that makes training more than twice as
    slow (docs/speed.md). The results are the same.

    Raises:
        OptionError: `number` is below 1.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "30000")
    if number is None:
        return
    if number < 1:
        raise OptionError(f"threads expected a whole number from 1, received {number}.")
    import torch

    torch.set_num_threads(number)
