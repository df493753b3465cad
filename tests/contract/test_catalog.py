"""The catalogue: lawful ids and names, links that lead somewhere, files named after their rule."""

import ast
import importlib
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

import layerwright.contract
from layerwright.contract import rules as rules_package
from layerwright.contract.catalog import catalog, find_rule, selected
from layerwright.contract.page import require_complete
from layerwright.contract.rule import rule
from layerwright.contract.traits import TRAITS
from layerwright.errors import OptionError, TargetError

RULES = catalog()
IDS = {rule.id for rule in RULES}
FOLDER = Path(rules_package.__file__).parent
CONTRACT = Path(layerwright.contract.__file__).parent

# One family, one beginning of its ids.
LETTERS = {
    "registration": "REG", "purity": "PUR", "batch": "BAT", "gradients": "GRD", "modes": "MOD",
    "serialization": "SER", "devices": "DEV", "dtypes": "DTY", "compilation": "CMP",
    "numerics": "NUM", "initialization": "INI", "training": "TRN", "distribution": "DST",
    "performance": "PRF", "networks": "NET",
}  # fmt: skip


def test_there_are_more_than_a_hundred_stable_rules():
    """The promise of the README."""
    assert sum(rule.status == "stable" for rule in RULES) > 100


def test_no_two_rules_share_a_name():
    """Ids are unique by construction; names select too."""
    assert [name for name, n in Counter(rule.name for rule in RULES).items() if n > 1] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_is_lawful(rule):
    """Family, letters, file, links, promise and page agree."""
    file = FOLDER / rule.family / f"{rule.name.replace('-', '_')}.py"
    assert file.is_file()
    assert rule.judge.__module__.endswith(f"{rule.family}.{file.stem}")
    assert rule.judge.__name__ == file.stem
    assert rule.id.startswith(LETTERS[rule.family])
    assert set(rule.explains) | set(rule.requires) <= IDS - {rule.id}
    assert set(rule.explains).isdisjoint(rule.requires)
    assert not rule.promise.endswith(".")
    require_complete(rule)
    tests = (Path(__file__).parent / "rules" / rule.family).glob("test_*.py")
    assert any(rule.id in test.read_text() for test in tests)


def test_the_folder_holds_rules_and_nothing_else():
    """One file, one rule."""
    for file in FOLDER.rglob("*.py"):
        if file.name != "__init__.py":
            module = importlib.import_module(
                "layerwright.contract.rules."
                + ".".join(file.relative_to(FOLDER).with_suffix("").parts)
            )
            own = [rule for rule in RULES if rule.judge.__module__ == module.__name__]
            assert len(own) == 1, file


def test_every_trait_excuses_or_informs_some_rule():
    """A trait that nothing reads would be a promise that nobody keeps."""
    text = "\n".join(
        file.read_text() for file in CONTRACT.rglob("*.py") if file.name != "traits.py"
    )
    for trait in TRAITS:
        assert re.search(rf"\b{trait}\b", text), trait


NEW = rule("NEW001", "tried-out", promise="p", family="own", since="1", status="preview")(
    lambda probe: []
)


# Names decide nothing: a verdict comes from behaviour and structure.
_NAMES = {"__name__", "__qualname__", "__module__"}


