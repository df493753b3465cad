"""`lw.trace`: what passes through a network on one batch, forward and backward."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from layerwright.errors import OptionError
from layerwright.initialization.examples import example_inputs_of, floats_in
from layerwright.initialization.signal.watching import projected
from layerwright.initialization.undisturbed import undisturbed
from layerwright.inspection.trace_recorder import Recorder
from layerwright.inspection.trace_statistics import LayerStatistics
from layerwright.inspection.trace_troubles import Trouble, saturated_layer, troubles
from layerwright.random_numbers import seed_all_devices

if TYPE_CHECKING:
    from rich.console import Group

_WIDTH = 100


@dataclass(frozen=True)
class Trace:
    """What each layer of a network put out on one batch, and the gradients that came back.

    Attributes:
        subject: name of the network's class.
        training: whether the network was in training mode.
        gradient_of: what was differentiated.
        layers: the input, each layer and activation in the order of first calls, and the output.
        troubles: the first layer that dies or explodes, for each kind of it; empty for none.
        notes: what is worth knowing beside it, and what could not be measured.
    """

    subject: str
    training: bool
    gradient_of: str
    layers: tuple[LayerStatistics, ...]
    troubles: tuple[Trouble, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether no layer dies or explodes."""
        return not self.troubles

    @property
    def verdict(self) -> str:
        """The first layer that dies or explodes, in words."""
        lines = [trouble.text for trouble in self.troubles] or ["no layer dies or explodes"]
        lines.extend(f"note: {note}" for note in self.notes)
        return "\n".join(_filled(line) for line in lines)

    def __str__(self) -> str:
        """Return the table and the verdict."""
        from layerwright.inspection.trace_table import as_text  # noqa: PLC0415 - needs rich

        return f"{as_text(self._table())}\n{self.verdict}"

    def __rich__(self) -> "Group":
        """Return the table in colour, and the verdict, for rich's console."""
        from rich.console import Group  # noqa: PLC0415 - imported where it is used
        from rich.text import Text  # noqa: PLC0415

        return Group(self._table(), Text(self.verdict))

    def find(self, name: str) -> LayerStatistics | None:
        """Return the row of this name."""
        return next((layer for layer in self.layers if layer.name == name), None)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain values, for JSON."""
        return {"ok": self.ok, "verdict": self.verdict, **asdict(self)}

    def save(self, file: str | Path) -> None:
        """Write all numbers as JSON.

        Raises:
            OptionError: the suffix is not .json, or the file cannot be written.
        """
        path = Path(file)
        if path.suffix != ".json":
            raise OptionError(f"a trace expected a file .json, received {str(path)!r}.")
        try:
            path.write_text(json.dumps(self.as_dict(), indent=1, allow_nan=False) + "\n")
        except OSError as error:
            raise OptionError(f"{path} cannot be written: {error.strerror}.") from error

    def _table(self) -> Any:
        from layerwright.inspection.trace_table import table_of  # noqa: PLC0415 - needs rich

        mode = "training" if self.training else "eval"
        title = f"{self.subject} in {mode} mode, gradients of {self.gradient_of}"
        return table_of(self.layers, title, [trouble.layer for trouble in self.troubles])


def trace(
    network: nn.Module,
    inputs: Any,
    target: Any = None,
    *,
    loss: Callable[..., Tensor] | None = None,
    seed: int = 0,
) -> Trace:
    """Run one batch through a network and back, and measure what passes each layer.

    The network keeps its mode, weights, buffers and gradients, and the random numbers of the
    process stay as they were. Layers are the modules that own weights, tables are embeddings, and
    activations are recognised by what they do, as modules and as functions such as `torch.relu`.

    Args:
        network: any network that has values, in training or in eval mode.
        inputs: a batch: a tensor, a tuple of forward's positional arguments, or a dict of its
            named ones.
        target: what `loss` compares the output with; None where it takes the output alone.
        loss: `(output, target) -> scalar` to differentiate; None takes a random projection of the
            output whose gradient there has norm 1.
        seed: of dropout and of the projection.

    Returns:
        The trace: `print(trace(...))` shows the table and names the first layer that dies or
        explodes; `layers`, `troubles`, `as_dict()` and `save("trace.json")` for programs.

    Raises:
        OptionError: the network is no module, does not run on the inputs, or the loss does not
            fit its output.
        ShapeError: a lazy module has not seen an input yet.

    Example:
        >>> print(trace(nn.Linear(4, 2), torch.randn(8, 4)).verdict)
        no layer dies or explodes
    """
    _check(network, target, loss)
    examples = example_inputs_of(inputs)
    leaves: list[Tensor] = []

    def given(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor.clone()
        leaves.append(tensor.detach().clone().requires_grad_())
        return leaves[-1].clone()  # a leaf would refuse layers that work in place

    recorder = Recorder(network)
    with torch.inference_mode(mode=False), torch.enable_grad(), undisturbed(network):
        recorder.attach()
        try:
            seed_all_devices(seed)
            arguments = examples.map(given)
            output = _forward(network, arguments.args, arguments.kwargs)
            scalar = _scalar(output, target, loss, seed)
            weights = [weight for weight in network.parameters() if weight.requires_grad]
            if scalar is not None and (wanted := [*leaves, *weights]):
                torch.autograd.grad(scalar, wanted, allow_unused=True)
        finally:
            recorder.remove()
    layers = recorder.statistics()
    return Trace(
        subject=type(network).__name__,
        training=network.training,
        gradient_of="a random projection of the output" if loss is None else "the loss",
        layers=layers,
        troubles=tuple(troubles(layers)),
        notes=tuple(_notes(layers, differentiated=scalar is not None)),
    )


def _check(network: Any, target: Any, loss: Any) -> None:
    if not isinstance(network, nn.Module):
        raise OptionError(
            f"trace expected an nn.Module, received {type(network).__name__}. "
            "Fix: pass the network itself."
        )
    if any(parameter.is_meta for parameter in network.parameters()):
        raise OptionError(
            "trace expected parameters with values, received some on the meta device. "
            'Fix: lw.initialize(network, device="cpu") first.'
        )
    if loss is not None and not callable(loss):
        raise OptionError(
            f"loss expected a callable (output, target) -> scalar, received {loss!r}. "
            "Fix: such as torch.nn.functional.cross_entropy."
        )
    if target is not None and loss is None:
        raise OptionError(
            "trace expected a loss to compare with the target, received none. "
            "Fix: loss=torch.nn.functional.cross_entropy, or leave the target out."
        )


def _forward(network: nn.Module, args: Any, kwargs: Any) -> Any:
    try:
        output = network(*args, **kwargs)
    except Exception as error:  # the network is the user's: anything
        raise OptionError(
            f"{type(network).__name__} expected to run on the inputs, and raised "
            f"{type(error).__name__}: {error}. Fix: pass a batch that it takes."
        ) from error
    if not floats_in(output):
        raise OptionError(
            f"{type(network).__name__} expected a floating-point output, and put out none. "
            "Fix: trace the part that computes scores."
        )
    return output


def _scalar(
    output: Any, target: Any, loss: Callable[..., Tensor] | None, seed: int
) -> Tensor | None:
    """Return what to differentiate; None where nothing depends on inputs or weights."""
    if loss is None:
        return projected(floats_in(output), seed)
    try:
        value = loss(output) if target is None else loss(output, target)
    except Exception as error:  # the loss is the user's: anything
        raise OptionError(
            f"the loss expected the network's output{'' if target is None else ' and the target'}, "
            f"and raised {type(error).__name__}: {error}. Fix: pass a target that fits."
        ) from error
    if not isinstance(value, Tensor) or value.numel() != 1:
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise OptionError(
            f"the loss expected to return a scalar, and returned {shape}. Fix: take its mean."
        )
    return value.sum() if value.requires_grad else None


def _notes(layers: tuple[LayerStatistics, ...], *, differentiated: bool) -> list[str]:
    notes = []
    if not differentiated:
        notes.append("gradients were not measured: nothing that is differentiated requires one")
    if (flat := saturated_layer(layers)) is not None:
        notes.append(f"{flat.saturated:.0%} of the values of {flat.name} lie where it is flat")
    if layers[-1].finite and layers[-1].varying is None:
        notes.append("whether samples differ was not measured: the batch holds one only")
    return notes


def _filled(text: str) -> str:
    return fill(text, _WIDTH, subsequent_indent="  ", break_long_words=False)
