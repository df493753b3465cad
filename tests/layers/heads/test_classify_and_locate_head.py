"""ClassifyAndLocateHead: two convolutions, whose channels become anchors and values."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.heads.classify_and_locate_head import ClassifyAndLocateHead

# torch's own doing: what its compiler uses inside is deprecated
COMPILER = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
ANCHORS = [(0.2, 0.2), (0.4, 0.2), (0.1, 0.3)]


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("batch", [None, 0, 1, 2])
def test_outputs_are_those_of_two_convolutions(kernel_size, batch):
    """Value by value: channel a (C + 1) + k of the convolution is class k of anchor a."""
    head = ClassifyAndLocateHead(2, 4, ANCHORS, kernel_size=kernel_size, dtype=torch.float64)
    x = torch.randn(*(() if batch is None else (batch,)), 2, 3, 5, dtype=torch.float64)
    scores, offsets = head(x)
    assert scores.shape == (*x.shape[:-3], 3, 5, 3, 5)
    assert offsets.shape == (*x.shape[:-3], 3, 5, 3, 4)
    for got, layer, size in ((scores, head.scores, 5), (offsets, head.offsets, 4)):
        wanted = F.conv2d(x, layer.weight, layer.bias, padding=kernel_size // 2)
        for anchor in range(3):
            for value in range(size):
                torch.testing.assert_close(
                    got[..., anchor, value], wanted[..., anchor * size + value, :, :]
                )


@COMPILER
def test_compilation_tracing_and_export():
    """Compiled, traced and exported it computes the same."""
    head = ClassifyAndLocateHead(2, 4, ANCHORS)
    x = torch.randn(2, 2, 3, 5)
    wanted = head(x)
    torch._dynamo.reset()
    compiled = torch.compile(head, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), wanted)
    torch.testing.assert_close(torch.fx.symbolic_trace(nn.Sequential(head))(x), wanted)
    torch.testing.assert_close(torch.export.export(head, (x,)).module()(x), wanted)


def test_state_and_types(tmp_path):
    """The state goes round through a file; bfloat16 stays bfloat16."""
    head, fresh = ClassifyAndLocateHead(2, 4, ANCHORS), ClassifyAndLocateHead(2, 4, ANCHORS)
    x = torch.randn(2, 2, 3, 5)
    torch.save(head.state_dict(), tmp_path / "state.pt")
    assert not torch.equal(head(x)[0], fresh(x)[0])
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert all(torch.equal(*pair) for pair in zip(head(x), fresh(x), strict=True))
    assert {t.dtype for t in head.bfloat16()(x.bfloat16())} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"num_classes": 0}, "expected num_classes to be a whole number from 1, received 0."),
        ({"kernel_size": 2}, "expected kernel_size to be an odd number from 1, received 2."),
        (
            {"anchors": [(0.2, -1)]},
            (
                "expected anchors to be one or more pairs (height, width) of positive "
                "shares of the image, received [(0.2, -1)]."
            ),
        ),
    ],
)
def test_impossible_options_are_refused(options, text):
    """The message names the option, what it may be and what it was."""
    with pytest.raises(OptionError) as caught:
        ClassifyAndLocateHead(**{"in_channels": 2, "num_classes": 3, "anchors": ANCHORS, **options})
    assert str(caught.value) == f"ClassifyAndLocateHead {text}"


def test_inputs_that_do_not_fit_are_refused():
    """The message names what fits."""
    with pytest.raises(ShapeError, match=r"ClassifyAndLocateHead expected \(N, 2, H, W\)"):
        ClassifyAndLocateHead(2, 3, ANCHORS)(torch.zeros(1, 3, 4, 4))
