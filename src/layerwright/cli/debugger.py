"""`layerwright check --pdb`: stop where a finding points to."""

import pdb  # noqa: T100 - it is what was asked for
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layerwright.cli.checked_layers import CheckRequest


def debug(request: "CheckRequest") -> int:
    """Check in this process, then run forward and backward under pdb with a breakpoint.

    The breakpoint is at the line of the first finding that has one; a layer that raises stops
    where it raised.

    Returns:
        1 if there was a finding of severity error, else 0.
    """
    from layerwright.cli.checked_layers import case_of, check_layer, list_layers
    from layerwright.contract.building import subject_of
    from layerwright.contract.gradients import projection

    code = 0
    for name in list_layers(request).names:
        report = check_layer(request, name)
        print(report)
        code = max(code, 0 if report.ok else 1)
        finding = next((item for item in report.findings if item.file and item.line), None)
        if finding is None:
            print("no finding points to a line: nothing to stop at")
            continue
        subject = subject_of(case_of(request, name), request.seed, lambda cls: {})  # noqa: ARG005
        if subject.inputs is None:
            print("no example inputs: nothing to run. Fix: --input 4x3x32x32")
            continue
        inputs = subject.inputs.requiring_grad()
        debugger = pdb.Pdb()
        problem = debugger.set_break(str(finding.file), finding.line or 1)
        if problem:
            print(problem)

        def run(layer=subject.layer, inputs=inputs) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
            loss = projection(layer(*inputs.args, **inputs.kwargs))
            if loss is not None:
                loss.backward()

        print(f"stopping at {finding.place}: {finding.rule_id} {finding.rule_name}")
        try:
            debugger.runcall(run)
        except Exception:  # noqa: BLE001 - the layer's own: look at it where it happened
            pdb.post_mortem(sys.exc_info()[2])
    return code
