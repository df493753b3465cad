"""Attributions: exact where known by hand, complete or with a warning, drawn and written."""

import math
import sys

import pytest
import torch
from PIL import Image
from torch import nn

from layerwright.errors import MissingExtraError, OptionError
from layerwright.inspection.explain_embedding import EmbeddedText
from layerwright.inspection.explain_methods import attribute
from layerwright.inspection.explain_picture import save_explained_image
from layerwright.inspection.explain_words import (
    coloured_words,
    save_explained_words,
    strongest_words,
)

IG, OCCLUSION = "integrated-gradients", "occlusion"


def test_a_linear_score_is_attributed_exactly():
    """Each value's weight times its distance from the baseline, by both methods."""
    torch.manual_seed(0)
    weight, point, baseline = torch.randn(4), torch.randn(1, 4), torch.randn(1, 4)
    for method in (IG, OCCLUSION):
        found = attribute(lambda x: x @ weight, point, baseline, method=method, window=(1,))
        torch.testing.assert_close(found.values, weight * (point - baseline)[0])
        assert found.error < 1e-5
        assert found.warning() is None


def test_integrated_gradients_are_the_integral():
    """As summed up in plain loops along the straight line from the baseline to the input."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    point, baseline = torch.randn(1, 3), torch.zeros(1, 3)
    found = attribute(lambda x: net(x)[:, 0], point, baseline, method=IG, window=(1,))
    twin, num_steps = net.double(), 2000
    total = torch.zeros(3, dtype=torch.float64)
    for step in range(num_steps):
        x = (point.double() * (step + 0.5) / num_steps).requires_grad_()
        (slope,) = torch.autograd.grad(twin(x).sum(), x)
        total += slope[0] / num_steps
    torch.testing.assert_close(
        found.values.double(), point[0].double() * total, rtol=1e-4, atol=1e-6
    )
    assert found.is_complete


def late(x):
    """A score that only starts to rise close to the input."""
    return (100 * (x.sum(1) - 0.93)).relu()


def test_more_steps_are_taken_until_the_sum_is_complete():
    """With few steps the integral misses where the score rises."""
    point = torch.full((1, 2), 0.5)
    found = attribute(late, point, torch.zeros(1, 2), method=IG, window=(1,))
    assert found.num_steps > 32
    assert found.is_complete
    assert found.error == abs(found.total - found.difference)
    assert f"{found.num_steps} steps: sum" in found.in_words()


def test_a_backward_that_is_no_derivative_is_warned_of():
    """After the most steps; half of what the score does has no gradient here."""
    found = attribute(
        lambda x: (x + x.detach()).sum(1),
        torch.ones(1, 3),
        torch.zeros(1, 3),
        method=IG,
        window=(1,),
    )
    assert (found.num_steps, found.is_complete) == (1024, False)
    assert found.error == pytest.approx(3.0)
    assert "(50.00%)" in found.in_words()
    assert "miss more than 1% of the difference of the scores after 1024 steps" in found.warning()


def test_an_input_without_gradient_is_told_of_occlusion():
    """Which needs none."""
    point, nothing = torch.ones(1, 3), torch.zeros(1, 3)
    with pytest.raises(OptionError, match="--explain occlusion, which needs none"):
        attribute(lambda x: x.detach().sum(1), point, nothing, method=IG, window=(1,))
    found = attribute(lambda x: x.detach().sum(1), point, nothing, method=OCCLUSION, window=(1,))
    assert found.values.tolist() == [1.0, 1.0, 1.0]


def test_occlusion_shares_what_a_window_costs():
    """Hiding two of four pixels at once; windows overlap by half."""
    score = torch.tensor([1.0, 0.0, 0.0, 0.0])
    found = attribute(
        lambda x: x[:, 0] @ score, torch.ones(1, 1, 4), torch.zeros(1, 1, 4),
        method=OCCLUSION, window=(1, 2),
    )  # fmt: skip
    assert found.values[0].tolist() == [0.5, 0.25, 0.0, 0.0]
    assert "promises no sum" in found.in_words()
    assert found.warning() is None


def test_methods_and_the_extra_are_named(monkeypatch):
    """An unknown method, and a missing package."""
    with pytest.raises(OptionError, match="integrated-gradients or occlusion, received 'lime'"):
        attribute(late, torch.ones(1, 2), torch.zeros(1, 2), method="lime", window=(1,))
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(MissingExtraError, match=r"layerwright\[explain\]"):
        attribute(late, torch.ones(1, 2), torch.zeros(1, 2), method=IG, window=(1,))


class Words(nn.Module):
    """The sum of one weight for each word."""

    def __init__(self, *, twice=False):
        super().__init__()
        self.table, self.twice = nn.Embedding(10, 1, padding_idx=0), twice

    def forward(self, tokens, lengths):
        found = self.table(tokens.long())
        if self.twice:
            found = found + self.table(tokens.long())
        return found.sum(1)


def test_words_are_attributed_at_their_embedding():
    """Of a sum of weights, each word gets its weight; the hooks are gone afterwards."""
    torch.manual_seed(0)
    net, tokens = Words(), torch.tensor([[3, 7, 3]], dtype=torch.int32)
    text = EmbeddedText(net, tokens, torch.tensor([3]), padding=0)
    found = attribute(
        text.score(lambda y: y[:, 0]), text.point, text.baseline, method=IG, window=(1, 1)
    )
    torch.testing.assert_close(found.values[:, 0], net.table.weight[[3, 7, 3], 0].detach())
    assert not net.table._forward_hooks


class Bag(nn.Module):
    """The vectors of all words are one already."""

    def __init__(self):
        super().__init__()
        self.table = nn.EmbeddingBag(10, 2)

    def forward(self, tokens, lengths):
        return self.table(tokens)


@pytest.mark.parametrize("net", [Bag(), Words(twice=True)], ids=["pooled", "looked up twice"])
def test_a_network_without_a_vector_for_each_word_is_refused(net):
    """There is no place at which its words could be told apart."""
    with pytest.raises(OptionError, match=r"to look each word up once in one nn\.Embedding"):
        EmbeddedText(net, torch.tensor([[3, 7]]), torch.tensor([2]), padding=0)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_an_image_is_drawn(channels, tmp_path):
    """Input, attribution and both, for any number of channels; also where nothing is attributed."""
    values = torch.linspace(-1, 1, channels * 64).reshape(channels, 8, 8)
    for name, factor in (("some", 1), ("nothing", 0)):
        file = tmp_path / f"{name}.png"
        save_explained_image(torch.rand(channels, 8, 8), factor * values, "7", "note", file)
        with Image.open(file) as picture:
            assert picture.width > 1000
            colours = {colour for _, colour in picture.convert("RGB").getcolors(10**6)}
        reddish = [colour for colour in colours if colour[0] > colour[2] + 80]
        bluish = [colour for colour in colours if colour[2] > colour[0] + 80]
        assert reddish
        assert bluish


def test_a_page_of_words_needs_nothing_else_and_runs_nothing(tmp_path):
    """Words are escaped, and nothing is loaded from elsewhere."""
    file = tmp_path / "page.html"
    save_explained_words(
        ["good", "<script>x</script>", "&"], [0.5, -0.25, 0.0], "a<b", "note", file
    )
    page = file.read_text()
    assert '<span class="for" style="--share:0.65" title="+0.5000">good</span>' in page
    assert 'class="against" style="--share:0.33"' in page
    assert "<script" not in page
    assert "&lt;script&gt;x&lt;/script&gt;" in page
    assert "a&lt;b" in page
    assert "http" not in page
    assert "src=" not in page


def test_words_are_coloured_by_sign_and_strength():
    """The strongest get the full colour, the faint none."""
    text = coloured_words(["good", "bad", "the"], [1.0, -0.5, 0.001])
    assert text.plain.split() == ["good", "bad", "the"]
    styles = [str(span.style) for span in text.spans]
    assert styles == ["white on rgb(235,60,60)", "black on rgb(148,148,235)"]
    assert strongest_words(["a", "b", "c"], [1.0, -2.0, 0.0]) == ([("a", 1.0)], [("b", -2.0)])
    assert coloured_words([], []).plain == ""


@pytest.mark.parametrize("name", ["x.txt", "missing/x"])
def test_wrong_files_are_one_short_error(name, tmp_path):
    """Another suffix, and a folder that is not there."""
    suffix = "" if name.endswith(".txt") else ".png"
    with pytest.raises(OptionError, match=r"a file \.png|cannot be written"):
        save_explained_image(
            torch.rand(1, 4, 4), torch.rand(1, 4, 4), "", "", tmp_path / f"{name}{suffix}"
        )
    suffix = "" if name.endswith(".txt") else ".html"
    with pytest.raises(OptionError, match=r"a file \.html|cannot be written"):
        save_explained_words(["a"], [math.pi], "", "", tmp_path / f"{name}{suffix}")
