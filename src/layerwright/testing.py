"""The contract in a user's test suite: one test for each layer and rule."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from layerwright import pytest_plugin
from layerwright.contract.case import Case
from layerwright.contract.catalog import catalog, selected
from layerwright.contract.check import check_with
from layerwright.contract.finding import Report, Result
from layerwright.contract.rule import Rule, Tier
from layerwright.contract.suppression import Config, load_config
from layerwright.errors import ContractError, OptionError

__all__ = ["Promise", "parametrize_with_rules"]


class Promise:
    """One rule on one layer: call it in a test.

    The layer is checked once, when the first of its promises is called; the others read the same
    report, so that a fault fails the test of its root cause and skips those of its consequences.

    Attributes:
        case: the layer and its inputs.
        rule: the rule.
    """

    def __init__(self, case: Case, rule: Rule, report: Callable[[], Report]) -> None:
        self.case = case
        self.rule = rule
        self._report = report

    def __call__(self) -> None:
        """Fail, skip or xfail the running test as the rule did; return if it passed.

        A warning fails the test too, a note does not.

        Raises:
            ContractError: the rule found something.
        """
        __tracebackhide__ = True
        result = next(item for item in self._report().results if item.rule_id == self.rule.id)
        if result.outcome == "skipped":
            pytest.skip(result.reason)
        if result.outcome == "xfailed":
            pytest.xfail(result.reason)
        if result.outcome == "xpassed":
            pytest.fail(f"{self.rule.id} was expected to fail ({result.reason}), and passed")
        if result.outcome == "error":
            pytest.fail(f"layerwright's own rule {self.rule.id} crashed: {result.reason}")
        _fail(result)

    def __repr__(self) -> str:
        """Like "Scale, GRD001 wrong-gradient"."""
        return f"{self.case.name}, {self.rule.id} {self.rule.name}"


def parametrize_with_rules(
    cases: Iterable[Case],
    *,
    tier: Tier = "standard",
    select: Iterable[str] | None = None,
    ignore: Iterable[str] | None = None,
    expect_failures: Mapping[str, str] | None = None,
    seed: int = 0,
) -> pytest.MarkDecorator:
    """Parametrise a test with every rule on every layer.

    `[tool.layerwright]` of the nearest pyproject.toml counts too. Test ids read
    "Scale-GRD001-wrong-gradient", so `pytest -k GRD001` and `-k Scale` work.

    Args:
        cases: the layers and their inputs.
        tier: "standard", or "full" with the slow rules; `pytest --layerwright-tier` overrides it.
        select: ids, names or beginnings of ids of the rules to run; None means all.
        ignore: ids, names or beginnings of ids of the rules to leave out.
        expect_failures: reasons, by rule id, for failures that are known.
        seed: of everything random.

    Raises:
        OptionError: a case is none, or a rule is unknown.

    Example:
        >>> @parametrize_with_rules([Case(torch.nn.Tanh, inputs=torch.randn(4, 3))])
        ... def test_contract(promise):
        ...     promise()
    """
    tier = pytest_plugin.tier or tier  # type: ignore[assignment] # argparse knows the choices
    config = load_config(Path.cwd())
    rules = selected(
        catalog(config.rules),
        tier=tier,
        select=config.select if select is None else list(select),
        ignore=[*config.ignore, *(ignore or ())],
    )
    parameters: list[Any] = []
    seen: dict[str, int] = {}
    for case in cases:
        if not isinstance(case, Case):
            raise OptionError(
                f"parametrize_with_rules expected Cases, received {type(case).__name__}. "
                "Fix: Case(layer, inputs=(x,))."
            )
        seen[case.name] = seen.get(case.name, 0) + 1
        name = case.name if seen[case.name] == 1 else f"{case.name}{seen[case.name]}"
        names = tuple(rule.id for rule in rules)

        @cache
        def report(case: Case = case, names: tuple[str, ...] = names) -> Report:
            return check_with(
                case,
                _chosen(names),
                tier=tier,
                expect_failures=expect_failures,
                seed=seed,
            )

        parameters.extend(
            pytest.param(Promise(case, rule, report), id=f"{name}-{rule.id}-{rule.name}")
            for rule in rules
        )
    return pytest.mark.parametrize("promise", parameters)


def _chosen(names: tuple[str, ...]) -> Config:
    """Return the configuration with exactly these rules."""
    return replace(load_config(Path.cwd()), select=names, ignore=())


def _fail(result: Result) -> None:
    __tracebackhide__ = True
    loud = [item for item in result.findings if item.severity != "note"]
    if not loud:
        return
    roots = [item for item in loud if item.explained_by is None]
    if not roots:
        pytest.skip(f"explained by {loud[0].explained_by}, which fails")
    raise ContractError("\n" + "\n".join(map(str, roots)))
