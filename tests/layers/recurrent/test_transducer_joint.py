"""TransducerJoint against loops over frames and prefixes."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torch.func import grad, vmap

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.recurrent.transducer_joint import TransducerJoint
from layerwright.layers.recurrent.transducer_loss import TransducerLoss


def by_loops(joint, frame, prefix):
    """Return the logits of one frame and one prefix, with numbers and lists."""
    state = joint.state_dict()
    row = lambda name, index: state[name][index].tolist()  # noqa: E731
    dot = lambda p, q: sum(a * b for a, b in zip(p, q, strict=True))  # noqa: E731
    hidden = [
        math.tanh(
            dot(row("encoder_proj.weight", k), frame.tolist())
            + dot(row("predictor_proj.weight", k), prefix.tolist())
            + row("encoder_proj.bias", k)
        )
        for k in range(state["encoder_proj.bias"].shape[0])
    ]
    return [
        dot(row("output_proj.weight", k), hidden) + row("output_proj.bias", k)
        for k in range(state["output_proj.bias"].shape[0])
    ]


@settings(deadline=None, max_examples=25)
@given(
    outer=st.sampled_from([(), (0,), (1,), (2,)]),
    frames=st.integers(0, 3),
    prefixes=st.integers(0, 3),
)
def test_every_pair_is_joined(outer, frames, prefixes):
    """Each frame meets each prefix of its own sample, with and without a batch."""
    joint = TransducerJoint(2, 3, 4, 5, dtype=torch.float64)
    encoded = torch.randn(*outer, frames, 2, dtype=torch.float64)
    predicted = torch.randn(*outer, prefixes, 3, dtype=torch.float64)
    found = joint(encoded, predicted)
    assert found.shape == (*outer, frames, prefixes, 5)
    pairs = zip(
        found.reshape(-1, frames, prefixes, 5),
        encoded.reshape(-1, frames, 2),
        predicted.reshape(-1, prefixes, 3),
        strict=True,
    ) if found.numel() else ()  # fmt: skip
    for logits, sample, written in pairs:
        for t in range(frames):
            for u in range(prefixes):
                wanted = by_loops(joint, sample[t], written[u])
                assert logits[t, u].tolist() == pytest.approx(wanted, abs=1e-12)


def test_learns_to_write_what_it_hears():
    """Joint and loss together: the loss of two short sentences falls to almost nothing."""
    torch.manual_seed(0)
    joint, loss = TransducerJoint(4, 3, 32, 4), TransducerLoss()
    encoded, predicted = torch.randn(2, 5, 4), torch.randn(2, 3, 3)
    rest = torch.tensor([[1, 2], [3, 0]]), torch.tensor([5, 4]), torch.tensor([2, 1])
    optimizer = torch.optim.Adam(joint.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        value = loss(joint(encoded, predicted), *rest)
        value.backward()
        optimizer.step()
    assert value.item() < 0.05


def test_derivatives_pass_finite_differences():
    """Gradients of both inputs and of all weights agree with finite differences."""
    joint = TransducerJoint(2, 3, 3, 2, dtype=torch.float64)
    encoded = torch.randn(2, 2, 2, dtype=torch.float64, requires_grad=True)
    predicted = torch.randn(2, 2, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda e, p, *_: joint(e, p), (encoded, predicted, *joint.parameters()))


# said by the compiler about the hand-written backward of our Linear
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_composes_with_transforms_compilation_and_export():
    """Per-sample gradients, tracing, a compiled graph and an exported one agree with eager mode."""
    joint = TransducerJoint(2, 3, 4, 5, dtype=torch.float64)
    arguments = torch.randn(4, 3, 2).double(), torch.randn(4, 2, 3).double()
    loss = lambda e, p: joint(e, p).square().sum()  # noqa: E731
    torch.testing.assert_close(vmap(grad(loss))(*arguments), grad(loss)(*arguments))
    torch._dynamo.reset()
    compiled = torch.compile(joint, backend="aot_eager", fullgraph=True)
    program = torch.export.export(joint, arguments)
    for run in (compiled, torch.fx.symbolic_trace(joint), program.module(), copy.deepcopy(joint)):
        torch.testing.assert_close(run(*arguments), joint(*arguments))


def test_bfloat16_stays_bfloat16():
    """Half precision goes in and comes out, near the exact answer."""
    joint = TransducerJoint(2, 3, 4, 5)
    arguments = torch.randn(2, 3, 2), torch.randn(2, 4, 3)
    found = copy.deepcopy(joint).bfloat16()(*(item.bfloat16() for item in arguments))
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), joint(*arguments), atol=3e-2, rtol=3e-2)


def test_reset_starts_anew():
    """`reset_parameters` gives the values of a new layer."""
    torch.manual_seed(1)
    joint = TransducerJoint(2, 3, 4, 5)
    start = copy.deepcopy(joint.state_dict())
    for parameter in joint.parameters():
        parameter.data.zero_()
    torch.manual_seed(1)
    joint.reset_parameters()
    for name, value in joint.state_dict().items():
        assert torch.equal(value, start[name]), name
    parameters = TransducerJoint(2, 3, 4, 5, device="meta").parameters()
    assert {p.device.type for p in parameters} == {"meta"}


def test_what_does_not_fit_is_refused():
    """The messages name what fits."""
    with pytest.raises(OptionError) as caught:
        TransducerJoint(2, 3, 4, 0)
    assert str(caught.value) == (
        "TransducerJoint expected num_classes to be a whole number from 1, received 0."
    )
    joint = TransducerJoint(2, 3, 4, 5)
    for one, other in (
        ((2, 4, 2), (3, 5, 3)),
        ((4, 2), (1, 5, 3)),
        ((4, 3), (5, 3)),
        ((4, 2), (5, 2)),
        ((2,), (3,)),
    ):
        with pytest.raises(ShapeError) as caught:
            joint(torch.zeros(one), torch.zeros(other))
        assert str(caught.value) == (
            f"TransducerJoint expected (N, T, 2) and (N, U + 1, 3), or both without N, "
            f"received {one} and {other}."
        )
