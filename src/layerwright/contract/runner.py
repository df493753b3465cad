"""The runner: rules in order, each isolated, root causes before what they explain."""

import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from layerwright.contract.finding import Finding, Result
from layerwright.contract.isolation import hushed_logs, isolated
from layerwright.contract.needs import unmet
from layerwright.contract.probe import Probe
from layerwright.contract.rule import Rule, Skip
from layerwright.contract.traits import Traits
from layerwright.random_numbers import seed_all


@dataclass(frozen=True)
class _Judgement:
    """What one rule came to, before expectations and root causes."""

    rule: Rule
    findings: tuple[Finding, ...] = ()
    skipped: str = ""
    crashed: str = ""
    seconds: float = 0.0


def run_rules(
    probe: Probe,
    rules: Iterable[Rule],
    *,
    expect_failures: Mapping[str, str] | None = None,
    reproduce: Callable[[Rule], str] = lambda rule: "",  # noqa: ARG005 - nothing to reproduce with
    on_rule: Callable[[Rule], None] = lambda rule: None,  # noqa: ARG005
) -> tuple[Result, ...]:
    """Run rules on a probe's layer.

    Args:
        probe: holds the layer.
        rules: what to run, in the order of the report.
        expect_failures: reasons, by rule id or name, for failures that are known.
        reproduce: returns what shows a rule's findings again.
        on_rule: called before each rule.

    Returns:
        One result a rule, in the order of `rules`.
    """
    rules = list(rules)
    expected = dict(expect_failures or {})
    judged: dict[str, _Judgement] = {}
    with hushed_logs():
        for rule in _ordered(rules):
            on_rule(rule)
            judged[rule.id] = _judge(rule, probe, judged)
    failed = {key for key, item in judged.items() if item.findings}
    results = []
    for rule in rules:
        root = _root_cause(rule, rules, failed)
        findings = tuple(
            replace(
                finding,
                severity=finding.severity or rule.severity,
                rule_id=rule.id,
                rule_name=rule.name,
                promise=rule.promise,
                reproduce=finding.reproduce or reproduce(rule),
                explained_by=root,
            )
            for finding in judged[rule.id].findings
        )
        reason = expected.get(rule.id) or expected.get(rule.name)
        results.append(_result(judged[rule.id], findings, reason))
    return tuple(results)


def _judge(rule: Rule, probe: Probe, judged: Mapping[str, _Judgement]) -> _Judgement:
    start = time.perf_counter()
    found: list[Finding] = []
    skipped = crashed = ""
    for other in rule.requires:
        if other in judged and judged[other].findings:
            skipped = f"{other} failed, and this rule needs what it promises"
    if probe.subject.construction_error is not None and "unbuilt" not in rule.needs:
        skipped = "the layer could not be built"
    trait = _excuse(rule, probe.traits)
    if trait:
        skipped = f"the trait {trait} says that this is on purpose"
    if not skipped:
        built = probe.subject.construction_error is None
        with isolated(probe.subject.layer if built else None):
            seed_all(probe.seed)
            try:
                reason = next(filter(None, (unmet(probe, need) for need in rule.needs)), None)
                if reason is not None:
                    raise Skip(reason)  # noqa: TRY301 - one way out for all reasons
                for finding in rule(probe):
                    found.append(finding)  # noqa: PERF402 - kept if the rule ends in a skip
            except Skip as skip:
                skipped = "" if found else str(skip)
            except Exception as error:  # noqa: BLE001 - our bug, said so, and no rule's excuse
                last = traceback.extract_tb(error.__traceback__)[-1]
                crashed = f"{type(error).__name__}: {error} ({last.filename}:{last.lineno})"
    findings = () if crashed else tuple(found)
    return _Judgement(rule, findings, skipped, crashed, time.perf_counter() - start)


def _excuse(rule: Rule, traits: Traits) -> str | None:
    """Return the boolean trait that excuses a layer from a rule."""
    return next((name for name in rule.excused_by if getattr(traits, name) is True), None)


def _result(judgement: _Judgement, findings: tuple[Finding, ...], expected: str | None) -> Result:
    rule = judgement.rule
    base = Result(
        rule_id=rule.id,
        rule_name=rule.name,
        family=rule.family,
        outcome="passed",
        seconds=judgement.seconds,
    )
    if judgement.crashed:
        return replace(base, outcome="error", reason=judgement.crashed)
    if judgement.skipped:
        return replace(base, outcome="skipped", reason=judgement.skipped)
    if findings and expected:
        return replace(base, outcome="xfailed", reason=expected, findings=findings)
    if findings:
        return replace(base, outcome="failed", findings=findings)
    if expected:
        return replace(base, outcome="xpassed", reason=expected)
    return base


def _ordered(rules: Sequence[Rule]) -> list[Rule]:
    """Return rules so that what a rule requires, or is explained by, comes before it."""
    by_id = {rule.id: rule for rule in rules}
    before: dict[str, set[str]] = {rule.id: set(rule.requires) & by_id.keys() for rule in rules}
    for rule in rules:
        for other in rule.explains:
            if other in before:
                before[other].add(rule.id)
    done: dict[str, Rule] = {}

    def visit(rule_id: str, path: tuple[str, ...]) -> None:
        if rule_id in done or rule_id in path:
            return
        for other in sorted(before[rule_id]):
            visit(other, (*path, rule_id))
        done[rule_id] = by_id[rule_id]

    for rule in rules:
        visit(rule.id, ())
    return list(done.values())


def _root_cause(rule: Rule, rules: Sequence[Rule], failed: set[str]) -> str | None:
    """Return the failed rule that explains this one's failure, at the root of the chain."""
    if rule.id not in failed:
        return None
    current, seen = rule.id, {rule.id}
    while True:
        cause = next(
            (
                other.id
                for other in rules
                if current in other.explains and other.id in failed and other.id not in seen
            ),
            None,
        )
        if cause is None:
            return None if current == rule.id else current
        seen.add(cause)
        current = cause
