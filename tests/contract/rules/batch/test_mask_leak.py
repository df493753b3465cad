"""BAT006: what a mask lets through."""

import pytest
import torch
from torch import nn

from layerwright.contract.case import Case
from layerwright.contract.check import check


class Layer(nn.Module):
    """A layer with these parts, whose forward is `run(self, *inputs)`."""

    def __init__(self, run, **parts):
        super().__init__()
        self.run = run
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs):
        return self.run(self, *inputs)


VALID = torch.arange(5) < torch.tensor([[5], [3], [2]])


def result(layer, *inputs):
    return check(layer, *inputs, select=["BAT006"]).results[0]


def attention(fill, dim=1, *, after=False):
    def run(layer, x, valid):
        hidden = ~valid.bool().unsqueeze(dim)
        scores = layer.query(x) @ x.transpose(1, 2)
        if after:
            return torch.softmax(scores, -1).masked_fill(hidden, 0.0) @ x
        return torch.softmax(scores.masked_fill(hidden, fill), -1) @ x

    return Layer(run, query=nn.Linear(6, 6))


@pytest.mark.parametrize("mask", [VALID, VALID.long(), VALID.float()])
@pytest.mark.parametrize(
    "layer",
    [attention(1e-9), attention(0.0), attention(-1e9, dim=2), attention(0.0, after=True)],
    ids=["almost zero", "zero", "queries", "after the softmax"],
)
def test_padding_that_influences_other_positions_is_reported(layer, mask):
    """Whatever the type of the mask."""
    judged = result(layer, torch.randn(3, 5, 6), mask)
    assert judged.findings[0].severity == "error"
    assert judged.findings[0].file == __file__


def replaced(layer, x, seen):
    x = torch.where(seen.unsqueeze(-1), x, layer.token)
    return torch.softmax(x @ x.transpose(1, 2), -1) @ x


def flagged(layer, x, flags):
    x = x + layer.kinds(flags.long())
    return torch.softmax(x @ x.transpose(1, 2), -1) @ x


SOUND = {
    "minus infinity": attention(-torch.inf),
    "large": attention(-1e9),
    "fused": Layer(
        lambda _, x, valid: nn.functional.scaled_dot_product_attention(x, x, x, valid[:, None])
    ),
    "mask tokens": Layer(replaced, token=nn.Parameter(torch.randn(6))),
    "kinds of tokens": Layer(flagged, kinds=nn.Embedding(2, 6)),
    "output masked": Layer(
        lambda m, x, valid: m.lstm(x)[0] * valid.unsqueeze(-1),
        lstm=nn.LSTM(6, 4, batch_first=True, bidirectional=True),
    ),
    "convolution": Layer(
        lambda m, x, valid: m.conv(x.transpose(1, 2)) * valid.unsqueeze(1),
        conv=nn.Conv1d(6, 4, 3, padding=1),
    ),
    "loss": Layer(lambda _, x, valid: (x.square().mean(2) * valid).sum() / valid.sum()),
}


@pytest.mark.parametrize("name", SOUND)
def test_masks_and_flags_that_work_are_not_reported(name):
    """Also flags that hide nothing by design."""
    assert result(SOUND[name], torch.randn(3, 5, 6), VALID).outcome in {"passed", "skipped"}


def test_attention_of_torch_passes():
    """Its mask is true where keys are hidden."""
    layer = nn.MultiheadAttention(6, 2, batch_first=True)
    x = torch.randn(3, 5, 6)
    assert result(layer, x, x, x, ~VALID).outcome == "passed"


def translator():
    """Return a layer without the fast path, which leaves the memory of hidden places as it was."""
    return nn.Transformer(6, 2, 1, 1, 8, dropout=0.0, batch_first=True, norm_first=True).eval()


def test_each_mask_speaks_for_its_own_input():
    """A source and a target of equal length fit both masks."""

    class Read(nn.Module):
        def forward(self, source, target, hidden_source, hidden_target):
            scores = target @ source.transpose(1, 2)
            read = scores.masked_fill(hidden_source[:, None], -1e9).softmax(-1) @ source
            scores = target @ target.transpose(1, 2)
            return read + scores.masked_fill(hidden_target[:, None], -1e9).softmax(-1) @ target

    hidden_target = torch.arange(5) >= torch.tensor([[2], [5], [4]])
    x, y = torch.randn(3, 5, 6), torch.randn(3, 5, 6)
    assert result(Read(), x, y, ~VALID, hidden_target).outcome == "passed"


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_a_mask_that_hides_only_with_another_argument_is_not_reported():
    """The decoder of torch reads what the encoder's mask hides, unless it gets a mask too."""
    x, y = torch.randn(3, 5, 6), torch.randn(3, 4, 6)
    case = Case(translator(), (x, y), {"src_key_padding_mask": ~VALID})
    judged = check(case, select=["BAT006"]).results[0]
    assert judged.reason == (
        "src_key_padding_mask hides src where memory_key_padding_mask is given as well"
    )
    both = {"src_key_padding_mask": ~VALID, "memory_key_padding_mask": ~VALID}
    judged = check(Case(translator(), (x, y), both), select=["BAT006"]).results[0]
    assert judged.outcome == "passed", judged.reason


@pytest.mark.parametrize("hide", ["keys", "queries", "product"])
def test_answers_of_zero_say_nothing_about_a_mask(hide):
    """A layer that puts padding to zero at its end hides its keys, or does not."""

    def run(layer, x, valid):
        scores = layer.query(x) @ x.transpose(1, 2)
        if hide == "product":
            scores = scores * valid[:, None, :]
        else:
            hidden = ~(valid[:, None, :] if hide == "keys" else valid[:, :, None])
            scores = scores.masked_fill(hidden, -1e9)
        return torch.softmax(scores, -1) @ x * valid.unsqueeze(-1)

    judged = result(Layer(run, query=nn.Linear(6, 6)), torch.randn(3, 5, 6), VALID)
    assert judged.outcome == ("passed" if hide == "keys" else "failed"), judged.reason


def test_answers_at_hidden_places_alone_are_no_leak():
    """As in a masked autoencoder, which is asked about what it does not see."""

    def run(layer, x, hidden):
        scores = (layer.query(x) @ x.transpose(1, 2)).masked_fill(hidden[:, None, :], -1e9)
        return torch.softmax(scores, -1) @ x * hidden.unsqueeze(-1)

    judged = result(Layer(run, query=nn.Linear(6, 6)), torch.randn(3, 5, 6), ~VALID)
    assert judged.outcome != "failed"
