"""`layerwright.check`: what it takes, what it says, what it refuses."""

import pytest
import torch
from torch import nn

import layerwright as lw
from layerwright.errors import ContractError, OptionError


class Shift(nn.Module):
    """Writes into its input."""

    def __init__(self, by=1.0):
        super().__init__()
        self.by = by

    def forward(self, x, *, twice=False):
        return x.add_(2 * self.by if twice else self.by)


class Example(Shift):
    """Says itself what it takes."""

    example_inputs = (torch.zeros(2, 3),)


class Commented(Shift):  # layerwright: ignore[PUR001] it saves memory
    """A fault that the author knows."""


X = torch.zeros(2, 3)


def only(layer, *inputs, **given):
    """Check with the one rule that Shift breaks."""
    return lw.check(layer, *inputs, select=["PUR001"], **given)


@pytest.mark.parametrize(
    "report",
    [
        lambda: only(Shift(), X),
        lambda: only(Shift, X),
        lambda: only(lambda: Shift(2.0), X),
        lambda: only(lw.Case(Shift, X)),
        lambda: only(lw.Case(Shift, (X,), {"twice": True})),
        lambda: only(Example()),
        lambda: only(Example),
    ],
    ids=["instance", "class", "function", "case", "case with keywords", "example", "its class"],
)
def test_layers_are_taken_in_every_form(report):
    """All of them find the same fault."""
    report = report()
    assert not report.ok
    assert [finding.rule_id for finding in report.findings] == ["PUR001"]


def test_a_report_tells_what_was_checked():
    """Subject, place, inputs, versions, seed; and raises when asked to."""
    report = only(Shift(), X, seed=3)
    assert (report.subject, report.seed, report.tier) == ("Shift", 3, "standard")
    assert report.inputs == ("x: (2, 3) float32",)
    assert report.file == __file__
    assert report.versions["torch"] == torch.__version__
    with pytest.raises(ContractError, match="PUR001"):
        report.raise_for_findings()
    only(nn.Tanh(), X).raise_for_findings()


def test_nothing_ends_green_by_silence():
    """A report in which every rule was skipped is not ok."""
    report = only(Shift())
    assert report.counts == {"skipped": 1}
    assert not report.ok


@pytest.mark.parametrize("mark", ["PUR001", "input-mutated"])
def test_known_failures_are_expected_with_a_reason(mark):
    """They do not count as findings, but they are reported; a pass is reported too."""
    report = only(Shift(), X, expect_failures={mark: "the caller knows"})
    assert report.ok
    assert report.findings == ()
    assert [(item.outcome, item.reason) for item in report.results] == [
        ("xfailed", "the caller knows")
    ]
    assert only(nn.Tanh(), X, expect_failures={mark: "?"}).counts == {"xpassed": 1}


def test_a_comment_in_the_source_expects_a_failure():
    """With the comment's words as the reason."""
    (result,) = only(Commented(), X).results
    assert (result.outcome, result.reason) == ("xfailed", "it saves memory")


def test_traits_excuse_by_class_and_by_case():
    """And subclasses inherit them."""
    declared = lw.traits(inplace=True)(type("Declared", (Shift,), {}))
    assert only(declared(), X).counts == {"skipped": 1}
    assert only(type("Child", (declared,), {})(), X).counts == {"skipped": 1}
    assert only(lw.Case(Shift, X, traits={"inplace": True})).counts == {"skipped": 1}
    assert only(Shift(), X).counts == {"failed": 1}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lw.check(3), "Case expected a class, a function or a layer, received 3."),
        (lambda: lw.check(nn.Linear, X), "Linear expected to be built without arguments: missing"),
        (lambda: lw.check(lambda: 3, X), "check expected an nn.Module, received int."),
        (lambda: lw.check(lw.Case(Shift, X), X), "in the Case or after it, received both"),
        (lambda: lw.check(Shift(), X, tier="slow"), "tier expected standard or full, received"),
        (lambda: lw.check(Shift(), X, select=["input-mutatd"]), "Did you mean 'input-mutated'?"),
        (lambda: lw.check(Shift(), X, select="PUR001"), "expected a list of rule ids"),
        (lambda: lw.check(Shift(), X, ignore=["nothing-like"]), "ignore expected ids or names"),
        (lambda: lw.check(Shift(), X, expect_failures={"PUR001": ""}), "expected a reason for"),
        (lambda: lw.check(Shift(), X, expect_failures={"X": "y"}), "expected ids of rules"),
        (lambda: lw.traits(inplac=True), "unknown trait 'inplac'. Did you mean 'inplace'?"),
        (lambda: lw.traits(inplace=1), "trait inplace expected True or False, received 1."),
        (lambda: lw.traits(batch_dim=True), "expected a dimension or None, received True."),
        (lambda: lw.traits(frozen_parameters=3), "trait frozen_parameters expected patterns"),
    ],
)
def test_impossible_arguments_are_refused(call, message):
    """In words that name what was expected and received."""
    with pytest.raises((OptionError, TypeError)) as error:
        call()
    assert message in str(error.value)
    assert isinstance(error.value, OptionError)


def test_ids_names_and_beginnings_select():
    """And ignore takes away."""
    assert len(lw.check(Shift(), X, select=["input-mutated"]).results) == 1
    family = lw.check(Shift(), X, select=["PUR"]).results
    assert {item.family for item in family} == {"purity"}
    left = lw.check(Shift(), X, select=["PUR"], ignore=["PUR001"]).results
    assert len(left) == len(family) - 1


def test_a_layer_may_be_lazy_or_used():
    """An uninitialised layer is called once first; its original stays uninitialised."""
    lazy = nn.LazyLinear(2)
    assert only(lazy, X).ok
    assert lazy.has_uninitialized_params()


def test_a_layer_that_refuses_copying_is_checked_all_the_same():
    """A tensor in the middle of a graph, or a generator, does not end the check."""
    layer = Shift()
    layer.scale = nn.Parameter(torch.ones(1)) * 2
    layer.stream = (number for number in range(3))
    assert [finding.rule_id for finding in only(layer, X).findings] == ["PUR001"]
    assert next(layer.stream) == 0
