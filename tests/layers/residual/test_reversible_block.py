"""ReversibleBlock and ReversibleSequence: outputs, gradients, and what is kept for them."""

import copy
import gc
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call, grad, hessian, jvp, vmap
from torch.utils.checkpoint import checkpoint

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.regularization.dropout import Dropout
from layerwright.layers.residual.reversible_block import ReversibleBlock
from layerwright.layers.residual.reversible_function import CouplingFunction
from layerwright.layers.residual.reversible_sequence import ReversibleSequence

# torch's own doing: what its forward mode and its compiler use inside is deprecated
FORWARD_MODE = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
COMPILER = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


class PlainBlock(nn.Module):
    """The formula, differentiated by torch: shares f and g with a block of ours."""

    def __init__(self, block):
        super().__init__()
        self.f, self.g, self.dim = block.f, block.g, block.dim

    def forward(self, x):
        x1, x2 = x.chunk(2, self.dim)
        y1 = x1 + self.f(x2)
        y2 = x2 + self.g(y1)
        return torch.cat([y1, y2], self.dim)


def plain(sequence):
    """The same network of plain blocks, with parameters of its own."""
    return nn.Sequential(*(PlainBlock(block) for block in copy.deepcopy(sequence).blocks))


def branch(width=3, *more):
    """A small network of one half."""
    return nn.Sequential(nn.Linear(width, 4), nn.Tanh(), *more, nn.Linear(4, width))


def sequence(depth=3, *more):
    """Blocks in double precision."""
    blocks = [ReversibleBlock(branch(3, *more), branch(3, *more)) for _ in range(depth)]
    return ReversibleSequence(*blocks).double()


def step(network, x, forward=None):
    """Output and gradients after one backward of a sum of squares."""
    x = x.detach().clone().requires_grad_()
    network.zero_grad()
    y = (network if forward is None else forward)(x)
    y.square().sum().backward()
    return [y.detach(), x.grad, *(parameter.grad for parameter in network.parameters())]


@settings(deadline=None, max_examples=25)
@given(
    depth=st.integers(1, 3),
    batch=st.integers(0, 3),
    half=st.integers(1, 3),
    length=st.integers(0, 2),
    dim=st.sampled_from([1, -1]),
)
def test_outputs_and_gradients_are_those_of_plain_blocks(depth, batch, half, length, dim):
    """For any depth, size and dim, empty tensors included."""
    shape = (batch, 2 * half, length) if dim == 1 else (batch, length, 2 * half)
    width = length if dim == 1 else half
    blocks = []
    for _ in range(depth):
        layers = [nn.Linear(width, width) if width else nn.Identity() for _ in range(2)]
        blocks.append(ReversibleBlock(*layers, dim=dim))
    ours = ReversibleSequence(*blocks).double()
    x = torch.randn(shape, dtype=torch.float64)
    torch.testing.assert_close(step(ours, x), step(plain(ours), x))
    torch.testing.assert_close(ours.inverse(ours(x)), x)


def test_the_formula_number_by_number():
    """One block on numbers, with functions that anybody can compute."""

    class Scale(nn.Module):
        def __init__(self, factor):
            super().__init__()
            self.factor = nn.Parameter(torch.tensor(factor, dtype=torch.float64))

        def forward(self, x):
            return self.factor * x

    block = ReversibleBlock(Scale(2.0), Scale(3.0), dim=0)
    x = torch.tensor([5.0, 7.0], dtype=torch.float64, requires_grad=True)
    y = block(x)  # y1 = 5 + 2 * 7, y2 = 7 + 3 * 19
    assert y.tolist() == [19, 64]
    y.backward(torch.tensor([1.0, 10.0], dtype=torch.float64))
    assert block.g.factor.grad.item() == 10 * 19
    assert block.f.factor.grad.item() == (1 + 10 * 3) * 7
    assert x.grad.tolist() == [1 + 10 * 3, 10 + 2 * (1 + 10 * 3)]


def test_derivatives_pass_finite_differences():
    """First and second derivatives of input and parameters."""
    block = ReversibleBlock(branch(1), branch(1)).double()
    names = [name for name, _ in block.named_parameters()]

    def function(x, *values):
        return functional_call(block, dict(zip(names, values, strict=True)), (x,))

    inputs = (torch.randn(2, 2, dtype=torch.float64, requires_grad=True), *block.parameters())
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


