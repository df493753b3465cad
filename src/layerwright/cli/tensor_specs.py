"""What `--input 2x3x32x32:float32` means: a tensor of random numbers."""

import re
from typing import TYPE_CHECKING, Any

from layerwright.errors import OptionError

if TYPE_CHECKING:
    from torch import Tensor

_SPEC = re.compile(
    r"(?:(?P<name>[A-Za-z_]\w*)=)?(?P<shape>\d+(?:x\d+)*|scalar)"
    r"(?::(?P<dtype>[a-z]+\d*))?(?::(?P<low>-?\d+(?:\.\d+)?)\.\.(?P<high>-?\d+(?:\.\d+)?))?"
)
_FORM = (
    "SHAPE[:DTYPE[:LOW..HIGH]], such as 2x3x32x32, 4x7:int64:0..100 or mask=4x7:bool "
    "(or scalar for no dimensions)"
)


def tensors_of(
    specs: "tuple[str, ...]", option: str = "--input"
) -> "tuple[tuple[Tensor, ...], dict[str, Tensor]]":
    """Draw the tensors that specs describe: positional arguments, and those with a name.

    Floating-point tensors are normal, or uniform from LOW to HIGH; integers are below 2, or from
    LOW to below HIGH; bool tensors are True with a probability of one half.

    Args:
        specs: such as "2x3x32x32", "4x7:int64:0..100" or "mask=4x7:bool".
        option: what the messages call them.

    Raises:
        OptionError: a spec has another form, an unknown dtype, an empty range or one that the
            dtype does not have, or more values than there is memory.
    """
    args, kwargs = [], {}
    for spec in specs:
        match = _SPEC.fullmatch(spec.strip())
        if match is None:
            raise OptionError(f"{option} expected {_FORM}, received {spec!r}.")
        try:
            tensor = _drawn(match, f"received {spec!r}", option)
        except (RuntimeError, TypeError) as error:  # of torch: a dtype or a size that it refuses
            said = str(error).splitlines()[0][:120]
            raise OptionError(f"{option} {spec} cannot be drawn: {said}") from error
        if match["name"]:
            kwargs[match["name"]] = tensor
        else:
            args.append(tensor)
    return tuple(args), kwargs


def _drawn(match: "re.Match[str]", received: str, option: str) -> "Tensor":
    import torch

    shape = [] if match["shape"] == "scalar" else [int(part) for part in match["shape"].split("x")]
    dtype: Any = getattr(torch, match["dtype"] or "float32", None)
    if not isinstance(dtype, torch.dtype):
        raise OptionError(f"{option} expected a dtype of torch, {received}.")
    low, high = (match["low"], match["high"])
    if low is not None and float(low) >= float(high):
        raise OptionError(f"{option} expected a range such as 0..10, {received}.")
    if dtype is torch.bool:
        return torch.rand(shape) < 0.5
    if not dtype.is_floating_point and not dtype.is_complex:
        try:
            return torch.randint(int(low or 0), int(high or 2), shape, dtype=dtype)
        except ValueError:
            raise OptionError(f"{option} expected whole numbers, {received}.") from None
    if low is None:
        return torch.randn(shape, dtype=torch.float32 if not dtype.is_complex else dtype).to(dtype)
    return (torch.rand(shape) * (float(high) - float(low)) + float(low)).to(dtype)
