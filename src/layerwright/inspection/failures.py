"""A network that does not run: which module stopped, what it wanted, and what to write."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from layerwright.contract.evidence.forward_errors import Scene, Words, explained
from layerwright.contract.evidence.module_calls import recorded_calls
from layerwright.contract.rule import LayerRaised
from layerwright.contract.source import Place, is_users
from layerwright.contract.torch_compat.dispatch import OpRecorder
from layerwright.contract.trees import Inputs

_OURS = str(Path(__file__).parent)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a network did not run, in words.

    Attributes:
        where: path of the module that raised; "forward" for the network's own.
        expected: what it takes.
        found: what arrived.
        fix: what to write.
        raised: the error itself.
        file: of the line that raised; None if it is none of the user's.
        line: its number.
    """

    where: str
    expected: str
    found: str
    fix: str
    raised: str
    file: str | None
    line: int | None

    def __str__(self) -> str:
        """Return all of it."""
        at = f" ({self.file}, line {self.line})" if self.file else ""
        return (
            f"{self.where} does not run{at}\n  expected: {self.expected}\n  found:    {self.found}"
            f"\n  fix:      {self.fix}\n  raised:   {self.raised}"
        )


def failure_of(network: nn.Module, inputs: Inputs, error: Exception) -> Failure:
    """Run a network that raised once more, and tell what it meant.

    Args:
        network: its state may have changed since.
        inputs: what it was called with.
        error: what it raised.
    """
    raised, recorder = LayerRaised(error), OpRecorder(with_places=False)
    with torch.no_grad(), recorded_calls(network) as calls, recorder:
        try:
            network(*inputs.args, **inputs.kwargs)
        except Exception as again:  # noqa: BLE001 - a network may raise anything
            if type(again) is type(error):
                raised = LayerRaised(again)
    shapes = tuple(tuple(item.shape) for call in recorder.calls for item in call.tensors_out)
    scene = Scene(network, inputs, calls, shapes, raised)
    try:
        words = explained(scene)
    except Exception:  # noqa: BLE001 - tensors without values cannot be asked for them
        words = Words("an output", f"it raised {raised.words}", "correct this line")
    place = place_of(raised.error)
    return Failure(
        where=(scene.last.path if scene.last else "") or "forward",
        expected=words.expected,
        found=words.found,
        fix=words.fix,
        raised=raised.words,
        file=place.file,
        line=place.line,
    )


def place_of(error: BaseException) -> Place:
    """Return the deepest line of the user's code that an exception passed through."""
    found, trace = Place(), error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if is_users(file) and not file.startswith(_OURS):
            found = Place(file, trace.tb_lineno)
        trace = trace.tb_next
    return found
