"""Optimizers: the named ones against torch's plain ones and against formulas."""

from functools import partial

import pytest
import torch
from torch import nn

from layerwright.errors import OptionError
from layerwright.training.optimizers import OPTIMIZERS, build_optimizer
from layerwright.training.parameter_groups import parameter_groups

CPU = torch.device("cpu")

CASES = {
    "sgd": {},
    "sgd momentum": {"momentum": 0.9},
    "sgd nesterov": {"momentum": 0.9, "nesterov": True},
    "adam": {},
    "adam amsgrad": {"amsgrad": True, "betas": (0.8, 0.99)},
    "adamw": {"eps": 1e-6},
    "rmsprop": {"momentum": 0.5, "centered": True},
}


def network(dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 33), nn.LayerNorm(33), nn.Linear(33, 7)).to(dtype)


def trained(net, optimizer, num_steps=20):
    """Take steps with the same pseudo-random gradients each time."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(num_steps):
        for parameter in net.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter)
        optimizer.step()
    return [parameter.detach() for parameter in net.parameters()]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_named_optimizers_give_torchs_plain_results(case, dtype):
    """Whatever form was chosen as the fastest, weights agree with the unfused one to rounding."""
    name, options = case.split()[0], CASES[case]
    ours, plain = network(dtype), network(dtype)
    optimizer = build_optimizer(name, parameter_groups(ours, 0.1), lr=0.01, device=CPU, **options)
    assert type(optimizer) is OPTIMIZERS[name]
    slow = {"fused": False} if name != "rmsprop" else {}
    reference = OPTIMIZERS[name](
        parameter_groups(plain, 0.1), lr=0.01, foreach=False, **slow, **options
    )
    torch.testing.assert_close(trained(ours, optimizer), trained(plain, reference))


def test_fused_kernels_are_chosen_where_they_were_measured_to_help():
    """Adam, AdamW and SGD with momentum on the CPU; never against what was asked for."""

    def fused(name, dtype=torch.float32, device=CPU, **options):
        groups = parameter_groups(network(dtype), 0.0)
        optimizer = build_optimizer(name, groups, lr=0.1, device=device, **options)
        return optimizer.param_groups[0].get("fused")

    assert fused("adam") is True
    assert fused("adamw", dtype=torch.float64) is True
    assert fused("sgd", momentum=0.9) is True
    assert not fused("sgd")
    assert not fused("rmsprop")
    assert not fused("adam", dtype=torch.bfloat16)
    assert not fused("adam", device=torch.device("cuda"))
    assert not fused("adam", fused=False)
    assert not fused("adam", foreach=True)
    assert not fused("adam", differentiable=True)


def test_sgd_takes_sparse_gradients():
    """Without momentum there is no fused kernel that would refuse them."""
    table = nn.Embedding(10, 3, sparse=True)
    before = table.weight.detach().clone()
    optimizer = build_optimizer("sgd", parameter_groups(table, 0.0), lr=0.5, device=CPU)
    table(torch.tensor([2])).sum().backward()
    optimizer.step()
    changed = (table.weight.detach() - before)[2]
    torch.testing.assert_close(changed, torch.full((3,), -0.5))


def one_step(name, weight_decay, gradient=0.0):
    """Where a weight of 2 and a bias of 2 are after one step with the same gradient."""
    layer = nn.Linear(1, 1).double()
    groups = parameter_groups(layer, weight_decay)
    optimizer = build_optimizer(name, groups, lr=0.1, device=CPU)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(2.0)
            parameter.grad = torch.full_like(parameter, gradient)
    optimizer.step()
    return layer.weight.item(), layer.bias.item()


def test_weight_decay_is_l2_or_decoupled_as_documented():
    """From formulas: coupled into the gradient for SGD and Adam, multiplied for AdamW."""
    weight, bias = one_step("sgd", 0.3)
    assert (weight, bias) == (pytest.approx(2 - 0.1 * 0.3 * 2), 2.0)
    weight, bias = one_step("adamw", 0.3)
    assert (weight, bias) == (pytest.approx(2 * (1 - 0.1 * 0.3)), 2.0)
    weight, bias = one_step("adam", 0.3)  # Adam divides by the size, so that any L2 moves by lr
    assert (weight, bias) == (pytest.approx(2 - 0.1), 2.0)
    weight, bias = one_step("rmsprop", 0.3)  # divides by the root of 0.01 g²
    assert (weight, bias) == (pytest.approx(2 - 0.1 / 0.1), 2.0)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_groups_without_weight_decay_have_none(name):
    """Torch's AdamW would decay by 0.01 on its own."""
    parameter = nn.Parameter(torch.full((3,), 2.0))
    optimizer = build_optimizer(name, [{"params": [parameter]}], lr=0.1, device=CPU)
    parameter.grad = torch.zeros(3)
    optimizer.step()
    assert parameter.tolist() == [2.0, 2.0, 2.0]