def test_second_derivatives_of_a_sequence():
    """A gradient penalty over several blocks that share modules: as with plain blocks."""
    shared = branch()
    blocks = [ReversibleBlock(shared, branch()), ReversibleBlock(branch(), shared)]
    ours = ReversibleSequence(*blocks).double()
    theirs = nn.Sequential(*(PlainBlock(block) for block in blocks))
    results = []
    for network in (ours, theirs):
        x = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(2, 6).requires_grad_()
        (first,) = torch.autograd.grad(network(x).pow(3).sum(), x, create_graph=True)
        results.append(torch.autograd.grad(first.square().sum(), [x, *ours.parameters()]))
    torch.testing.assert_close(*results)


def test_shared_frozen_and_unused_parameters():
    """Tied modules sum their gradients; frozen and unused ones have none."""

    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.idle = nn.Parameter(torch.ones(1))
            self.linear = nn.Linear(3, 3)

        def forward(self, x):
            return self.linear(x)

    shared, idle = branch(), Idle()
    ours = ReversibleSequence(ReversibleBlock(shared, idle), ReversibleBlock(shared, shared))
    ours.double()
    idle.linear.weight.requires_grad_(False)
    x = torch.randn(4, 6, dtype=torch.float64)
    got, wanted = step(ours, x), step(plain(ours), x)
    assert [tensor is None for tensor in got] == [tensor is None for tensor in wanted]
    assert sum(tensor is None for tensor in got) == 2
    for a, b in zip(got, wanted, strict=True):
        if a is not None:
            torch.testing.assert_close(a, b)
    ours.requires_grad_(False)
    leaf = x.clone().requires_grad_()
    ours(leaf).sum().backward()
    assert leaf.grad is not None


def test_dropout_repeats_its_masks():
    """The gradients are those of the masks of forward, and backward draws nothing."""
    ours = sequence(3, Dropout(0.5))
    theirs, x = plain(ours), torch.randn(5, 6, dtype=torch.float64)
    results = []
    for network in (ours, theirs):
        torch.manual_seed(0)
        results.append(step(network, x))
        results[-1].append(torch.rand(1))
    torch.testing.assert_close(*results)


def test_random_states_are_kept_only_where_numbers_are_drawn():
    """A block without dropout keeps no state of a generator."""
    x = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)

    def states(network):
        return [bool(b.random) for b in network(x).grad_fn.next_functions[0][0].passage._before]

    assert states(sequence(2)) == [False] * 4
    assert states(sequence(2, Dropout(0.5))) == [True] * 4
    assert states(sequence(2, Dropout(0.5)).eval()) == [False] * 4


def test_running_statistics_are_updated_once():
    """Backward runs batch normalisation again without counting the batch twice."""
    blocks = [ReversibleBlock(nn.BatchNorm1d(3), nn.BatchNorm1d(3)) for _ in range(2)]
    ours = ReversibleSequence(*blocks).double()
    theirs = plain(ours)
    for _ in range(3):
        x = torch.randn(8, 6, dtype=torch.float64)
        torch.testing.assert_close(step(ours, x), step(theirs, x))
    for got, wanted in zip(ours.buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(got, wanted)
    x = torch.randn(8, 6, dtype=torch.float64, requires_grad=True)
    before = [buffer.clone() for buffer in ours.eval().buffers()]
    ours(x).sum().backward()
    assert all(torch.equal(*pair) for pair in zip(before, ours.buffers(), strict=True))


def test_a_module_whose_answer_depends_on_its_state():
    """What it changes in forward is put back for backward, also when backward runs twice."""

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, x):
            self.calls.add_(1)
            return self.weight * self.calls * x

    for training in (True, False):
        ours = ReversibleSequence(ReversibleBlock(Counting(), Counting())).train(training)
        theirs = plain(ours)
        results = []
        for network in (ours, theirs):
            for _ in range(2):
                y = network(torch.ones(1, 2))
                y.sum().backward(retain_graph=True)
                y.sum().backward()
            results.append([y.detach(), *(p.grad for p in network.parameters())])
            results[-1] += list(network.buffers())
        torch.testing.assert_close(*results)


