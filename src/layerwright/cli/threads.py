"""The number of CPU threads, which belongs to the process and not to a recipe."""

from layerwright.errors import OptionError


def use_threads(number: int | None) -> None:
    """Compute with this many CPU threads; None leaves torch's choice.

    Raises:
        OptionError: `number` is below 1.
    """
    if number is None:
        return
    if number < 1:
        raise OptionError(f"threads expected a whole number from 1, received {number}.")
    import torch

    torch.set_num_threads(number)
