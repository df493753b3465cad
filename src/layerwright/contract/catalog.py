"""The catalogue: all rules, ours by walking `rules/`, a user's by the modules that they name."""

import importlib
import pkgutil
from collections.abc import Iterable, Sequence
from functools import cache
from types import ModuleType

from layerwright.contract import rules as our_rules
from layerwright.contract.rule import Rule, Tier
from layerwright.errors import OptionError, TargetError
from layerwright.names import nearest

MOST_RANKS = 16  # processes on one machine, for one small layer

_ORDER = (
    "registration", "purity", "batch", "gradients", "modes", "serialization", "devices", "dtypes",
    "compilation", "numerics", "initialization", "training", "distribution", "performance",
    "networks",
)  # fmt: skip


def catalog(extra: Sequence[str] = ()) -> tuple[Rule, ...]:
    """Return all rules: ours by family and id, then those of the modules in `extra`.

    Args:
        extra: names of modules or packages that hold rules of a user's own.

    Raises:
        OptionError: two rules have one id.
        TargetError: a module cannot be imported, or holds no rule.
    """
    found = list(_ours())
    for name in extra:
        try:
            module = importlib.import_module(name)
        except Exception as error:
            raise TargetError(
                f"rules expected the module {name!r}, and importing it raised "
                f"{type(error).__name__}: {error}."
            ) from error
        more = _rules_in(module)
        if not more:
            raise TargetError(f"rules expected rules in {name!r}, and found none.")
        found.extend(more)
    by_id: dict[str, Rule] = {}
    for rule in found:
        if by_id.setdefault(rule.id, rule) is not rule:
            raise OptionError(
                f"rule id {rule.id} is taken twice: {by_id[rule.id].name}, {rule.name}."
            )
    return tuple(by_id.values())


def selected(
    rules: Iterable[Rule],
    *,
    tier: Tier = "standard",
    select: Iterable[str] | None = None,
    ignore: Iterable[str] | None = None,
    ranks: int = 0,
) -> tuple[Rule, ...]:
    """Return the rules that a check runs.

    Args:
        rules: the catalogue.
        tier: "standard" leaves the slow rules out, unless they are selected by id or name.
        select: ids, names, or beginnings of ids such as "GRD"; None means all.
        ignore: the same; what is ignored is left out.
        ranks: number of processes; the rules about several run in either tier if it is given, and
            not without, unless they are selected by id or name.

    Raises:
        OptionError: a name selects nothing, or the tier or the number of ranks is impossible.
    """
    if tier not in ("standard", "full"):
        raise OptionError(f"tier expected standard or full, received {tier!r}.")
    if ranks and not 2 <= ranks <= MOST_RANKS:
        raise OptionError(f"ranks expected 2 to {MOST_RANKS} processes, received {ranks!r}.")
    rules = tuple(rules)
    chosen = None if select is None else _matching(rules, "select", select)
    ignored = _matching(rules, "ignore", ignore or ())
    exact = set(select or ())
    return tuple(
        rule
        for rule in rules
        if rule.id not in ignored
        and (chosen is None or rule.id in chosen)
        and (
            {rule.id, rule.name} & exact
            or (ranks > 0 if "ranks" in rule.needs else _runs_in(rule, tier))
        )
    )


def _runs_in(rule: Rule, tier: Tier) -> bool:
    return rule.status != "preview" and (tier == "full" or rule.tier == "standard")


def find_rule(name: str, rules: Iterable[Rule]) -> Rule:
    """Return the rule with this id or name.

    Raises:
        OptionError: there is none; the message holds the nearest name.
    """
    known = {key: rule for rule in rules for key in (rule.id, rule.name)}
    if name.upper() in known or name in known:
        return known.get(name) or known[name.upper()]
    near = nearest(name, known)
    hint = f"Did you mean {near!r}?" if near else "See: layerwright rules"
    raise OptionError(f"unknown rule {name!r}. {hint}")


def _matching(rules: Sequence[Rule], kind: str, names: Iterable[str]) -> set[str]:
    if isinstance(names, str):
        raise OptionError(f"{kind} expected a list of rule ids, received {names!r}.")
    found: set[str] = set()
    for name in names:
        ids = {rule.id for rule in rules if name == rule.name or rule.id.startswith(name)}
        if not ids or not name:
            near = nearest(name, {key: 0 for rule in rules for key in (rule.id, rule.name)})
            hint = f" Did you mean {near!r}?" if near else ""
            raise OptionError(f"{kind} expected ids or names of rules, received {name!r}.{hint}")
        found |= ids
    return found


@cache
def _ours() -> tuple[Rule, ...]:
    found = _rules_in(our_rules)
    return tuple(
        sorted(
            found,
            key=lambda rule: (
                _ORDER.index(rule.family) if rule.family in _ORDER else len(_ORDER),
                rule.id,
            ),
        )
    )


def _rules_in(module: ModuleType) -> list[Rule]:
    """Return the rules of a module, or of all modules of a package."""
    found = [value for value in vars(module).values() if isinstance(value, Rule)]
    for item in pkgutil.walk_packages(getattr(module, "__path__", []), f"{module.__name__}."):
        if not item.ispkg:
            inner = importlib.import_module(item.name)
            found.extend(value for value in vars(inner).values() if isinstance(value, Rule))
    return list({id(rule): rule for rule in found}.values())
