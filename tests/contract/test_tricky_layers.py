"""Layers that are right and look wrong get no error, in whatever mode they are handed over."""

import more_tricky_layers
import pytest
import torch
import tricky_layers

from layerwright.contract.check import check


def built(module):
    """Return the layers and inputs of a file by name."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {name: (layer, inputs) for name, layer, inputs in module.build()}


LAYERS = built(tricky_layers)
MORE_LAYERS = built(more_tricky_layers)


def judged(layer, inputs):
    """Return what must not be there: errors, and rules that crashed."""
    report = check(layer, *inputs)
    found = [str(item) for item in report.findings if item.severity == "error"]
    return found + [str(item) for item in report.results if item.outcome == "error"]


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("name", LAYERS)
def test_no_error_on_a_layer_that_is_right(name, training):
    """In both modes."""
    layer, inputs = LAYERS[name]
    assert judged(layer.train(training), inputs) == []


@pytest.mark.parametrize("name", MORE_LAYERS)
def test_no_error_on_another_author_s_layer_that_is_right(name):
    """In the mode that it is handed over in."""
    assert judged(*MORE_LAYERS[name]) == []
