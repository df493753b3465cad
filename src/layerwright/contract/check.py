"""`layerwright.check`: run the contract on one layer."""

import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from layerwright import __version__
from layerwright.contract.building import subject_of
from layerwright.contract.case import Case
from layerwright.contract.catalog import catalog, selected
from layerwright.contract.finding import Finding, Report, Result
from layerwright.contract.probe import Probe
from layerwright.contract.reproduction import snippet_for
from layerwright.contract.rule import Rule, Tier
from layerwright.contract.runner import run_rules
from layerwright.contract.source import Place, place_of_class
from layerwright.contract.suppression import Config, Ignore, ignore_for, ignores_in, notes_on
from layerwright.errors import OptionError


def check(
    layer: nn.Module | Callable[[], nn.Module] | Case,
    *example_inputs: Any,
    loss: Callable[..., Any] | None = None,
    target: Any = None,
    tier: Tier = "standard",
    select: Iterable[str] | None = None,
    ignore: Iterable[str] | None = None,
    expect_failures: Mapping[str, str] | None = None,
    seed: int = 0,
    ranks: int = 0,
) -> Report:
    """Check whether a layer holds what a good layer promises.

    The layer, the inputs and all global state are left as they are: rules work on copies.

    Args:
        layer: an instance, a class or function that builds one without arguments, or a `Case`.
        *example_inputs: forward's positional arguments: tensors, or trees of them. Without any,
            the class's `example_inputs` (a tuple, or a function that returns one) are taken.
        loss: a loss that takes `(output, target)`; some rules look at layer and loss together.
        target: the loss's target.
        tier: "standard", or "full" with the slow rules (compilers, export, distribution).
        select: ids, names or beginnings of ids of the rules to run; None means all.
        ignore: ids, names or beginnings of ids of the rules to leave out.
        expect_failures: reasons, by rule id, for failures that are known; one that passes is
            reported as "xpassed".
        seed: of every random number that the check draws.
        ranks: number of processes, from 2, that train copies of the layer together, for the rules
            that look at several; 0 leaves those rules out. Linux only.

    Returns:
        The report; `report.ok` tells whether the layer is right.

    Raises:
        OptionError: an argument has an impossible value, or the layer needs arguments to be built.
    """
    config = Config(
        select=None if select is None else _ids("select", select), ignore=_ids("ignore", ignore)
    )
    return check_with(
        _case(layer, example_inputs, loss, target),
        config,
        tier=tier,
        expect_failures=expect_failures,
        seed=seed,
        ranks=ranks,
    )


def check_with(
    case: Case,
    config: Config,
    *,
    tier: Tier = "standard",
    expect_failures: Mapping[str, str] | None = None,
    seed: int = 0,
    ranks: int = 0,
    command: str = "",
    notes: Sequence[str] = (),
    on_rule: Callable[[Rule], None] = lambda rule: None,  # noqa: ARG005 - nobody wants to know
) -> Report:
    """Check a case as a configuration wants it; `check` says what the arguments mean.

    Args:
        case: the layer and its inputs.
        config: rules to run, rules of the user's own, traits and expected failures by class.
        tier: see `check`.
        expect_failures: see `check`; they come on top of the configuration's.
        seed: see `check`.
        ranks: see `check`.
        command: the command line that shows this check again, without its --select.
        notes: what a reader of the report must know besides.
        on_rule: called with each rule before it runs.
    """
    start = time.perf_counter()
    rules = catalog(config.rules)
    chosen = selected(rules, tier=tier, select=config.select, ignore=config.ignore, ranks=ranks)
    subject = subject_of(case, seed, config.traits_of)
    expected = {**config.expected_failures_of(subject.cls), **(expect_failures or {})}
    _check_reasons(expected, rules)
    results = run_rules(
        Probe(subject, seed, ranks),
        chosen,
        expect_failures=expected,
        reproduce=lambda rule: (
            f"{command} --select {rule.id}" if command else snippet_for(subject, rule, seed, ranks)
        ),
        on_rule=on_rule,
    )
    place = place_of_class(subject.cls)
    results, ignored = _without_ignored(results, place, rules)
    return Report(
        subject=case.name,
        file=place.file,
        line=place.line,
        inputs=() if subject.inputs is None else subject.inputs.described(),
        results=results,
        tier=tier,
        seed=seed,
        seconds=time.perf_counter() - start,
        versions={
            "layerwright": __version__,
            "torch": str(torch.__version__),
            "python": platform.python_version(),
        },
        notes=(*notes, *ignored),
    )


def _case(layer: Any, inputs: tuple[Any, ...], loss: Any, target: Any) -> Case:
    if not isinstance(layer, Case):
        return Case(layer, inputs, loss=loss, target=target)
    if inputs:
        raise OptionError("check expected the inputs in the Case or after it, received both.")
    return Case(
        layer.factory,
        layer.inputs,
        layer.kwargs,
        traits=layer.traits,
        loss=layer.loss if loss is None else loss,
        target=layer.target if target is None else target,
        name=layer.name,
    )


def _ids(kind: str, given: Iterable[str] | None) -> tuple[str, ...]:
    if isinstance(given, str):
        raise OptionError(f"{kind} expected a list of rule ids, received {given!r}.")
    return tuple(given or ())


def _check_reasons(expected: Mapping[str, str], rules: Sequence[Rule]) -> None:
    known = {key for rule in rules for key in (rule.id, rule.name)}
    for name, reason in expected.items():
        if name not in known:
            raise OptionError(f"expect_failures expected ids of rules, received {name!r}.")
        if not isinstance(reason, str) or not reason.strip():
            raise OptionError(f"expect_failures expected a reason for {name}, received {reason!r}.")


def _without_ignored(
    results: Sequence[Result], cls: Place, rules: Sequence[Rule]
) -> tuple[tuple[Result, ...], tuple[str, ...]]:
    """Turn what a comment in the source ignores into expected failures; say which do nothing."""
    comments: dict[str | None, tuple[Ignore, ...]] = {None: ()}

    def read(file: str | None) -> tuple[Ignore, ...]:
        if file not in comments:
            try:
                comments[file] = ignores_in(Path(file or "").read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError):  # the file has gone, or never was one
                comments[file] = ()
        return comments[file]

    def ignored(finding: Finding) -> Ignore | None:
        in_class = ignore_for(finding.rule_id, finding.rule_name, [cls.line], read(cls.file))
        at_line = ignore_for(finding.rule_id, finding.rule_name, [finding.line], read(finding.file))
        return in_class or at_line

    kept = []
    for result in results:
        found = [ignored(finding) for finding in result.findings]
        if result.outcome != "failed" or not any(found):
            kept.append(result)
            continue
        left = tuple(
            finding for finding, hit in zip(result.findings, found, strict=True) if hit is None
        )
        hit = next(item for item in found if item is not None)
        reason = hit.reason or f"ignored by a comment in line {hit.line}"
        kept.append(
            replace(result, findings=left)
            if left
            else replace(result, outcome="xfailed", reason=reason)
        )
    known = {rule.id: rule.name for rule in rules}
    name = Path(cls.file).name if cls.file else ""
    return tuple(kept), notes_on(read(cls.file), known, name)
