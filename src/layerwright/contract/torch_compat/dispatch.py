"""Watching operators run: torch's dispatch modes live in a private module."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from layerwright.contract.source import Place, place_of_call
from layerwright.contract.trees import named_tensors


@dataclass(frozen=True)
class OpCall:
    """One operator that ran.

    Attributes:
        name: like "aten::add.Tensor".
        overload: the operator itself.
        args: its positional arguments.
        kwargs: its keyword arguments.
        output: what it returned.
        place: the line of the user's code that called it.
    """

    name: str
    overload: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any
    place: Place

    @property
    def namespace(self) -> str:
        """Like "aten", or a library's own."""
        return self.name.split("::")[0]

    @property
    def tensors_in(self) -> list[Tensor]:
        """The tensors among the arguments."""
        return [item.tensor for item in named_tensors((self.args, self.kwargs))]

    @property
    def tensors_out(self) -> list[Tensor]:
        """The tensors that came out."""
        return [item.tensor for item in named_tensors(self.output)]


@dataclass
class OpRecorder(TorchDispatchMode):
    """Records every operator that runs while it is entered, backward passes included.

    It keeps arguments and outputs alive: use it for one pass, and drop it.
    """

    calls: list[OpCall] = field(default_factory=list)
    with_places: bool = True

    def __post_init__(self) -> None:
        """Set the mode up."""
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator and note it."""
        del types
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        name = func.name() if isinstance(func, torch._ops.OpOverload) else str(func)  # noqa: SLF001
        place = place_of_call() if self.with_places else Place()
        self.calls.append(OpCall(name, func, args, kwargs, output, place))
        return output
