"""One trained network for all tests that need one."""

import pytest
import torch

import layerwright


@pytest.fixture(autouse=True)
def _drawn_alike():
    """Every test draws the same numbers."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A softmax classifier, trained for one epoch on the digits."""
    folder = tmp_path_factory.mktemp("exporting") / "run"
    return layerwright.fit("softmax-classifier", "digits", epochs=1, run_dir=folder)


@pytest.fixture(scope="session")
def onnx_file(run):
    """The run as ONNX."""
    return layerwright.export(run, run.dir.parent / "net.onnx").path


@pytest.fixture(scope="session")
def pt2_file(run):
    """The run as .pt2."""
    return layerwright.export(run, run.dir.parent / "net.pt2").path
