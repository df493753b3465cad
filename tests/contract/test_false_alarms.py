"""No error on code that is right: all of torch.nn, and this project's own layers and networks."""

import sys
from pathlib import Path

import pytest

from layerwright.contract.check import check

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from corpus.our_layers import our_layers
from corpus.torch_nn import torch_modules

pytestmark = pytest.mark.filterwarnings("ignore")


def loud(report):
    """Return what must not be there: errors, and rules that crashed."""
    found = [str(item) for item in report.findings if item.severity == "error"]
    return found + [str(item) for item in report.results if item.outcome == "error"]


def cases_of(training):
    """Return the first case of each torch module, and all of ours."""
    for case in [*torch_modules(training=training), *our_layers(training=training)]:
        mode = "train" if training else "eval"
        yield pytest.param(case, id=f"{case.name}-{mode}".replace(" ", "_"))


@pytest.mark.parametrize("case", [*cases_of(training=False), *cases_of(training=True)])
def test_no_error_on_what_is_right(case):
    """The standard tier, one input each, in both modes."""
    assert loud(check(case)) == []


SHARES = 24  # of one long list, so that several workers can take part


@pytest.mark.slow
@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("training", [False, True])
def test_no_error_in_the_full_tier_on_any_input(training, share):
    """All forward inputs of torch's own list, and our layers."""
    cases = [*torch_modules(training=training, all_inputs=True), *our_layers(training=training)]
    failed = {case.name: loud(check(case, tier="full")) for case in cases[share::SHARES]}
    assert {name: found for name, found in failed.items() if found} == {}
