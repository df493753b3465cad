"""The runner: order, root causes, expectations, and rules that crash."""

import pytest
import torch
from torch import nn

from layerwright.contract.building import subject_of
from layerwright.contract.case import Case
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import Skip, rule
from layerwright.contract.runner import run_rules


def make(rule_id, judge=None, **given):
    """Return a rule that finds one fault, or does what `judge` does."""

    def find(probe):
        yield Finding(where="here", expected="one", found="two", fix="write one")

    return rule(rule_id, "some-fault", promise="p", family="f", since="0", **given)(judge or find)


def passing(probe):
    """Find nothing."""
    return ()


X = torch.ones(2, 3)


def run(rules, layer=None, inputs=(X,), **given):
    """Run rules on a layer and return results by id."""
    traits = given.pop("traits", None)
    subject = subject_of(Case(layer or nn.Tanh(), inputs, traits=traits), 0, lambda cls: {})
    return {result.rule_id: result for result in run_rules(Probe(subject), rules, **given)}


def test_a_finding_carries_its_rule():
    """Id, name, promise, severity and what reproduces it."""
    (finding,) = run([make("AAA001")], reproduce=lambda rule: f"run {rule.id}")["AAA001"].findings
    assert (finding.rule_id, finding.rule_name, finding.promise) == ("AAA001", "some-fault", "p")
    assert (finding.severity, finding.explained_by) == ("error", None)
    assert finding.reproduce == "run AAA001"


def test_a_finding_may_be_milder_than_its_rule():
    """The finding's own severity wins."""

    def note(probe):
        yield Finding(where="", expected="", found="", fix="", severity="note")

    assert run([make("AAA001", note)])["AAA001"].findings[0].severity == "note"


@pytest.mark.parametrize("order", [["AAA001", "BBB001", "CCC001"], ["CCC001", "BBB001", "AAA001"]])
def test_the_root_of_a_chain_explains_all_of_it(order):
    """A explains B, B explains C: both point at A, in whatever order they are listed."""
    rules = {
        "AAA001": make("AAA001", explains=["BBB001"]),
        "BBB001": make("BBB001", explains=["CCC001"]),
        "CCC001": make("CCC001"),
    }
    results = run([rules[name] for name in order])
    assert list(results) == order
    assert {key: item.findings[0].explained_by for key, item in results.items()} == {
        "AAA001": None, "BBB001": "AAA001", "CCC001": "AAA001",
    }  # fmt: skip


def test_a_passed_rule_explains_nothing():
    """Only a failure is a cause."""
    results = run([make("AAA001", passing, explains=["BBB001"]), make("BBB001")])
    assert results["BBB001"].findings[0].explained_by is None


def test_rules_that_explain_each_other_do_not_hang():
    """A circle has no root."""
    results = run([make("AAA001", explains=["BBB001"]), make("BBB001", explains=["AAA001"])])
    assert {item.outcome for item in results.values()} == {"failed"}


def test_a_rule_is_skipped_when_what_it_requires_failed():
    """And runs when it passed, or was not selected."""
    needy = make("BBB001", requires=["AAA001"])
    assert run([needy, make("AAA001")])["BBB001"].reason.startswith("AAA001 failed")
    assert run([needy, make("AAA001", passing)])["BBB001"].outcome == "failed"
    assert run([needy])["BBB001"].outcome == "failed"


def test_a_skip_carries_its_reason():
    """A rule that cannot judge says why."""

    def judge(probe):
        raise Skip("too small")
        yield

    result = run([make("AAA001", judge)])["AAA001"]
    assert (result.outcome, result.reason) == ("skipped", "too small")


def test_a_layer_that_raises_unexpectedly_skips_the_rule():
    """It is not the rule's subject, and not the rule's crash."""

    class Picky(nn.Module):
        def forward(self, x):
            if x.shape[0] > 2:
                raise ValueError("at most two")
            return x

    def judge(probe):
        probe.call(probe.layer(), probe.inputs().map(lambda x: torch.cat([x, x])))
        return ()

    result = run([make("AAA001", judge)], Picky())["AAA001"]
    assert result.outcome == "skipped"
    assert result.reason == "the layer raised ValueError: at most two"


def test_a_rule_that_crashes_does_not_blame_the_layer():
    """The outcome is error, with where the rule stood; the other rules go on."""

    def judge(probe):
        raise ZeroDivisionError("oops")
        yield

    results = run([make("AAA001", judge), make("BBB001", passing)])
    assert results["AAA001"].outcome == "error"
    assert results["AAA001"].findings == ()
    assert "ZeroDivisionError: oops" in results["AAA001"].reason
    assert "test_runner.py" in results["AAA001"].reason
    assert results["BBB001"].outcome == "passed"


