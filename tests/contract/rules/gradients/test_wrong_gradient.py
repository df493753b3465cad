"""GRD001 wrong-gradient."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def found(layer, *inputs):
    """Return the findings of this rule."""
    report = check(layer, *inputs, select=["GRD001"])
    assert report.results[0].outcome != "error", report.results[0].reason
    return report.findings


def applied(function, *parameters):
    """Return a layer that applies a Function to its input and to parameters."""

    class Applied(nn.Module):
        def __init__(self):
            super().__init__()
            self.weights = nn.ParameterList(parameters)

        def forward(self, x):
            return function.apply(x, *self.weights)

    return Applied()


def function_of(forward, backward, name="Formula"):
    """Return a Function made of two functions."""
    members = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type(name, (torch.autograd.Function,), members)


def saving(forward):
    """Return a forward that saves all its arguments."""

    def saved(ctx, *args):
        ctx.save_for_backward(*args)
        return forward(*args)

    return saved


torch.manual_seed(0)
X = torch.randn(4, 6)


def cosine(ctx, grad_output):
    return grad_output * ctx.saved_tensors[0].cos()


@pytest.mark.parametrize(
    ("backward", "words"),
    [
        (lambda ctx, g: -cosine(ctx, g), "its sign is wrong"),
        (lambda ctx, g: 2 * cosine(ctx, g), "it is 2 times the right gradient"),
        (lambda ctx, g: cosine(ctx, g) / len(g), "a mean over the batch instead of a sum"),
        (lambda ctx, g: 0 * g, "the formula returns zeros"),
        (lambda ctx, g: ctx.saved_tensors[0].cos(), "missing or wrong"),
    ],
)
def test_the_pattern_is_named(backward, words):
    """Whatever lies between the two gradients, the finding says it."""
    (finding,) = found(applied(function_of(saving(torch.sin), backward)), X)
    assert finding.severity == "error"
    assert words in finding.found
    assert finding.where.startswith("input x, argument")


def test_a_transposed_weight_gradient_names_the_parameter():
    """Square weights hide it from autograd's check of shapes."""

    def backward(ctx, grad_output):
        x, weight = ctx.saved_tensors
        return grad_output @ weight, x.T @ grad_output

    function = function_of(saving(lambda x, weight: x @ weight.T), backward)
    (finding,) = found(applied(function, nn.Parameter(torch.randn(6, 6))), X)
    assert "transpose" in finding.found
    assert finding.where.startswith("weights.0, ")


def test_the_numbers_are_the_derivative():
    """Expected and found name the entry, the true slope and the returned one."""
    function = function_of(saving(lambda x: 3.0 * x), lambda ctx, g: 5.0 * g)
    (finding,) = found(applied(function), X)
    at = eval(finding.expected.split(" at ")[1].split(", as")[0])
    right = float(finding.expected.split(" at ")[0])
    wrong = float(finding.found.split("returns ")[1].split(" at ")[0])
    assert len(at) == 2
    assert wrong / right == pytest.approx(5 / 3, rel=1e-3)


def test_a_single_wrong_value_of_thousands_is_found():
    """By halving: a sample would miss it."""

    def backward(ctx, grad_output):
        gradient = cosine(ctx, grad_output)
        gradient[3, 21, 7] = 0
        return gradient

    (finding,) = found(applied(function_of(saving(torch.sin), backward)), torch.randn(8, 32, 32))
    assert "[3, 21, 7]" in finding.found


def test_a_formula_deep_inside_and_in_training_only():
    """Under batch normalization, attention and dropout, behind an alias of apply."""
    wrong = function_of(saving(torch.tanh), lambda ctx, g: g * ctx.saved_tensors[0])
    alias = wrong.apply

    class Block(nn.Module):
        def forward(self, x):
            return alias(x) if self.training else x.tanh()

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
            self.block = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(5), Block(), nn.Dropout(0.2))

        def forward(self, x):
            return self.block(self.attention(x))

    (finding,) = found(Network().eval(), torch.randn(3, 5, 6))
    assert "in training mode" in finding.found


def test_a_rectifier_without_its_mask():
    """Flat where gradients flow, and yet no surrogate."""
    function = function_of(lambda ctx, x: x.clamp(min=0), lambda ctx, g: g)
    (finding,) = found(applied(function), X)
    assert "mask is missing" in finding.found


def test_a_forward_in_float32_is_judged_with_larger_steps():
    """Steps for float64 would see the rounding only."""

    def forward(x):
        return x.float().sin().to(x.dtype)

    right = function_of(saving(forward), cosine)
    wrong = function_of(saving(forward), lambda ctx, g: 2 * cosine(ctx, g))
    assert not found(applied(right), X)
    assert found(applied(wrong), X)


