"""SER003: copies that still use the original's parameters, and sharing that is meant."""

import copy
import weakref

import pytest
import torch
from torch import nn

from layerwright.contract.check import check

X = torch.randn(4, 3)


def judge(layer):
    """Run the rule alone."""
    return check(layer, X, select=["SER003"])


class Closure(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(3) + 0.5)
        self.scale = lambda x, layer=self: x * layer.weight

    def forward(self, x):
        return self.scale(x)


class SharesOnCopy(nn.Linear):
    def __deepcopy__(self, memo):
        new = SharesOnCopy(3, 3)
        new.weight, new.bias = self.weight, self.bias
        return new


class AsksParent(nn.Module):
    def __init__(self, parent):
        super().__init__()
        self.__dict__["parent"] = weakref.ref(parent)

    def forward(self, x):
        return x * self.parent().weight


class Parent(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(3) + 0.5)
        self.child = AsksParent(self)

    def forward(self, x):
        return self.child(x)


class Method(Closure):
    def __init__(self):
        super().__init__()
        self.scale = self.times

    def times(self, x):
        return x * self.weight


class WithTeacher(nn.Module):
    def __init__(self):
        super().__init__()
        teacher = nn.Linear(3, 3).requires_grad_(False)
        self.linear = nn.Linear(3, 3)
        self.teach = lambda x: 2 * teacher(x)

    def forward(self, x):
        return self.linear(x) + self.teach(x)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode = nn.Linear(3, 3)
        self.decode = nn.Linear(3, 3)
        self.decode.weight = self.encode.weight

    def forward(self, x):
        return self.decode(self.encode(x))


@pytest.mark.parametrize(("build", "where"), [(Closure, "scale"), (Parent, "child.parent")])
def test_a_function_or_reference_to_the_original_is_reported(build, where):
    """With its name and what happened to the copy's answer; the caller's layer stays as it was."""
    layer = build()
    weight = layer.weight.detach().clone()
    (finding,) = judge(layer).findings
    assert (finding.severity, finding.where) == ("error", where)
    assert "12 of 12 values differ" in finding.found
    assert torch.equal(layer.weight, weight)
    assert judge(build).findings  # and a class that builds it


def test_a_copy_method_that_shares_is_reported():
    """Whatever class __deepcopy__ belongs to."""
    (finding,) = judge(lambda: SharesOnCopy(3, 3)).findings
    assert finding.where == "copy.deepcopy"


@pytest.mark.parametrize("build", [Method, WithTeacher, Tied, lambda: nn.LazyLinear(2)])
def test_copies_of_their_own_pass(build):
    """Methods follow the copy; a teacher in a closure is nobody's own state."""
    assert judge(build()).counts == {"passed": 1}


def test_the_fault_is_real():
    """What the rule says of Closure holds with copy.deepcopy alone."""
    layer = Closure()
    twin = copy.deepcopy(layer)
    twin.weight.data.zero_()
    assert twin(X).abs().sum() > 0


class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(3))
        self.register_buffer("graph", torch.eye(4).to_sparse_coo())
        self.register_buffer("kernel", torch.ones(1, 3).expand(4, 3), persistent=False)

    def forward(self, x):
        return torch.sparse.mm(self.graph, x * self.weight * self.kernel)


def test_sparse_and_expanded_buffers_are_no_crash():
    """They cannot be changed in place as others are."""
    (judged,) = judge(Fixed()).results
    assert judged.outcome == "passed", judged.reason
