"""`lw.summary`: shapes, parameters, floating-point operations and memory of any network."""

from collections import Counter
from typing import Any

from torch import nn

from layerwright.inspection.example_inputs import inputs_of, size_bytes_of
from layerwright.inspection.network_summary import (
    ModuleSummary,
    NetworkSummary,
    UncountedOperator,
)
from layerwright.inspection.operator_times import OperatorTimes, operator_times
from layerwright.inspection.parameter_counts import counts_of, memory_bytes_of
from layerwright.inspection.passes import Pass, Source, look
from layerwright.inspection.recording import Call, Recorder, Recording

_MAX_TIMED_BYTES = 2**30  # of parameters and of activations: larger networks are not timed
_MAX_TIMED_FLOPS = 5 * 10**10


def summary(
    network: Any, inputs: Any = None, *, backward: bool = False, time: bool = True, seed: int = 0
) -> NetworkSummary:
    """Return a network's tree of calls with shapes, parameters, FLOPs and memory.

    Where shapes allow it nothing is computed and no memory is taken, so that a network of any
    size can be looked at: hand over its class, or a function that builds it, and its weights are
    not built either. A network whose course depends on values is run, and the summary says so.
    What is handed over is never changed.

    FLOPs are the multiplications and additions of matrix products, convolutions, attention and
    recurrent layers; a multiply-add is two. Operators whose count is not known are listed by name
    with their share of the time.

    Args:
        network: an `nn.Module`, in the mode that it shall be seen in, or a class or function that
            builds one without arguments.
        inputs: a tensor; a shape such as (4, 3, 32, 32), in the parameters' dtype; a tuple or list
            of both, for several arguments, () for none; a dict, for named ones; None for the
            network's `example_inputs`.
        backward: count the backward pass to all parameters too.
        time: measure shares of the time, in a real pass, if the network is small enough.
        seed: of the real pass.

    Returns:
        The summary: `modules`, the tree; totals; `failure` if the network does not run. `str()`
        is a table.

    Raises:
        OptionError: the network cannot be built, or there are no inputs.

    Example:
        >>> print(summary(nn.Linear(3, 2), (4, 3)).flops)
        48
    """
    source = Source(network, None if inputs is None else inputs_of(inputs, network), seed)

    found = look(source, lambda module, given: Recorder(module, given, backward=backward))
    recording, notes = found.seen.recording, list(found.notes)
    counts = counts_of(found.network)
    calls = list(recording.calls())
    kept = sum(call.costs.kept_bytes for call in recording.outside.walk())
    flops = sum(call.costs.flops for call in recording.outside.walk())
    times = OperatorTimes({}, 0.0)
    if time and found.failure is None:
        times, reason = _times(source, found, max(kept, counts.num_bytes), flops)
        if reason:
            notes.append(f"time not measured: {reason}")
    if backward and recording.backward_error:
        notes.append(f"backward pass not counted: {recording.backward_error}")
    if counts.unknown:
        notes.append(f"not counted, the first call decides: {', '.join(counts.unknown[:5])}")
    if "aten.mkldnn_rnn_layer" in recording.operators and not found.with_values:
        notes.append("kept memory lacks what recurrent layers on the CPU keep for themselves")
    counted_backward = backward and not recording.backward_error and found.failure is None
    uncounted = _uncounted(recording.uncounted, times)
    return NetworkSummary(
        name=found.name,
        ok=found.failure is None,
        modules=_tree(found.network, recording, with_backward=counted_backward),
        inputs=calls[0].inputs if calls else (),
        outputs=recording.outputs,
        num_trainable=counts.num_trainable,
        num_frozen=counts.num_frozen,
        shared=counts.shared,
        parameter_bytes=counts.num_bytes,
        buffer_bytes=memory_bytes_of(found.network.buffers()),
        input_bytes=size_bytes_of(found.inputs),
        kept_bytes=kept,
        flops=flops,
        backward_flops=(
            sum(call.costs.backward_flops for call in recording.outside.walk())
            if counted_backward
            else None
        ),
        uncounted=uncounted,
        backward_uncounted=tuple(sorted(recording.backward_uncounted)),
        counted_time_share=(
            1 - sum(item.time_share or 0 for item in uncounted) if times.total_s else None
        ),
        training=found.network.training,
        with_values=found.with_values,
        failure=found.failure,
        notes=tuple(notes),
    )


