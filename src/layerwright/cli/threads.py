"""The number of CPU threads, which belongs to the process and not to a recipe."""

import os

from layerwright.errors import OptionError


def use_threads(number: int | None) -> None:
    """Compute with this many CPU threads; None leaves torch's choice.

    Call it before torch is imported. OpenMP's threads wait by spinning otherwise, which beside any
    other busy process makes training several times slower; the results are the same.

    Raises:
        OptionError: `number` is below 1.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if number is None:
        return
    if number < 1:
        raise OptionError(f"threads expected a whole number from 1, received {number}.")
    import torch

    torch.set_num_threads(number)
