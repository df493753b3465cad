"""`layerwright check`: the contract on one layer, a file, or a package."""

import re
import shlex
import shutil
import sys
from pathlib import Path
from sysconfig import get_path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from layerwright.cli.threads import use_threads
from layerwright.errors import OptionError, TargetError

if TYPE_CHECKING:
    from layerwright.cli.checked_layers import CheckRequest, Listing
    from layerwright.contract.finding import Report
    from layerwright.contract.loading.child import Outcome

Flag = Parameter(negative=())

# what faulthandler prints of each frame, the innermost first, and whose frames say nothing
_FRAME = re.compile(r'File "(?P<file>[^"<]+)", line (?P<line>\d+) in (?P<function>\S+)')
_LIBRARY = re.compile(
    rf"(site|dist)-packages|^{re.escape(get_path('stdlib'))}"
    rf"|^{re.escape(str(Path(__file__).parents[1]))}"
)


def check(  # noqa: PLR0913 - the options of the command line
    target: str,
    /,
    *,
    inputs: Annotated[tuple[str, ...], Parameter(name="--input", negative=())] = (),
    tier: Literal["standard", "full"] = "standard",
    select: Annotated[tuple[str, ...], Flag] = (),
    ignore: Annotated[tuple[str, ...], Flag] = (),
    strict: Annotated[bool, Flag] = False,
    loss: str | None = None,
    loss_target: str | None = None,
    format: Literal["text", "json", "sarif", "html", "junit"] = "text",  # noqa: A002
    output: Path | None = None,
    verbose: Annotated[bool, Flag] = False,
    run_script: Annotated[bool, Flag] = False,
    pdb: Annotated[bool, Flag] = False,
    seed: int = 0,
    ranks: int = 0,
    time_limit: float = 120.0,
    memory_limit: float = 8.0,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Check whether a layer holds what a good layer promises.

    Each layer runs in a process of its own, which may crash, hang or eat memory: that is reported,
    and the next layer follows. Of a script only imports, definitions and simple assignments run.

    Args:
        target: file.py, file.py:Net, "file.py:Net(3, bias=False)", pkg.mod, pkg.mod:Net, or a
            built-in network.
        inputs: forward's arguments: SHAPE[:DTYPE[:LOW..HIGH]], such as 2x3x32x32,
            4x7:int64:0..100 or mask=4x7:bool; repeatable. Default: example_inputs of the class.
        tier: standard, the default, or full with compilers, export and distribution.
        select: id, beginning of an id, or name of the rules to run; repeatable.
        ignore: id, beginning of an id, or name of the rules to leave out; repeatable.
        strict: warnings too make the exit code 1.
        loss: built-in loss, or file.py:name, for the rules that look at layer and loss together.
        loss_target: the loss's target, written as for --input.
        format: text, the default, json, sarif, html or junit.
        output: file to write the report to; default the terminal.
        verbose: list every rule and its outcome.
        run_script: run all of a script, its training too.
        pdb: stop in the debugger at the line that the first finding points to.
        seed: of everything random; default 0.
        ranks: number of processes, from 2, that train copies of the layer together, for the rules
            that look at several: DST003 and DST004. Linux only.
        time_limit: seconds for one layer; default 120.
        memory_limit: gigabytes for one layer; default 8.
        as_json: the same as --format json.
    """
    use_threads(None)
    from layerwright.cli.checked_layers import CheckRequest, with_options
    from layerwright.cli.project_config import project_config

    if time_limit <= 0 or memory_limit <= 0:
        raise OptionError("--time-limit and --memory-limit expected positive numbers.")
    request = CheckRequest(
        target=target,
        inputs=inputs,
        loss=loss,
        loss_target=loss_target,
        tier=tier,
        seed=seed,
        ranks=ranks,
        run_script=run_script,
        config=with_options(project_config(), select, ignore),
        command=_command(
            target, inputs, loss, loss_target, tier, seed, ranks, run_script=run_script
        ),
    )
    if pdb:
        from layerwright.cli.debugger import debug

        return debug(request)
    reports = _reports(request, time_limit, int(memory_limit * 2**30))
    _write(reports, "json" if as_json else format, output, verbose=verbose, strict=strict)
    return _exit_code(reports, strict=strict)


def _command(
    target: str,
    inputs: tuple[str, ...],
    loss: str | None,
    loss_target: str | None,
    tier: str,
    seed: int,
    ranks: int,
    *,
    run_script: bool,
) -> str:
    """Return the command line that repeats this check, without the choice of rules."""
    words = ["layerwright", "check", target]
    for spec in inputs:
        words += ["--input", spec]
    if loss is not None:
        words += ["--loss", loss]
    if loss_target is not None:
        words += ["--loss-target", loss_target]
    if tier != "standard":
        words += ["--tier", tier]
    if seed:
        words += ["--seed", str(seed)]
    if ranks:
        words += ["--ranks", str(ranks)]
    if run_script:
        words.append("--run-script")
    return shlex.join(words)


def _reports(request: "CheckRequest", time_limit: float, memory_limit: int) -> "list[Report]":
    from dataclasses import replace

    from layerwright.cli.checked_layers import check_layer, list_layers
    from layerwright.contract.loading.child import Worker

    limits: dict[str, Any] = {"time_limit_s": time_limit, "memory_limit_bytes": memory_limit}
    with Worker() as worker:
        listing: Listing = value_of(worker.run(list_layers, request, **limits), request.target)
        reports = []
        for name in listing.names:
            outcome = worker.run(check_layer, request, name, **limits)
            if outcome.ended == "returned":
                reports.append(outcome.value)
            elif outcome.ended == "raised":
                value_of(outcome, name)
            else:
                reports.append(report_of_death(name, outcome, request))
    if reports and listing.notes:
        reports[0] = replace(reports[0], notes=(*listing.notes, *reports[0].notes))
    return [*listing.failures, *reports]


def value_of(outcome: "Outcome", name: str) -> Any:
    """Return what the child returned; a user's mistake becomes the same error here."""
    from layerwright import errors

    if outcome.ended == "returned":
        return outcome.value
    kind, _, text = outcome.error.removeprefix("raised ").partition(": ")
    cls = getattr(errors, kind.split(".")[-1], None)
    if isinstance(cls, type) and issubclass(cls, errors.LayerwrightError):
        raise cls(text)
    said = f" It said: {outcome.output.strip()[-300:]}" if outcome.output.strip() else ""
    raise TargetError(f"{name} could not be loaded: its process {outcome.error}.{said}")


def report_of_death(name: str, outcome: "Outcome", request: "CheckRequest") -> "Report":
    """Report a layer that took its process with it, and the line that it stood at."""
    from layerwright.contract.outside import PROCESS_ENDS

    during = f" during {outcome.progress}" if outcome.progress else " while it was built"
    said, _, stack = outcome.output.partition("Fatal Python error:")
    frames = [found for found in _FRAME.finditer(stack) if not _LIBRARY.search(found["file"])]
    at = frames[0] if frames else None
    return PROCESS_ENDS.report(
        name.rsplit(":", maxsplit=1)[-1],
        where=at["function"] if at else "the layer's process",
        expected="a layer that answers or raises",
        found=f"it {outcome.error}{during}",
        file=at["file"] if at else None,
        line=int(at["line"]) if at else None,
        reproduce=request.command,
        seconds=outcome.seconds,
        tier=request.tier,
        notes=tuple(f"its output: {line}" for line in said.strip().splitlines()[-5:]),
    )


def _write(
    reports: "list[Report]", kind: str, output: Path | None, *, verbose: bool, strict: bool
) -> None:
    from layerwright.reports import render

    options: dict[str, Any] = {}
    if kind == "text":
        colour = output is None and sys.stdout.isatty()
        width = min(shutil.get_terminal_size().columns, 100)
        options = {"verbose": verbose, "colour": colour, "width": width}
    elif kind == "junit":
        options = {"strict": strict}
    text = render(reports, kind, **options)
    if output is None:
        print(text, end="" if text.endswith("\n") else "\n")
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OptionError(f"--output {output} cannot be written: {error.strerror}.") from error


def _exit_code(reports: "list[Report]", *, strict: bool) -> int:
    """Return 1 for an error, under --strict for a warning, or if nothing at all was judged."""
    severities = {finding.severity for report in reports for finding in report.findings}
    if "error" in severities or (strict and "warning" in severities):
        return 1
    return 0 if any(report.judged for report in reports) else 1