@pytest.mark.parametrize("key", ["AAA001", "some-fault"])
def test_expected_failures_and_unexpected_passes(key):
    """Both are said, with the reason."""
    failed = run([make("AAA001")], expect_failures={key: "known"})["AAA001"]
    assert (failed.outcome, failed.reason, len(failed.findings)) == ("xfailed", "known", 1)
    passed = run([make("AAA001", passing)], expect_failures={key: "known"})["AAA001"]
    assert (passed.outcome, passed.reason) == ("xpassed", "known")


def test_a_trait_excuses():
    """The rule is skipped, and the reason names the trait."""
    excused = make("AAA001", excused_by=["mixes_batch"])
    result = run([excused], traits={"mixes_batch": True})["AAA001"]
    assert result.reason == "the trait mixes_batch says that this is on purpose"
    assert run([excused])["AAA001"].outcome == "failed"


@pytest.mark.parametrize(
    ("need", "layer", "inputs", "words"),
    [
        ("forward", nn.Linear(3, 1), (), "no example inputs"),
        ("forward", nn.Linear(9, 1), (torch.ones(2, 3),), "forward in eval mode raised Runtime"),
        ("parameters", nn.Tanh(), (torch.ones(2, 3),), "no parameters"),
        ("float_inputs", nn.Embedding(4, 2), (torch.zeros(2, dtype=torch.long),), "no floating"),
        ("float_outputs", nn.Flatten(), (torch.zeros(2, 1, dtype=torch.long),), "no floating"),
        ("float32", nn.Linear(3, 1).double(), (torch.ones(2, 3).double(),), "float64"),
        ("batch", nn.Flatten(0), (torch.ones(4, 3),), "no dimension"),
        ("loss", nn.Tanh(), (torch.ones(2, 3),), "no loss"),
        ("constructor", nn.Tanh(), (torch.ones(2, 3),), None),
        ("backward", nn.Linear(3, 1), (torch.ones(2, 3),), None),
        ("deterministic", nn.Dropout(), (torch.ones(2, 3),), None),
    ],
)
def test_needs_are_verified_before_a_rule_runs(need, layer, inputs, words):
    """In one place, with the reason."""
    result = run([make("AAA001", needs=[need])], layer, inputs)["AAA001"]
    if words is None:
        assert result.outcome == "failed"
    else:
        assert result.outcome == "skipped"
        assert words in result.reason


@pytest.mark.parametrize("recorded", [False, True])
def test_determinism_does_not_depend_on_who_asks(recorded):
    """A layer may compute in another way while gradients are recorded."""

    class TwoWays(nn.Module):
        def forward(self, x):
            return x * (2 if torch.is_grad_enabled() else 1)

    probe = Probe(subject_of(Case(TwoWays(), (torch.ones(2, 3),)), 0, lambda cls: {}))
    with torch.set_grad_enabled(recorded):
        assert probe.deterministic is None


def test_a_layer_that_could_not_be_built_is_left_to_the_rules_that_want_it():
    """All others are skipped."""

    class Unbuilt(nn.Module):
        def __init__(self):
            raise ValueError("no")

    subject = subject_of(Case(Unbuilt), 0, lambda cls: {})
    results = run_rules(
        Probe(subject), [make("AAA001", needs=[]), make("BBB001", needs=["unbuilt"])]
    )
    assert [result.outcome for result in results] == ["skipped", "failed"]
    assert results[0].reason == "the layer could not be built"
    built = run([make("BBB001", needs=["unbuilt"])])["BBB001"]
    assert built.outcome == "failed"


def test_one_rule_cannot_disturb_another():
    """Whatever a rule does to its layer, inputs or the process, the next one starts afresh."""

    def vandal(probe):
        layer, inputs = probe.layer(training=True), probe.inputs()
        with torch.no_grad():
            for item in [*layer.parameters(), *(named.tensor for named in inputs.tensors())]:
                item.fill_(float("nan"))
        layer.forward = None
        torch.manual_seed(99)
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        return ()

    def witness(probe):
        assert torch.is_grad_enabled()
        assert torch.get_default_dtype() == torch.float32
        layer = probe.layer()
        assert not layer.training
        assert all(bool(item.isfinite().all()) for item in layer.parameters())
        assert bool(probe.call(layer).isfinite().all())
        yield Finding(where="", expected="", found=str(torch.rand(1).item()), fix="")

    def found(rules):
        return run(rules, nn.Linear(3, 2))["BBB001"].findings[0].found

    alone = found([make("BBB001", witness)])
    assert found([make("AAA001", vandal), make("BBB001", witness)]) == alone


def test_what_a_rule_found_before_it_skips_is_kept():
    """A rule that can judge a part of a layer has judged it."""

    def judge(probe):
        yield Finding(where="here", expected="one", found="two", fix="write one")
        raise Skip("the rest is too large")

    result = run([make("AAA001", judge)])["AAA001"]
    assert (result.outcome, len(result.findings)) == ("failed", 1)