@pytest.mark.parametrize("depth", [2, 12])
def test_what_is_kept_does_not_grow_with_depth(depth):
    """Of all activations the two halves of the last output, whatever the number of blocks."""
    network = sequence(depth)
    x = torch.randn(7, 6, dtype=torch.float64)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        network(x)
    parameters = {parameter.data_ptr() for parameter in network.parameters()}
    assert sum(t.numel() for t in saved if t.data_ptr() not in parameters) == 7 * 6


def test_activations_are_released():
    """Nothing of what f and g made outlives forward, nor backward."""
    alive = []

    class Watch(nn.Module):
        def forward(self, x):
            y = x.tanh()
            alive.append(weakref.ref(y))
            return y

    network = ReversibleSequence(*(ReversibleBlock(Watch(), Watch()) for _ in range(4)))
    y = network(torch.randn(2, 6, requires_grad=True))
    gc.collect()
    assert len(alive) == 8
    assert all(reference() is None for reference in alive)
    y.sum().backward()
    del y
    gc.collect()
    assert len(alive) == 16
    assert all(reference() is None for reference in alive)


def test_autocast_is_the_same_again():
    """Forward in half precision is run again in half precision, outside of the region."""
    network = ReversibleSequence(*(ReversibleBlock(branch(), branch()) for _ in range(2)))
    theirs, x = plain(network), torch.randn(4, 6)
    seen = []
    for module in (network.blocks[0].f[0], network.blocks[1].g[2]):
        module.register_forward_hook(lambda *args: seen.append(args[-1].dtype))
    results = []
    for layer in (network, theirs):
        leaf = x.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            y = layer(leaf)
        y.square().sum().backward()
        results.append([y.detach(), leaf.grad, *(p.grad for p in layer.parameters())])
    assert seen == [torch.bfloat16] * 4
    assert all(tensor.dtype == torch.float32 for tensor in results[0])
    torch.testing.assert_close(*results, atol=0.1, rtol=0.05)


def test_reconstruction_in_float32_and_bfloat16():
    """Gradients are near those of plain blocks; their error is that of the type."""
    for dtype, limit in ((torch.float32, 1e-5), (torch.bfloat16, 0.2)):
        network = sequence(8).to(dtype)
        x = torch.randn(16, 6, dtype=dtype)
        got, wanted = step(network, x), step(plain(network).double(), x.double())
        for a, b in zip(got, wanted, strict=True):
            assert a.dtype == dtype
            assert (a.double() - b).norm() <= limit * b.norm()


def test_a_changed_parameter_is_noticed():
    """An optimizer step between forward and backward is refused, as by torch's operators."""
    network = sequence(2)
    y = network(torch.randn(2, 6, dtype=torch.float64))
    with torch.no_grad():
        next(network.parameters()).add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_inputs_and_outputs_may_be_changed():
    """After forward the input can be overwritten, and the output changed in place."""
    network = sequence(2)
    x = torch.randn(3, 6, dtype=torch.float64)
    wanted = step(network, x, lambda leaf: network(leaf).relu())

    def overwriting(leaf):
        mine = leaf * 1
        y = network(mine)
        mine.detach().zero_()
        return y.relu_()

    torch.testing.assert_close(step(network, x, overwriting), wanted)


@FORWARD_MODE
def test_transforms_agree_with_plain_blocks():
    """Per-sample gradients, Hessians and forward mode, by plain operators."""
    network = sequence(2)
    theirs, x = plain(network), torch.randn(3, 6, dtype=torch.float64)
    results = []
    for layer in (network, theirs):
        parameters = {name: value.detach() for name, value in layer.named_parameters()}
        loss = lambda p, v, f=layer: functional_call(f, p, (v,)).pow(3).sum()  # noqa: E731
        per_sample = vmap(grad(loss), in_dims=(None, 0))(parameters, x.unsqueeze(1))
        results.append(list(per_sample.values()))
        results[-1].append(hessian(loss, argnums=1)(parameters, x))
        results[-1] += jvp(lambda v, f=layer: f(v), (x,), (x,))
    torch.testing.assert_close(*results)


@COMPILER
def test_compilation_tracing_export_and_checkpoint():
    """Compiled, traced, exported and checkpointed it computes the same."""
    network = sequence(2)
    x = torch.randn(3, 6, dtype=torch.float64)
    wanted = step(network, x)
    torch._dynamo.reset()
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(step(network, x, compiled), wanted)
    torch.testing.assert_close(torch.fx.symbolic_trace(network)(x), wanted[0])
    torch.testing.assert_close(torch.export.export(network, (x,)).module()(x), wanted[0])
    for reentrant in (True, False):
        got = step(network, x, lambda leaf, r=reentrant: checkpoint(network, leaf, use_reentrant=r))
        torch.testing.assert_close(got, wanted)


