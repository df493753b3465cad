"""A finding's snippet shows the finding again, on its own, in a fresh interpreter."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
import zoo_entry
from torch import nn

from layerwright.contract.case import Case
from layerwright.contract.check import check

ROOT = Path(__file__).parents[2]


def run(snippet, folder=ROOT):
    """Run a snippet and return what it prints, in one line."""
    done = subprocess.run(
        [sys.executable, "-c", snippet],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.split())


def test_small_inputs_and_weights_are_written_out():
    """So the numbers are the finding's own."""
    entry = zoo_entry.ZOO / "purity" / "shift_in_place.py"
    (finding,) = check(zoo_entry.case_of(zoo_entry.load(entry), "Broken")).findings
    assert finding.rule_id == "PUR001"
    said = run(finding.reproduce)
    assert "PUR001 input-mutated" in said
    assert " ".join(finding.found.split()) in said


def test_a_layer_that_cannot_be_named_has_no_snippet():
    """A class inside a function, a lambda."""

    class Local(nn.Module):
        def forward(self, x):
            return x.add_(1.0)

    for layer in (Local(), Local, lambda: Local()):  # noqa: PLW0108 - a lambda is what is tested
        (finding,) = check(layer, torch.zeros(2), select=["PUR001"]).findings
        assert finding.reproduce == ""


def test_arguments_keywords_and_traits_are_written():
    """The construction, the call and what the layer does on purpose."""
    case = Case(
        partial(nn.Linear, 3, out_features=2),
        torch.ones(2, 3),
        traits={"frozen_parameters": "bias"},
    )
    from layerwright.contract.building import subject_of
    from layerwright.contract.catalog import catalog
    from layerwright.contract.reproduction import snippet_for

    snippet = snippet_for(subject_of(case, 0, lambda cls: {}), catalog()[0], 0)
    assert "layer = Linear(3, out_features=2)" in snippet
    assert "traits={'frozen_parameters': ('bias',)}" in snippet
    assert "load_state_dict" in snippet
    run(snippet)


@pytest.mark.slow
@pytest.mark.parametrize("path", zoo_entry.entries(), ids=zoo_entry.name_of)
def test_the_snippet_of_every_finding_of_the_zoo_shows_it_again(path):
    """In the same words; numbers may differ where inputs are drawn again."""
    report = zoo_entry.report_of(path, "Broken")
    shown = [item for item in report.findings if item.severity != "note" and not item.explained_by]
    for snippet in {item.reproduce for item in shown}:
        assert snippet, report.subject
        said = run(snippet)
        for finding in shown:
            if finding.reproduce == snippet:
                assert f"{finding.rule_id} {finding.rule_name}" in said
