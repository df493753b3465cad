"""No error on code that is right: all of torch.nn, and this project's own layers and networks.

On one input of each, in the standard tier; `make proof` runs benchmarks/false_alarms.py on all
inputs in the full tier.
"""

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
