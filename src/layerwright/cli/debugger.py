"""`layerwright check --pdb`: stop where a finding points to."""

import linecache
import pdb  # noqa: T100 - it is what was asked for
import sys
from dis import findlinestarts
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from layerwright.cli.checked_layers import CheckRequest
    from layerwright.contract.finding import Report


def debug(request: "CheckRequest") -> int:
    """Check in this process, then run forward and backward under pdb with a breakpoint.

    The breakpoint is at the line of the first finding that has one, or at the first line of
    forward if that line is the head of a class; a layer that raises stops where it raised. `quit`
    goes on to the next layer.

    Returns:
        1 if there was a finding of severity error, or nothing could be judged, else 0.
    """
    from layerwright.cli.checked_layers import case_of, check_layer, list_layers
    from layerwright.contract.building import subject_of

    listing = list_layers(request)
    for failure in listing.failures:
        print(failure)
    reports = []
    for name in listing.names:
        report = check_layer(request, name)
        reports.append(report)
        print(report)
        if not any(finding.line for finding in report.findings):
            print("no finding points to a line: nothing to stop at")
            continue
        subject = subject_of(case_of(request, name), request.seed, request.config.traits_of)
        if subject.inputs is None:
            print("no example inputs: nothing to run. Fix: --input 4x3x32x32")
            continue
        # copies, because autograd refuses to let forward write into leaves
        inputs = subject.inputs.requiring_grad().map_floats(lambda tensor: tensor.clone())
        place, why = _breakpoint(report, subject.layer)
        _run(subject.layer, inputs.args, dict(inputs.kwargs), place, why)
    if listing.failures or any(not report.ok for report in reports if report.judged):
        return 1
    return 0 if any(report.judged for report in reports) else 1


def _breakpoint(report: "Report", layer: "nn.Module") -> tuple[tuple[str, int], str]:
    """Return file and line to stop at, and why."""
    finding = next(item for item in report.findings if item.file and item.line)
    file, line = str(finding.file), int(finding.line or 1)
    why = f"{finding.rule_id} {finding.rule_name}"
    text = linecache.getline(file, line).lstrip()
    if not text.startswith(("class ", "@", "def ")):
        return (file, line), why
    code = getattr(type(layer).forward, "__code__", None)
    if code is None:
        return (file, line), why
    lines = [number for _, number in findlinestarts(code) if number]
    first = next((number for number in lines if number > code.co_firstlineno), lines[-1])
    return (code.co_filename, first), why


def _run(
    layer: "nn.Module", args: tuple[object, ...], kwargs: dict[str, object],
    place: tuple[str, int], why: str,
) -> None:  # fmt: skip
    from layerwright.contract.gradients import projection

    def run() -> bool:
        loss = projection(layer(*args, **kwargs))
        if loss is not None:
            loss.backward()
        return True

    debugger = pdb.Pdb()
    problem = debugger.set_break(*place)
    if problem:
        print(problem)
    debugger.rcLines.append("continue")  # go to the breakpoint, not to the first line of run
    print(f"stopping at {place[0]}:{place[1]} for {why}")
    try:
        ended = debugger.runcall(run)  # None after quit
    except Exception as error:  # noqa: BLE001 - the layer's own: look at it where it happened
        print(f"{type(error).__name__}: {error}")
        pdb.post_mortem(sys.exc_info()[2])
    else:
        print("forward and backward have ended" if ended else "quit")