def test_a_users_callable_builds_the_optimizer():
    """A class of torch.optim, a function or a partial; options are passed on."""
    net = network()

    def mine(groups, *, lr, slow=False):
        return torch.optim.SGD(groups, lr=lr / 2 if slow else lr)

    groups = parameter_groups(net, 0.1)
    built = build_optimizer(torch.optim.NAdam, groups, lr=0.1, device=CPU, momentum_decay=0.01)
    assert type(built) is torch.optim.NAdam
    assert built.param_groups[0]["momentum_decay"] == 0.01
    slow = build_optimizer(mine, parameter_groups(net, 0.1), lr=0.1, device=CPU, slow=True)
    assert [group["lr"] for group in slow.param_groups] == [0.05, 0.05]
    assert [group["weight_decay"] for group in slow.param_groups] == [0.1, 0.0]
    nesterov = partial(torch.optim.SGD, momentum=0.9, nesterov=True)
    built = build_optimizer(nesterov, parameter_groups(net, 0.0), lr=0.1, device=CPU)
    assert built.param_groups[0]["nesterov"] is True


def returns_nothing(groups, lr):
    """Forgets to return what it built."""


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        (
            "adm",
            {},
            "unknown optimizer 'adm'. Did you mean 'adam'? Known: adam, adamw, rmsprop, sgd.",
        ),
        (
            "sgd",
            {"momentun": 0.9},
            (
                "optimizer 'sgd' has no option 'momentun'. Did you mean 'momentum'? It takes: "
                "dampening, differentiable, foreach, fused, maximize, momentum, nesterov."
            ),
        ),
        (
            "adam",
            {"decoupled_weight_decay": True},
            (
                "optimizer 'adam' has no option 'decoupled_weight_decay'. It takes: "
                "amsgrad, betas, capturable, differentiable, eps, foreach, fused, maximize."
            ),
        ),
        (
            "adam",
            {"weight_decay": 0.1},
            (
                "optimizer 'adam' expected weight decay in its parameter groups, received the "
                "option weight_decay=0.1. Fix: set weight_decay of the recipe."
            ),
        ),
        (
            "sgd",
            {"nesterov": True},
            (
                "optimizer 'sgd' expected possible options, received lr=0.1, nesterov=True. "
                "Fix: Nesterov momentum requires a momentum and zero dampening."
            ),
        ),
        (
            returns_nothing,
            {"betas": (0, 0)},
            "optimizer 'returns_nothing' has no option 'betas'. It takes none.",
        ),
        (
            returns_nothing,
            {},
            (
                "optimizer 'returns_nothing' expected to return a torch.optim.Optimizer, received "
                "NoneType. Fix: return the optimizer that it builds."
            ),
        ),
        (
            5,
            {},
            (
                "optimizer expected a name or a callable (groups, lr=...) -> Optimizer, received "
                "5. Fix: choose one of adam, adamw, rmsprop, sgd, or give a function."
            ),
        ),
    ],
)
def test_impossible_optimizers_are_refused(spec, options, message):
    """Unknown names and options, impossible values and functions that give no optimizer."""
    groups = parameter_groups(network(), 0.0)
    with pytest.raises(OptionError) as caught:
        build_optimizer(spec, groups, lr=0.1, device=CPU, **options)
    assert str(caught.value) == message


@pytest.mark.parametrize("case", CASES)
def test_a_saved_state_continues_exactly(case):
    """Ten steps, a saved and loaded state and ten more equal twenty steps bit for bit."""
    name, options = case.split()[0], CASES[case]
    straight, halved = network(), network()

    def built(net):
        return build_optimizer(name, parameter_groups(net, 0.1), lr=0.01, device=CPU, **options)

    def steps(net, optimizer, numbers):
        for number in numbers:
            for parameter in net.parameters():
                generator = torch.Generator().manual_seed(number)
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            optimizer.step()

    steps(straight, built(straight), range(20))
    first = built(halved)
    steps(halved, first, range(10))
    second = built(halved)
    second.load_state_dict(first.state_dict())
    steps(halved, second, range(10, 20))
    for one, other in zip(straight.parameters(), halved.parameters(), strict=True):
        assert torch.equal(one, other)
