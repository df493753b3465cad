"""Calls that take a tensor out of the graph: those written on purpose, and accidents."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from layerwright.contract.source import Place, place_of_call
from layerwright.contract.trees import is_float, named_tensors

_CONVERSIONS = ("item", "tolist", "numpy", "torch.tensor")
PURPOSE = ("detach", "no_grad")  # what an author writes to stop a gradient

_KINDS = {
    "detach": "detach",
    "detach_": "detach",
    "item": "item",
    "__float__": "item",
    "__int__": "item",
    "tolist": "tolist",
    "numpy": "numpy",
    "__array__": "numpy",
    "tensor": "torch.tensor",
    "new_tensor": "torch.tensor",
}

REMEDIES = {
    "data": "write the tensor itself; .detach() where the gradient is to stop",
    "item": "compute with the tensor, not with the number in it",
    "tolist": "compute with the tensor, not with the numbers in it",
    "numpy": "use torch operators instead of numpy",
    "torch.tensor": "write the tensor itself, or tensor.clone(); torch.tensor copies values only",
}


@dataclass(frozen=True)
class Cut:
    """A tensor that was given up by the graph.

    Attributes:
        kind: "detach", "no_grad", or the accident: "data", "item", "tolist", "numpy",
            "torch.tensor", "new Parameter", "Function".
        place: the line of the user's code.
    """

    kind: str
    place: Place


class CutRecorder(TorchFunctionMode):
    """Notes each call inside that takes a tensor of the graph and returns one outside of it."""

    def __init__(self) -> None:
        super().__init__()
        self.cuts: list[Cut] = []
        self._detached: list[tuple[Tensor, int]] = []
        self._grad = True  # as Python code set it; the forward of a Function turns it off, too

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the call and note it."""
        del types
        before = [item.tensor for item in named_tensors((args, kwargs or {}))]
        inside = any(tensor.requires_grad for tensor in before)
        output = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        kind = "data" if _reads_data(func) else _KINDS.get(name)
        if name == "_set_grad_enabled":
            self._grad = bool(args[0])
        elif kind in _CONVERSIONS and not inside:
            self._converted(kind, before)
        elif inside and name != "__set__":
            left = [item.tensor for item in named_tensors(output) if is_float(item.tensor)]
            if kind:
                self._detached.extend((item, len(self.cuts)) for item in left)
                self.cuts.append(Cut(kind, place_of_call()))
            elif self._off() and any(not item.requires_grad for item in left):
                self.cuts.append(Cut("no_grad", place_of_call()))
        return output

    def _off(self) -> bool:
        return not self._grad or torch.is_inference_mode_enabled()

    def _converted(self, kind: str, before: list[Tensor]) -> None:
        """Note that what was detached became numbers: numpy takes nothing else."""
        for tensor, place in self._detached:
            if any(_same_memory(one, tensor) for one in before):
                self.cuts[place] = Cut(kind, self.cuts[place].place)


def words_of(cut: Cut | None) -> str:
    """Return what ends a gradient in words, with the line if it is known."""
    if cut is None:
        return "its way to the output ends"
    what = {
        "data": ".data ends the graph",
        "item": ".item() ends the graph",
        "tolist": ".tolist() ends the graph",
        "numpy": "numpy knows no gradients",
        "torch.tensor": "torch.tensor copies values only",
        "new Parameter": "forward makes a new leaf tensor that requires gradients",
        "Function": "the backward of an autograd.Function returns None",
        "detach": "detach()",
        "no_grad": "no_grad()",
    }[cut.kind]
    if cut.place.file is None:
        return what
    return f"{what} ({cut.place}: {cut.place.text})"


def _reads_data(func: Any) -> bool:
    return (
        getattr(func, "__name__", "") == "__get__"
        and getattr(func, "__self__", None) is torch.Tensor.data
    )


def _same_memory(one: Tensor, other: Tensor) -> bool:
    return one.numel() > 0 and one.device == other.device and one.data_ptr() == other.data_ptr()