def name_conditions(tree):
    """Return the lines on which a class's or package's name is compared or searched."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr not in {"startswith", "endswith", "match", "search", "fullmatch"}:
                continue
            parts = [node.func.value, *node.args]
        else:
            continue
        for part in parts:
            names = {sub.attr for sub in ast.walk(part) if isinstance(sub, ast.Attribute)}
            texts = [
                sub.value for other in parts for sub in ast.walk(other)
                if isinstance(sub, ast.Constant) and isinstance(sub.value, str)
            ]  # fmt: skip
            if names & _NAMES and texts and texts != ["<locals>"]:  # a class inside a function
                found.append((node.lineno, texts))
    return found


def test_no_rule_decides_by_name():
    """No rule compares the name of a class, function or package with a text."""
    for file in sorted(FOLDER.rglob("*.py")):
        assert name_conditions(ast.parse(file.read_text())) == [], file


@pytest.mark.parametrize(
    "source",
    [
        "if type(x).__name__ == 'BatchNorm': pass",
        "if 'Norm' in type(layer).__qualname__: pass",
        "if cls.__module__.startswith('torch'): pass",
        "re.search('attn', type(x).__name__)",
    ],
)
def test_the_judge_of_names_can_say_no(source):
    """The test above sees what it forbids."""
    assert name_conditions(ast.parse(source))
    assert name_conditions(ast.parse("print(type(x).__name__); x.shape == (1,)")) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"id": "GRD1"}, "three letters and three digits, received 'GRD1'"),
        ({"name": "Wrong"}, "expected a name such as input-mutated, received 'Wrong'"),
        ({"severity": "fatal"}, "expected severity of error, warning, note, received 'fatal'"),
        ({"tier": "slow"}, "expected tier of standard, full, received 'slow'"),
        ({"status": "new"}, "expected status of preview, stable, deprecated, received 'new'"),
        ({"needs": ["gpu"]}, "expected needs of forward, "),
        ({"excused_by": ["lazy"]}, "expected excused_by of mixes_batch, "),
    ],
)
def test_a_rule_with_an_impossible_head_is_refused(given, message):
    """When it is declared, not when it runs."""
    head = {"id": "AAA001", "name": "some-fault", "promise": "", "family": "", "since": ""}
    with pytest.raises(OptionError) as error:
        rule(**{**head, **given})
    assert message in str(error.value)


def test_a_preview_rule_runs_only_if_it_is_named():
    """Nobody's build ends red by a rule that is tried out, unless they asked for that rule."""

    def chosen(**options):
        return {rule.id for rule in selected([NEW, *RULES], **options)}

    for options in ({}, {"tier": "full"}, {"select": ["NEW", "PUR"], "tier": "full"}):
        assert "NEW001" not in chosen(**options)
    for select in (["NEW001"], ["tried-out"], ["NEW001", "PUR"]):
        assert "NEW001" in chosen(select=select)
    assert chosen(select=["NEW001"], ignore=["NEW001"]) == set()
    assert chosen(select=["NEW001", "PUR"]) - {"NEW001"} == chosen(select=["PUR"])


def test_rules_are_found_by_id_and_by_name():
    """Small letters are fine; a near miss is suggested."""
    assert find_rule("pur001", RULES) is find_rule("input-mutated", RULES)
    with pytest.raises(OptionError, match="Did you mean 'input-mutated'"):
        find_rule("inputs-mutated", RULES)


OWN = '''
from layerwright.contract import Finding, rule

@rule("{id}", "always-wrong", promise="p", family="own", since="1")
def always_wrong(probe):
    """Find a fault in everything."""
    yield Finding(where="x", expected="x", found="x", fix="x")
'''


@pytest.fixture
def own_rules(tmp_path, monkeypatch):
    """Write a module of a user's own rules."""

    def write(name, id="OWN001"):  # noqa: A002
        (tmp_path / f"{name}.py").write_text(OWN.replace("{id}", id))
        return name

    monkeypatch.syspath_prepend(tmp_path)
    yield write
    for name in [name for name in sys.modules if name.startswith("own_rules")]:
        del sys.modules[name]


def test_users_add_rules_by_naming_a_module(own_rules):
    """They come after ours."""
    found = catalog([own_rules("own_rules_a")])
    assert found[-1].id == "OWN001"
    assert found[:-1] == RULES


def test_own_rules_that_cannot_be_taken_are_refused(own_rules):
    """An id of ours, a module that is missing, a module without rules."""
    with pytest.raises(OptionError, match="rule id PUR001 is taken twice: input-mutated, always-"):
        catalog([own_rules("own_rules_b", "PUR001")])
    with pytest.raises(TargetError, match="expected the module 'own_rules_z', and importing it"):
        catalog(["own_rules_z"])
    with pytest.raises(TargetError, match="expected rules in 'json', and found none"):
        catalog(["json"])
