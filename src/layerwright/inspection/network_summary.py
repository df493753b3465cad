"""What `lw.summary` returns: the tree of calls and what each of them costs."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from layerwright.inspection.failures import Failure
from layerwright.inspection.recording import TensorForm


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleSummary:
    """One call of a module, or a module that was not called.

    Attributes:
        path: as `named_modules` calls the module; "" is the network.
        kind: name of its class.
        status: "finished"; "failed": it, or a part of it, raised; "not called".
        call: which call of this module it is, from 1; 0 if it was not called.
        num_calls: how often it was called in all.
        inputs: forms of the tensors that it was called with.
        outputs: forms of the tensors that it returned.
        num_parameters: values of its parameters and those of its parts, each counted once.
        num_trainable: those of them that require a gradient.
        flops: floating-point operations of the forward pass, of its parts too.
        backward_flops: those of the backward pass; None if there was none.
        kept_bytes: memory that autograd keeps from this call for the backward pass, of its parts
            too; what an earlier call keeps already is not counted again.
        parts: calls inside it, in order; behind them its modules that were not called.
    """

    path: str
    kind: str
    status: str
    call: int
    num_calls: int
    inputs: tuple[TensorForm, ...]
    outputs: tuple[TensorForm, ...]
    num_parameters: int
    num_trainable: int
    flops: int
    backward_flops: int | None
    kept_bytes: int
    parts: tuple["ModuleSummary", ...]

    def walk(self) -> Iterator["ModuleSummary"]:
        """Yield this call and all inside it."""
        yield self
        for part in self.parts:
            yield from part.walk()


@dataclass(frozen=True, slots=True)
class UncountedOperator:
    """An operator whose floating-point operations are not known.

    Attributes:
        name: such as "aten.native_batch_norm".
        num_calls: how often it ran in the forward pass.
        time_share: its share of the time of all operators, 0 to 1; None if not measured.
    """

    name: str
    num_calls: int
    time_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSummary:
    """A network, as one pass showed it. `str()` is a table.

    Attributes:
        name: of the network's class.
        ok: whether the pass ended; `failure` says why not.
        modules: the network's calls, as trees; one, as a rule.
        inputs: forms of its inputs.
        outputs: forms of its outputs.
        num_trainable: values of parameters that require a gradient, shared ones counted once.
        num_frozen: values of the others.
        shared: names of parameters that are one and the same, in groups.
        parameter_bytes: memory of the parameters.
        buffer_bytes: memory of the buffers.
        input_bytes: memory of the inputs.
        kept_bytes: memory that autograd keeps for the backward pass, without parameters, buffers
            and inputs.
        flops: floating-point operations of the forward pass, of the operators that are counted.
        backward_flops: those of the backward pass; None if none was asked for or it failed.
        uncounted: operators of the forward pass whose operations are not in `flops`.
        backward_uncounted: names of those of the backward pass.
        counted_time_share: share of the time of the operators that are counted, 0 to 1; None if
            not measured.
        training: whether the network was in training mode.
        with_values: whether the network was computed; else only shapes were followed.
        failure: why the pass did not end; None if it did.
        notes: what a reader must know.
    """

    name: str
    ok: bool
    modules: tuple[ModuleSummary, ...]
    inputs: tuple[TensorForm, ...]
    outputs: tuple[TensorForm, ...]
    num_trainable: int
    num_frozen: int
    shared: tuple[tuple[str, ...], ...]
    parameter_bytes: int
    buffer_bytes: int
    input_bytes: int
    kept_bytes: int
    flops: int
    backward_flops: int | None
    uncounted: tuple[UncountedOperator, ...]
    backward_uncounted: tuple[str, ...]
    counted_time_share: float | None
    training: bool
    with_values: bool
    failure: Failure | None
    notes: tuple[str, ...]

    def __str__(self) -> str:
        """Return the tree and the totals, at most 100 characters wide."""
        return self.as_text()

    def as_text(self, depth: int | None = None) -> str:
        """Return the tree and the totals.

        Args:
            depth: levels of the tree to show; None for as many as give no more than 60 lines.
        """
        from layerwright.inspection.summary_table import text_of  # noqa: PLC0415 - needs rich

        return text_of(self, depth)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain values, for JSON."""
        return asdict(self) | {
            "inputs": [item._asdict() for item in self.inputs],
            "outputs": [item._asdict() for item in self.outputs],
            "modules": [_module_as_dict(item) for item in self.modules],
        }


def _module_as_dict(module: ModuleSummary) -> dict[str, Any]:
    found = {name: getattr(module, name) for name in ModuleSummary.__slots__}
    return found | {
        "inputs": [item._asdict() for item in module.inputs],
        "outputs": [item._asdict() for item in module.outputs],
        "parts": [_module_as_dict(item) for item in module.parts],
    }
