"""REG001: modules that torch does not see."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def judged(layer, *inputs):
    """Return the result of REG001."""
    (result,) = check(layer, *inputs, select=["REG001"]).results
    return result


class Holder(nn.Module):
    """Calls what `parts` returns, one after the other."""

    def __init__(self, make):
        super().__init__()
        self.stem = nn.Linear(3, 3)
        self.held = make()

    def parts(self):
        return self.held

    def forward(self, x):
        x = self.stem(x)
        for part in self.parts():
            x = part(x)
        return x


class DropoutByName(Holder):
    def parts(self):
        return self.held.values()


class Pair:
    def __init__(self):
        self.left, self.right = nn.Linear(3, 3), nn.Linear(3, 3)


class InObject(Holder):
    def parts(self):
        return (self.held.left, self.held.right)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cells = (nn.GRUCell(3, 3), nn.GRUCell(3, 3))

    def forward(self, x):
        h = torch.zeros_like(x)
        return self.cells[1](self.cells[0](x, h), h)


def test_a_linear_in_a_list_is_an_error():
    """The finding names the place in the list and how many parameters are lost."""
    result = judged(Holder(lambda: [nn.ReLU(), nn.Linear(3, 3)]), torch.randn(4, 3))
    (finding,) = result.findings
    assert finding.severity == "error"
    assert finding.where == "held[1]"
    assert "2 parameters (weight, bias)" in finding.found
    assert "nn.ModuleList" in finding.fix
    assert finding.file.endswith("test_unregistered_module.py")


def test_a_dropout_in_a_dict_is_an_error():
    """It has no parameters, but eval() does not turn it off."""
    result = judged(DropoutByName(lambda: {"drop": nn.Dropout(0.5)}), torch.randn(4, 3))
    (finding,) = result.findings
    assert finding.where == "held['drop']"
    assert "stays in training mode after eval()" in finding.found
    assert "nn.ModuleDict" in finding.fix


@pytest.mark.parametrize(
    "layer", [InObject(Pair), Recurrent(), nn.Sequential(nn.Linear(3, 3), Recurrent())]
)
def test_modules_are_found_in_objects_tuples_and_nested_layers(layer):
    """Two of them each."""
    assert len(judged(layer, torch.randn(4, 3)).findings) == 2


def test_a_module_behind_a_closure_is_a_warning():
    """Somebody else may have registered it."""
    inner = nn.Linear(3, 3)
    layer = Holder(nn.ModuleList)
    layer.act = lambda x: inner(x) * 1.0
    layer.parts = lambda: (layer.act,)
    (finding,) = judged(layer, torch.randn(4, 3)).findings
    assert finding.severity == "warning"


def frozen_teacher():
    return [nn.Linear(3, 3).requires_grad_(requires_grad=False).eval()]


@pytest.mark.parametrize(
    "layer",
    [
        Holder(lambda: nn.ModuleList([nn.Linear(3, 3)])),
        Holder(lambda: [nn.ReLU(), nn.Softmax(-1)]),
        Holder(frozen_teacher),
        nn.LSTM(3, 3),
        nn.TransformerEncoderLayer(4, 2, dropout=0.0),
        nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)),
        torch.compile(nn.Linear(3, 3), backend="eager"),
    ],
)
def test_sound_layers_pass(layer):
    """Registered parts, stateless ones, and a frozen teacher in eval mode."""
    width = 4 if isinstance(layer, nn.TransformerEncoderLayer) else 3
    assert judged(layer, torch.randn(5, width)).outcome == "passed"


def test_a_closure_over_self_passes():
    """A copy of the layer leads to the layer that was given, which registers its parts."""
    layer = nn.Sequential(nn.Linear(3, 3))
    layer.step = lambda x: layer[0](x) * 1.0
    layer.forward = layer.step
    assert judged(layer, torch.randn(4, 3)).outcome == "passed"


def test_a_list_that_also_names_registered_modules_passes():
    """A second, unregistered way to a registered module does no harm."""
    layer = Holder(list)
    layer.held.append(layer.stem)
    assert judged(layer, torch.randn(4, 3)).outcome == "passed"


def test_a_hidden_batch_norm_of_a_closure_is_left_as_it_was():
    """The check runs the user's own module, and puts its statistics back."""
    norm = nn.BatchNorm1d(3)
    layer = Holder(nn.ModuleList)
    layer.parts = lambda: (norm,)
    judged(layer, torch.randn(4, 3) + 5.0)
    assert norm.running_mean.tolist() == [0.0, 0.0, 0.0]
    assert norm.num_batches_tracked == 0
