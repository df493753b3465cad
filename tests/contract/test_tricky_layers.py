"""Layers that are right and look wrong get no error, in whatever mode they are handed over."""

import pytest
import torch
import tricky_layers

from layerwright.contract.check import check

with torch.random.fork_rng(devices=[]):
    torch.manual_seed(0)
    LAYERS = {name: (layer, inputs) for name, layer, inputs in tricky_layers.build()}


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("name", LAYERS)
def test_no_error_on_a_layer_that_is_right(name, training):
    """Nor a rule that crashes; warnings are few and known."""
    layer, inputs = LAYERS[name]
    report = check(layer.train(training), *inputs)
    assert [str(item) for item in report.findings if item.severity == "error"] == []
    assert [item for item in report.results if item.outcome == "error"] == []
