"""The summary as text: a row for each call, the totals below."""

from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from textwrap import wrap
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from layerwright.inspection.network_summary import ModuleSummary, NetworkSummary
from layerwright.inspection.quantities import memory, share, short_count
from layerwright.inspection.recording import TensorForm

_WIDTH = 100
_MAX_LINES = 60
_MAX_EQUAL = 3  # calls of one module with equal outputs that get a line each


class _Row(NamedTuple):
    level: int
    label: str
    module: ModuleSummary
    times: int


def text_of(summary: NetworkSummary, depth: int | None) -> str:
    """Return tree, totals, notes and failure.

    Args:
        summary: of a network.
        depth: levels of the tree; None for as many as give few lines.
    """
    deepest = max((row.level for row in _all_rows(summary, None)), default=0)
    shown = deepest if depth is None else depth
    rows = list(_all_rows(summary, shown))
    while depth is None and len(rows) > _MAX_LINES and shown > 1:
        shown -= 1
        rows = list(_all_rows(summary, shown))
    lines = [_table(summary, rows)]
    if shown < deepest:
        lines.append(f"{shown} of {deepest} levels; --depth {deepest} shows all")
    for line in (*_totals(summary), *(f"note: {note}" for note in summary.notes)):
        lines += wrap(line, _WIDTH, subsequent_indent="  ")
    if summary.failure is not None:
        lines += ["", str(summary.failure)]
    return "\n".join(lines)


def _all_rows(summary: NetworkSummary, depth: int | None) -> Iterator[_Row]:
    for module in summary.modules:
        yield from _rows(module, summary.name, 0, depth)


def _rows(
    module: ModuleSummary, label: str, level: int, depth: int | None, times: int = 1
) -> Iterator[_Row]:
    """Yield a row for a call and rows for what is inside; many equal calls become one row."""
    yield _Row(level, label, module, times)
    if depth is not None and level >= depth:
        return
    done: set[int] = set()
    for place, part in enumerate(module.parts):
        if place in done:
            continue
        same = [
            other
            for other in range(place, len(module.parts))
            if module.parts[other].path == part.path
            and [item.shape for item in module.parts[other].outputs]
            == [item.shape for item in part.outputs]
            and module.parts[other].status == part.status
        ]
        label = part.path.removeprefix(f"{module.path}." if module.path else "")
        if len(same) <= _MAX_EQUAL:
            yield from _rows(part, label, level + 1, depth)
            continue
        done |= set(same)
        equal = [module.parts[other] for other in same]
        whole = replace(
            part,
            flops=sum(item.flops for item in equal),
            backward_flops=(
                None
                if part.backward_flops is None
                else sum(item.backward_flops or 0 for item in equal)
            ),
            kept_bytes=sum(item.kept_bytes for item in equal),
        )
        yield from _rows(whole, label, level + 1, depth, len(same))


def _table(summary: NetworkSummary, rows: list[_Row]) -> str:
    table = Table(title=_title(summary), title_justify="left")
    table.add_column("module", overflow="fold")
    table.add_column("output", overflow="fold")
    for name in ("parameters", "FLOPs", *(["backward"] if _has_backward(summary) else ()), "kept"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        output = _outputs(row.module, "not called" if summary.ok else "not reached")
        table.add_row(Text(_label(row)), Text(output), *_cells(summary, row.module))
    console = Console(file=StringIO(), width=_WIDTH, color_system=None)
    console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines())


def _title(summary: NetworkSummary) -> str:
    given = ", ".join(_form(item) for item in summary.inputs)
    return f"{summary.name} on {given}" if given else summary.name


def _label(row: _Row) -> str:
    module = row.module
    kind = "" if row.level == 0 else f" {module.kind}"
    calls = ""
    if row.times > 1:
        calls = f" x{row.times}"
    elif module.num_calls > 1:
        calls = f" (call {module.call} of {module.num_calls})"
    mark = " <- failed here" if module.status == "failed" and not _fails_inside(module) else ""
    return f"{'  ' * row.level}{row.label}{kind}{calls}{mark}"


def _fails_inside(module: ModuleSummary) -> bool:
    return any(part.status == "failed" for part in module.parts)


def _outputs(module: ModuleSummary, absent: str) -> str:
    if module.status != "finished":
        return "" if module.status == "failed" else absent
    return ", ".join(_form(item) for item in module.outputs) or "no tensor"


def _form(item: TensorForm) -> str:
    plain = not item.name or item.name.startswith(("[", "input "))
    name = "" if plain else f"{item.name.lstrip('.')}: "
    dtype = "" if item.dtype == "float32" else f" {item.dtype}"
    return f"{name}{'x'.join(map(str, item.shape)) or 'scalar'}{dtype}"


def _cells(summary: NetworkSummary, module: ModuleSummary) -> list[str]:
    again = module.call > 1
    parameters = "" if not module.num_parameters else f"{module.num_parameters:,}"
    if again and parameters:
        parameters = "(shared)"
    elif module.num_parameters and not module.num_trainable:
        parameters += " frozen"
    cells = [parameters, short_count(module.flops) if module.flops else ""]
    if _has_backward(summary):
        cells.append(short_count(module.backward_flops) if module.backward_flops else "")
    return [*cells, memory(module.kept_bytes) if module.kept_bytes else ""]


def _has_backward(summary: NetworkSummary) -> bool:
    return summary.backward_flops is not None


def _totals(summary: NetworkSummary) -> list[str]:
    number = summary.num_trainable + summary.num_frozen
    parameters = f"{summary.num_trainable:,} trainable, {summary.num_frozen:,} frozen"
    sizes = f"{memory(summary.parameter_bytes)}; buffers {memory(summary.buffer_bytes)}"
    lines = [f"parameters: {number:,} ({parameters}), {sizes}"]
    lines += [f"shared, counted once: {' = '.join(names)}" for names in summary.shared]
    flops = f"FLOPs: forward {short_count(summary.flops)}"
    if summary.backward_flops is not None:
        flops += f", backward {short_count(summary.backward_flops)}"
    if summary.counted_time_share is not None:
        flops += f"; counted operators take {share(summary.counted_time_share)} of the time"
    lines.append(flops + " (a multiply-add is 2)")
    if summary.uncounted:
        lines.append(f"FLOPs not known, share of the time: {_uncounted(summary)}")
    if summary.backward_uncounted:
        names = ", ".join(_short(name) for name in summary.backward_uncounted)
        lines.append(f"FLOPs not known in the backward pass, not timed: {names}")
    mode = "training" if summary.training else "eval"
    how = "with values" if summary.with_values else "from shapes alone, nothing computed"
    lines.append(
        f"memory: inputs {memory(summary.input_bytes)}; kept for the backward pass "
        f"{memory(summary.kept_bytes)} in {mode} mode ({how})"
    )
    return lines


def _uncounted(summary: NetworkSummary) -> str:
    if summary.counted_time_share is None:
        names = ", ".join(f"{_short(item.name)} x{item.num_calls}" for item in summary.uncounted)
        return f"not measured: {names}"
    return ", ".join(f"{_short(item.name)} {share(item.time_share)}" for item in summary.uncounted)


def _short(name: str) -> str:
    return name.removeprefix("aten.")