def test_complex_values():
    """The gradient of a holomorphic function has a conjugate."""
    z = torch.randn(4, 6, dtype=torch.cfloat)
    square = saving(lambda z: z * z)
    assert not found(
        applied(function_of(square, lambda ctx, g: 2 * g * ctx.saved_tensors[0].conj())), z
    )
    assert found(applied(function_of(square, lambda ctx, g: 2 * g * ctx.saved_tensors[0])), z)


def test_a_custom_operator_with_a_wrong_formula():
    """Operators of other libraries are run alone, too."""

    @torch.library.custom_op("grd001::cube", mutates_args=())
    def cube(x: torch.Tensor) -> torch.Tensor:
        return x**3

    def backward(ctx, grad_output):
        return grad_output * 2 * ctx.saved_tensors[0] ** 2

    cube.register_autograd(
        backward, setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs)
    )

    class Cube(nn.Module):
        def forward(self, x):
            return cube(x)

    (finding,) = found(Cube(), X)
    assert "grd001::cube" in finding.found
    assert "0.6667 times" in finding.found


def surrogate(ctx, grad_output):
    return grad_output / (1 + 10 * ctx.saved_tensors[0].abs()) ** 2


def step_size(ctx, grad_output):
    x, size = ctx.saved_tensors
    return grad_output, (grad_output * ((x / size).round() - x / size)).sum().view(1)


@pytest.mark.parametrize(
    "function",
    [
        function_of(lambda ctx, x: x.round(), lambda ctx, g: g),
        function_of(saving(lambda x: (x > 0).to(x.dtype)), surrogate),
        function_of(lambda ctx, x: x.view_as(x), lambda ctx, g: -0.3 * g),
        function_of(lambda ctx, x: x.clone(), lambda ctx, g: g.clamp(-0.1, 0.1)),
        function_of(lambda ctx, x: x.clamp(-0.5, 0.5), lambda ctx, g: g),
        function_of(
            saving(lambda x: x.sign() * x.abs().mean()),
            lambda ctx, g: g * (ctx.saved_tensors[0].abs() < 1),
        ),
        function_of(
            lambda ctx, x: (x / x.abs().max() * 127).round() * x.abs().max() / 127,
            lambda ctx, g: g,
        ),
        function_of(
            saving(lambda x: x.clamp(min=0)),
            lambda ctx, g: g.clamp(min=0) * (ctx.saved_tensors[0] > 0),
        ),
        function_of(saving(lambda x: x * (x.abs() > 0.7)), lambda ctx, g: g),
    ],
    ids=["round", "spike", "reversal", "clip", "clamp", "binary", "int8", "guided", "pruned"],
)
def test_surrogates_are_no_faults(function):
    """They are not the derivative, on purpose."""
    assert not found(applied(function), X)


def test_a_learned_step_size_is_no_fault():
    """Flat in its input, so that the other formula is a surrogate, too."""
    function = function_of(saving(lambda x, size: (x / size).round() * size), step_size)
    assert not found(applied(function, nn.Parameter(torch.full((1,), 0.3))), X)


def test_kinks_and_ties_are_left_out():
    """At a kink any slope in between is right."""
    function = function_of(
        saving(lambda x: (x - 1).abs()), lambda ctx, g: g * (ctx.saved_tensors[0] - 1).sign()
    )
    assert not found(applied(function), torch.tensor([[1.0, 1.0, 2.0], [0.5, 1.0, 3.0]]))


def test_layers_of_torch_pass():
    """A graph of torch's own operators holds no wrong formula."""
    assert not found(nn.LSTM(6, 5), torch.randn(3, 4, 6))


class Estimator(torch.autograd.Function):
    """Computes its gradient in forward, from its own arguments."""

    @staticmethod
    def forward(ctx, x, weight):
        with torch.enable_grad():
            y = (x.detach() * weight).sin()
            (slope,) = torch.autograd.grad(y.sum(), [weight])
        ctx.save_for_backward(slope)
        return y.detach()

    @staticmethod
    def backward(ctx, grad_output):
        return None, grad_output.mean() * ctx.saved_tensors[0]


def test_a_function_that_needs_its_arguments_in_the_graph_is_skipped():
    """It cannot be called without gradients, so nothing can be measured."""
    report = check(applied(Estimator, nn.Parameter(torch.rand(6))), X, select=["GRD001"])
    assert report.results[0].outcome == "skipped"
    assert "without gradients" in report.results[0].reason