def _times(
    source: Source, found: Pass[Any], num_bytes: int, flops: int
) -> tuple[OperatorTimes, str]:
    """Measure in a real pass; return nothing, and the reason, if that is not possible."""
    nothing = OperatorTimes({}, 0.0)
    if num_bytes > _MAX_TIMED_BYTES:
        return nothing, f"it needs {num_bytes / 2**30:.1f} GiB"
    if flops > _MAX_TIMED_FLOPS:
        return nothing, f"a pass takes {flops / 1e9:.0f} GFLOPs"
    try:
        with source.with_values() as (network, inputs):
            if not found.network.training:
                network.eval()
            return operator_times(network, inputs), ""
    except Exception as error:  # noqa: BLE001 - a network may raise anything
        text = " ".join(str(error).split())[:150]
        return nothing, f"the real pass raised {type(error).__name__}: {text}"


def _uncounted(names: Counter[str], times: OperatorTimes) -> tuple[UncountedOperator, ...]:
    found = [
        UncountedOperator(
            name,
            names[name],
            times.uncounted_s.get(name, 0.0) / times.total_s if times.total_s else None,
        )
        for name in dict.fromkeys([*names, *times.uncounted_s])
    ]
    return tuple(sorted(found, key=lambda item: (-(item.time_share or 0), item.name)))


def _tree(
    network: nn.Module, recording: Recording, *, with_backward: bool
) -> tuple[ModuleSummary, ...]:
    """Turn calls into their summaries, and put in the modules that were not called."""
    totals = Counter(call.module for call in recording.calls())
    paths = {module: path for path, module in network.named_modules()}
    uncalled = _uncalled(network, set(totals))
    seen: Counter[nn.Module] = Counter()

    def summarised(call: Call) -> ModuleSummary:
        seen[call.module] += 1
        number = seen[call.module]
        parts = [summarised(part) for part in call.parts]
        if number == 1:
            parts += [_not_called(paths[item], item) for item in uncalled.get(call.module, ())]
        inside = list(call.walk())
        counts = counts_of(call.module)
        return ModuleSummary(
            path=call.path,
            kind=type(call.module).__name__,
            status="finished" if call.finished else "failed",
            call=number,
            num_calls=totals[call.module],
            inputs=call.inputs,
            outputs=call.outputs,
            num_parameters=counts.num_values,
            num_trainable=counts.num_trainable,
            flops=sum(item.costs.flops for item in inside),
            backward_flops=(
                sum(item.costs.backward_flops for item in inside) if with_backward else None
            ),
            kept_bytes=sum(item.costs.kept_bytes for item in inside),
            parts=tuple(parts),
        )

    return tuple(summarised(call) for call in recording.outside.parts)


def _uncalled(network: nn.Module, called: set[nn.Module]) -> dict[nn.Module, list[nn.Module]]:
    """Return the modules that were not called, nor any part of them, by who was called above."""
    found: dict[nn.Module, list[nn.Module]] = {}

    def visit(module: nn.Module, above: nn.Module) -> None:
        above = module if module in called else above
        for child in module.children():
            if any(part in called for part in child.modules()):
                visit(child, above)
            elif child not in found.setdefault(above, []):
                found[above].append(child)

    visit(network, network)
    return found


def _not_called(path: str, module: nn.Module) -> ModuleSummary:
    counts = counts_of(module)
    return ModuleSummary(
        path=path,
        kind=type(module).__name__,
        status="not called",
        call=0,
        num_calls=0,
        inputs=(),
        outputs=(),
        num_parameters=counts.num_values,
        num_trainable=counts.num_trainable,
        flops=0,
        backward_flops=None,
        kept_bytes=0,
        parts=(),
    )