def test_the_hand_written_backward_runs(monkeypatch):
    """One backward for a whole sequence, and none where nothing asks for a gradient."""
    calls = []
    true_backward = CouplingFunction.backward

    def spied(ctx, *grads):
        calls.append(ctx)
        return true_backward(ctx, *grads)

    monkeypatch.setattr(CouplingFunction, "backward", staticmethod(spied))
    network = sequence(3)
    step(network, torch.randn(2, 6, dtype=torch.float64))
    assert len(calls) == 1
    with torch.no_grad():
        assert network(torch.randn(2, 6, dtype=torch.float64)).grad_fn is None


def test_state_round_trip(tmp_path):
    """The state is that of f and g, and goes round through a file."""
    network, fresh = sequence(2), sequence(2)
    x = torch.randn(2, 6, dtype=torch.float64)
    torch.save(network.state_dict(), tmp_path / "state.pt")
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(fresh(x), network(x))
    assert "blocks.1.g.0.weight" in network.state_dict()


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (
            lambda: ReversibleBlock(nn.ReLU(), torch.relu),
            "ReversibleBlock expected g to be a module, received <built-in method relu of type",
        ),
        (
            ReversibleSequence,
            "ReversibleSequence expected one or more ReversibleBlocks, received none.",
        ),
        (
            lambda: ReversibleSequence(nn.ReLU()),
            "ReversibleSequence expected one or more ReversibleBlocks, received ReLU.",
        ),
        (
            lambda: ReversibleSequence(
                *(ReversibleBlock(nn.ReLU(), nn.ReLU(), dim=dim) for dim in (1, 2))
            ),
            "ReversibleSequence expected blocks with the same dim, received [1, 2].",
        ),
    ],
)
def test_impossible_parts_are_refused(build, text):
    """The message names what fits and what was received."""
    with pytest.raises(OptionError) as caught:
        build()
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("shape", [(2, 5), (4,), (2, 0)])
def test_inputs_without_halves_are_refused(shape):
    """The message names the dim and the shape."""
    with pytest.raises(ShapeError) as caught:
        ReversibleBlock(nn.ReLU(), nn.ReLU())(torch.zeros(shape))
    assert str(caught.value) == (
        f"a reversible block expected an even size along dim 1, received {shape}. "
        "Fix: choose another dim, or make its size even."
    )


@pytest.mark.parametrize("recorded", [True, False])
def test_a_change_of_shape_is_refused(recorded):
    """Also where torch would broadcast."""
    block = ReversibleBlock(nn.Linear(3, 1), nn.Linear(3, 3)).requires_grad_(recorded)
    with pytest.raises(ShapeError) as caught:
        block(torch.zeros(2, 6))
    assert str(caught.value) == (
        "a reversible block expected Linear to return the shape of the other half, (2, 3), "
        "received (2, 1). Fix: keep the shape inside of f and g."
    )


def test_repr_shows_the_dim():
    """Printing shows dim, f and g."""
    assert repr(ReversibleBlock(nn.ReLU(), nn.Tanh(), dim=-1)) == (
        "ReversibleBlock(\n  dim=-1\n  (f): ReLU()\n  (g): Tanh()\n)"
    )


@pytest.mark.parametrize("kind", ["batch normalisation", "dropout"])
def test_second_derivatives_with_state_and_random_numbers(kind):
    """Running statistics move once, masks repeat, also where a graph of backward is made."""
    make = (
        (lambda: nn.BatchNorm1d(3))
        if kind == "batch normalisation"
        else (lambda: nn.Sequential(nn.Linear(3, 3), Dropout(0.5)))
    )
    ours = ReversibleSequence(ReversibleBlock(make(), make())).double()
    results = []
    for network in (plain(ours), ours):
        torch.manual_seed(0)
        x = torch.randn(8, 6, dtype=torch.float64, requires_grad=True)
        (first,) = torch.autograd.grad(network(x).pow(3).sum(), x, create_graph=True)
        results.append(
            [*torch.autograd.grad(first.square().sum(), x), *network.buffers(), torch.rand(1)]
        )
    torch.testing.assert_close(*results)
