"""The contract in a user's own test suite, run in a pytest of its own."""

import subprocess
import sys

import pytest

import layerwright as lw
from layerwright.contract.catalog import catalog
from layerwright.errors import OptionError

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


def run(folder, *arguments, more=""):
    """Run the suite in a fresh pytest; return its output."""
    (folder / "test_layers.py").write_text(SUITE.replace("{more}", more))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-rA",
            "--no-header",
            *arguments,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return done.stdout


def outcomes(output):
    """Return the outcome of each test id of the short summary."""
    found = {}
    for line in output.splitlines():
        outcome, _, rest = line.partition(" ")
        if outcome in {"PASSED", "FAILED"} and "[" in rest:
            found[rest.split("[")[1].split("]")[0]] = outcome
    return found


def test_one_test_for_each_layer_and_rule(tmp_path):
    """A fault fails the test of its root cause; what follows from it is skipped, and says so."""
    output = run(tmp_path)
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
def test_ids_work_with_k(tmp_path, pattern, number):
    """By layer, by id and by name of the rule."""
    assert f"{number}/9 tests collected" in run(tmp_path, "-k", pattern, "--co", "-q")


def test_known_failures_are_expected(tmp_path):
    """With a reason, from the decorator or from pyproject.toml; an unexpected pass fails."""
    output = run(tmp_path, "-k", "PUR001", more=', expect_failures={"PUR001": "we know"}')
    assert "XFAIL test_layers.py::test_contract[Shift-PUR001-input-mutated] - we know" in output
    assert "was expected to fail (we know), and passed" in output
    (tmp_path / "pyproject.toml").write_text("[tool.layerwright.traits.Shift]\ninplace = true\n")
    assert outcomes(run(tmp_path, "-k", "Shift-PUR001")) == {}


def test_it_works_on_several_processes(tmp_path):
    """With pytest-xdist; the same tests come out."""
    assert outcomes(run(tmp_path, "-n", "2")) == outcomes(run(tmp_path))


def test_the_command_line_chooses_the_tier(tmp_path):
    """Rules of the full tier come with --layerwright-tier full."""
    slow = next(rule.id for rule in catalog() if rule.tier == "full" and rule.status == "stable")
    (tmp_path / "test_all.py").write_text(
        "import torch, layerwright as lw\n"
        f"CASE = lw.Case(torch.nn.Tanh, torch.ones(2, 3))\n"
        f"@lw.testing.parametrize_with_rules([CASE], select=['{slow[:3]}'])\n"
        "def test_contract(promise):\n    promise()\n"
    )
    asked = ["test_all.py", "--co", "-q"]
    assert slow not in run(tmp_path, *asked)
    assert slow in run(tmp_path, *asked, "--layerwright-tier", "full")


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
