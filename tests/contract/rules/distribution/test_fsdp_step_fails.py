"""DST002 fsdp-step-fails."""

import gc
import weakref
from dataclasses import dataclass

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, spectral_norm

from layerwright.contract.catalog import catalog, selected
from layerwright.contract.check import check


def result(layer, *inputs):
    """Return what the rule comes to."""
    inputs = inputs or (torch.randn(4, 3, generator=torch.Generator().manual_seed(0)),)
    (found,) = check(layer, *inputs, select=["DST002"]).results
    assert found.outcome != "error", found.reason
    assert not dist.is_initialized()
    return found


class Scalar(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return x * self.scale


class Transposed(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3).t())

    def forward(self, x):
        return x @ self.weight


class TwoDtypes(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.scale = nn.Parameter(torch.ones(3, dtype=torch.float64))

    def forward(self, x):
        return (self.linear(x) * self.scale).float()


class HeldParameter(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3))
        weight = self.weight
        self.project = lambda x: F.linear(x, weight)

    def forward(self, x):
        return self.project(x)


class HeldView(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3))
        self.transposed = self.weight.data.t()

    def forward(self, x):
        return F.linear(F.linear(x, self.weight), self.transposed)


class UnitRows(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        self.linear.weight.data = F.normalize(self.linear.weight.data, dim=1)
        return self.linear(x)


class ReadsBeforeForward(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3))

    def __call__(self, x):
        return super().__call__(x @ self.weight)

    def forward(self, x):
        return x @ self.weight


@pytest.mark.parametrize(
    ("cls", "name", "words"),
    [
        (Scalar, "scale", "doesn't support scalar parameters"),
        (Transposed, "weight", "does not support non-contiguous parameters"),
        (TwoDtypes, "scale", "expects uniform original parameter dtype"),
    ],
)
def test_a_parameter_that_cannot_be_sharded_is_named(cls, name, words):
    """With torch's own words, and the line that makes it."""
    (found,) = result(cls()).findings
    assert found.severity == "warning"
    assert found.where == name
    assert words in found.found
    assert found.file == __file__


def test_what_is_read_from_elsewhere_is_found():
    """A closure that holds the Parameter, and a view of it: neither sees the updates."""
    (found,) = result(HeldParameter()).findings
    assert found.where == "weight"
    assert found.found.startswith("after training step 1 9 of 9 values differ")
    (found,) = result(HeldView()).findings
    assert found.where == "the output of training step 2"
    assert "12 of 12 values differ" in found.found


def test_what_forward_writes_into_a_weight_is_lost():
    """The plain layer trains a normalised weight, the shards keep the other one."""
    (found,) = result(nn.Sequential(UnitRows())).findings
    assert found.where == "0.linear.weight"
    (found,) = result(nn.Embedding(9, 3, max_norm=0.1), torch.tensor([[1, 2], [3, 4]])).findings
    assert found.where == "weight"


def test_what_raises_under_fully_shard_is_found():
    """A weight that is read before the shards are gathered meets a plain tensor."""
    (found,) = result(ReadsBeforeForward()).findings
    assert found.where == "training step 1"
    assert "got mixed torch.Tensor and DTensor" in found.found
    assert found.file == __file__


@dataclass
class Output:
    answer: torch.Tensor


class Wraps(nn.Module):
    """Its output is of a class that torch 2.11 does not look into."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 3)

    def forward(self, x):
        return Output(self.body(x))


def test_a_container_that_torch_does_not_know_is_no_fault():
    """Later versions of torch find the tensors in it."""
    assert result(Wraps()).outcome in ("passed", "skipped")


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode = nn.Linear(3, 3)
        self.decode = nn.Linear(3, 3)
        self.decode.weight = self.encode.weight

    def forward(self, x):
        return {"code": self.encode(x), "answer": [self.decode(self.encode(x).relu())]}


class Frozen(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 3).requires_grad_(False)
        self.head = nn.Linear(3, 3)
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x):
        self.count += 1
        return self.head(self.body(x)).masked_fill(self.count < 0, 0.0)


class ReadsWeights(nn.Module):
    """It takes the weight of a part, and keeps a closure over itself."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(3, 3)
        self.steps = [lambda x: F.linear(self.embed(x), self.embed.weight.t())]
        self.register_forward_hook(lambda layer, _, output: output + layer.embed.bias)

    def forward(self, x):
        return self.steps[0](x)


@pytest.mark.parametrize(
    "build",
    [
        Tied,
        Frozen,
        ReadsWeights,
        lambda: nn.Linear(3, 3),
        lambda: nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)),
        lambda: nn.LSTM(3, 3),
        lambda: nn.MultiheadAttention(3, 1),
        lambda: spectral_norm(nn.Linear(3, 3)),
        lambda: parametrizations.weight_norm(nn.Linear(3, 3)),
        lambda: nn.Linear(3, 3, dtype=torch.complex64),
    ],
)
def test_layers_that_train_alike_pass(build):
    """Shared and frozen parameters, buffers, hooks, norms of weights, recurrence, attention."""
    layer, x = build(), torch.randn(4, 3)
    inputs = (x, x, x) if isinstance(layer, nn.MultiheadAttention) else (x,)
    if next(layer.parameters()).is_complex():
        inputs = (x.to(torch.complex64),)
    found = result(layer, *inputs)
    assert found.outcome == "passed", (found.reason, found.findings)


def test_nothing_stays_behind():
    """The layer is as it was, its class can go, and no process group is left."""

    class Own(nn.Linear):
        pass

    layer = Own(3, 3)
    assert result(layer).outcome == "passed"
    assert type(layer) is Own
    assert type(layer.weight) is nn.Parameter
    own = weakref.ref(Own)
    del layer, Own
    gc.collect()
    assert own() is None


def test_it_is_skipped_where_it_cannot_judge(monkeypatch):
    """A process group of the caller's is left alone; some builds of torch have none."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        (found,) = check(Scalar(), torch.randn(4, 3), select=["DST002"]).results
        assert found.reason == "the process has a default process group already"
        assert dist.is_initialized()
    finally:
        dist.destroy_process_group()
    monkeypatch.setattr(dist, "is_available", lambda: False)
    (found,) = check(Scalar(), torch.randn(4, 3), select=["DST002"]).results
    assert found.reason == "this torch has no distributed package"


def test_it_runs_only_if_it_is_named():
    """No tier and no letters bring it; its id and its name do. A warning ends nothing red."""
    for select in (None, ["DST"]):
        assert "DST002" not in {rule.id for rule in selected(catalog(), tier="full", select=select)}
    report = check(Scalar(), torch.randn(4, 3), select=["fsdp-step-fails"])
    assert [item.rule_id for item in report.results] == ["DST002"]
    assert report.ok
