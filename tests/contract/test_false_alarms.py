"""No error on code that is right: all of torch.nn, and this project's own layers and networks.

On one input of each, in the standard tier. `make contract` runs the full tier on all forms of our
own, `make proof` on all inputs of torch.nn too.
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


def cases():
    """Return the first case of each torch module in both modes, and of each of our layers."""
    for mode, training in (("eval", False), ("train", True)):
        for case in torch_modules(training=training):
            yield pytest.param(case, id=f"{case.name}-{mode}")
    for case in our_layers(training=True):
        if "," not in case.name:  # other forms have a name such as "Linear, one sample"
            yield pytest.param(case, id=case.name.replace(" ", "_"))


@pytest.mark.parametrize("case", [*cases()])
def test_no_error_on_what_is_right(case):
    """The standard tier."""
    assert loud(check(case)) == []
