"""The contract in a user's own test suite, run in a pytest of its own."""

import subprocess
import sys

import pytest

import layerwright as lw
from layerwright.contract.catalog import catalog
from layerwright.errors import OptionError

pytest_plugins = ["pytester"]

SUITE = """
import torch
from torch import nn
import layerwright as lw


class Shift(nn.Module):
    def forward(self, x):
        return x.add_(1.0)


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(3, 3)]

    def forward(self, x):
        return self.layers[0](x)


CASES = [
    lw.Case(nn.Tanh, torch.randn(4, 3)),
    lw.Case(Shift, torch.randn(4, 3)),
    lw.Case(Scale, torch.randn(4, 3)),
]


@lw.testing.parametrize_with_rules(CASES, select=["PUR001", "REG001", "SER004"]{more})
def test_contract(promise):
    promise()
"""


@pytest.fixture
def run(pytester):
    """Return a function that runs the suite in a pytest of its own and returns its output."""

    def run(*arguments, more="", start=pytester.runpytest_inprocess):
        pytester.makepyfile(test_layers=SUITE.replace("{more}", more))
        return start("-p", "no:cacheprovider", "-rA", "--no-header", *arguments).stdout.str()

    return run


def outcomes(output):
    """Return the outcome of each test id of the short summary."""
    found = {}
    for line in output.splitlines():
        outcome, _, rest = line.partition(" ")
        if outcome in {"PASSED", "FAILED"} and "[" in rest:
            found[rest.split("[")[1].split("]")[0]] = outcome
    return found


def test_one_test_for_each_layer_and_rule(run):
    """A fault fails the test of its root cause; what follows from it is skipped, and says so."""
    output = run()
    assert outcomes(output) == {
        "Tanh-PUR001-input-mutated": "PASSED",
        "Tanh-REG001-unregistered-module": "PASSED",
        "Tanh-SER004-state-dict-incomplete": "PASSED",
        "Shift-PUR001-input-mutated": "FAILED",
        "Shift-REG001-unregistered-module": "PASSED",
        "Shift-SER004-state-dict-incomplete": "PASSED",
        "Scale-PUR001-input-mutated": "PASSED",
        "Scale-REG001-unregistered-module": "FAILED",
    }
    assert "explained by REG001, which fails" in output
    assert "expected   the same values" in output
    assert "testing.py" not in output.split("short test summary")[0]  # no frames of ours


@pytest.mark.parametrize(
    ("pattern", "number"), [("PUR001", 3), ("Shift", 3), ("unregistered-module and Scale", 1)]
)
def test_ids_work_with_k(run, pattern, number):
    """By layer, by id and by name of the rule."""
    assert f"{number}/9 tests collected" in run("-k", pattern, "--co", "-q")


def test_known_failures_are_expected(run, pytester):
    """With a reason, from the decorator or from pyproject.toml; an unexpected pass fails."""
    output = run("-k", "PUR001", more=', expect_failures={"PUR001": "we know"}')
    assert "XFAIL test_layers.py::test_contract[Shift-PUR001-input-mutated] - we know" in output
    assert "was expected to fail (we know), and passed" in output
    pytester.makepyprojecttoml("[tool.layerwright.traits.Shift]\ninplace = true\n")
    assert outcomes(run("-k", "Shift-PUR001")) == {}


def test_it_works_on_several_processes(run, pytester):
    """With pytest-xdist; the same tests come out."""
    assert outcomes(run("-n", "2", start=pytester.runpytest_subprocess)) == outcomes(run())


def test_the_command_line_chooses_the_tier(run, pytester):
    """Rules of the full tier come with --layerwright-tier full."""
    slow = next(rule.id for rule in catalog() if rule.tier == "full" and rule.status == "stable")
    pytester.makepyfile(
        test_all="import torch, layerwright as lw\n"
        f"CASE = lw.Case(torch.nn.Tanh, torch.ones(2, 3))\n"
        f"@lw.testing.parametrize_with_rules([CASE], select=['{slow[:3]}'])\n"
        "def test_contract(promise):\n    promise()\n"
    )
    asked = ["test_all.py", "--co", "-q"]
    assert slow not in run(*asked)
    assert slow in run(*asked, "--layerwright-tier", "full")


def test_the_plugin_imports_nothing_heavy(tmp_path):
    """A suite without our decorator does not pay for torch."""
    (tmp_path / "test_light.py").write_text(
        "import sys\n\ndef test_light():\n    assert 'torch' not in sys.modules\n"
        "    assert 'layerwright.pytest_plugin' in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_light.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "1 passed" in done.stdout, done.stdout


def test_what_is_no_case_is_refused():
    """With the fix."""
    with pytest.raises(OptionError, match=r"expected Cases, received int. Fix: Case\(layer"):
        lw.testing.parametrize_with_rules([3])
