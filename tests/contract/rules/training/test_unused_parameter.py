"""TRN001: parameters that nothing reads, told from those that rest for a while."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from layerwright.contract.case import Case
from layerwright.contract.check import check

X = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))


class Forgotten(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 6)
        self.gain = nn.Parameter(torch.ones(6))

    def forward(self, x):
        return self.fc(x)


class Dropped(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 6)
        self.norm = nn.LayerNorm(6)

    def forward(self, x):
        self.norm(x)
        return self.fc(x)


class Optional(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 6)
        self.context = nn.Linear(6, 6)

    def forward(self, x, context=None):
        return self.fc(x) if context is None else self.fc(x) + self.context(context)


class Auxiliary(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 6)
        self.aux = nn.Linear(6, 2)
        self.scores = None

    def forward(self, x):
        self.scores = self.aux(x)
        return self.fc(x)


class OnlyInEval(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 6)
        self.temperature = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.fc(x) if self.training else self.fc(x) / self.temperature


class Experts(nn.Module):
    """Its router prefers the first expert for all inputs at hand."""

    def __init__(self):
        super().__init__()
        self.router = nn.Linear(6, 3)
        nn.init.constant_(self.router.weight, 0.01)
        nn.init.constant_(self.router.bias[:1], 1.0)
        self.experts = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))

    def forward(self, x):
        gate, index = self.router(x).softmax(-1).max(-1)
        out = torch.zeros_like(x)
        for place, expert in enumerate(self.experts):
            chosen = index == place
            if bool(chosen.any()):
                out[chosen] = gate[chosen, None] * expert(x[chosen])
        return out


class TiedHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(9, 6)
        self.head = nn.Linear(6, 9, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens):
        return F.linear(self.embed(tokens), self.embed.weight)


class Encoder(nn.Module):
    """Its second half is for other code to call."""

    def __init__(self):
        super().__init__()
        self.down = nn.Linear(6, 2)
        self.up = nn.Linear(2, 6)

    def forward(self, x):
        return self.down(x)

    def decode(self, code):
        return self.up(code)


def found(layer, *inputs):
    """Return the findings of this rule alone."""
    report = check(layer, *inputs, select=["TRN001"])
    assert report.counts["error"] == 0, report.results
    return report.findings


def test_a_parameter_that_no_method_reads_is_an_error():
    """It is named, with the line that sets it."""
    (finding,) = found(Forgotten(), X)
    assert (finding.severity, finding.where) == ("error", "gain")
    assert "never read" in finding.found
    assert finding.line is not None


def test_it_is_found_in_a_part_of_a_network():
    """The path leads there."""
    (finding,) = found(nn.Sequential(nn.Linear(6, 6), Forgotten()), X)
    assert finding.where == "1.gain"


def test_a_result_that_is_dropped_is_a_warning():
    """The part runs, and what it computes reaches no output."""
    findings = found(Dropped(), X)
    assert [(item.severity, item.where) for item in findings] == [
        ("warning", "norm.weight"),
        ("warning", "norm.bias"),
    ]


@pytest.mark.parametrize(
    ("layer", "inputs"),
    [
        (Optional(), (X,)),
        (Auxiliary(), (X,)),
        (OnlyInEval(), (X,)),
        (Experts(), (X,)),
        (Encoder(), (X,)),
        (TiedHead(), (torch.arange(8).reshape(2, 4),)),
        (nn.MultiheadAttention(6, 2), (X, X, X)),
        (nn.LSTM(6, 3), (X,)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_rests_or_is_used_elsewhere_passes(layer, inputs):
    """Other branches, other modes, other inputs, other names, other methods."""
    assert found(layer, *inputs) == ()


def test_a_trait_allows_it():
    """By the name of the parameter."""
    case = Case(Forgotten, (X,), traits={"unused_parameters": "gain"})
    assert check(case, select=["TRN001"]).findings == ()


class Steps(nn.Module):
    """One member of the list runs, chosen by an optional number, or always the first."""

    def __init__(self, *, chosen):
        super().__init__()
        self.steps = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
        self.chosen = chosen

    def forward(self, x, index=0):
        return self.steps[index if self.chosen else 0](x)


def test_members_that_an_optional_number_chooses_pass():
    """A caller runs them one after the other; where the number has no part, they are unused."""
    assert check(Steps(chosen=True), X, select=["TRN001"]).results[0].outcome == "skipped"
    findings = check(Steps(chosen=False), X, select=["TRN001"]).findings
    assert {finding.where.rpartition(".")[0] for finding in findings} == {"steps.1", "steps.2"}


class Guided(nn.Module):
    """Classifier-free guidance: some samples get a learned value in place of their own."""

    def __init__(self, *, forgotten=False):
        super().__init__()
        self.forgotten = forgotten
        self.fc = nn.Linear(6, 6)
        self.null = nn.Parameter(torch.zeros(6))

    def forward(self, x, drop=None):
        null = self.null if self.forgotten else None
        if drop is not None:
            x = torch.where(drop[:, None], self.null if null is None else null, x)
        return self.fc(x)


def test_a_parameter_on_a_branch_that_is_not_taken_passes():
    """Forward never asked for it; one that it asks for and drops is reported."""
    assert found(Guided(), X) == ()
    (finding,) = found(Guided(forgotten=True), X)
    assert finding.where == "null"


def test_a_scripted_part_is_no_crash():
    """Its parameters are no nn.Parameter for `get_parameter`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        part = torch.jit.script(nn.Linear(6, 6))
    layer = nn.Sequential(part, Forgotten())
    assert [item.where for item in found(layer, X)] == ["1.gain"]
