"""How other tools are run on a case: as their own documentation does it, all checks that apply."""

import copy
from collections.abc import Callable

import torch
from torch import nn

from layerwright.contract.case import Case


def gradcheck(case: Case) -> bool:
    """Tell whether `torch.autograd.gradcheck` refuses inputs or parameters, in float64."""
    layer = copy.deepcopy(_layer(case)).double().eval()
    args = tuple(_double(item) for item in case.inputs)
    kwargs = {key: _double(item) for key, item in case.kwargs.items()}
    named = [(name, item) for name, item in layer.named_parameters() if item.requires_grad]
    floats = [item for item in args if isinstance(item, torch.Tensor) and item.requires_grad]
    leaves = (*floats, *(item.detach().requires_grad_() for _, item in named))
    if not leaves:
        return False

    def run(*given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        parameters = {
            name: item for (name, _), item in zip(named, given[len(floats) :], strict=True)
        }
        inputs = iter(given[: len(floats)])
        filled = [
            next(inputs) if isinstance(item, torch.Tensor) and item.requires_grad else item
            for item in args
        ]
        torch.manual_seed(0)
        out = torch.func.functional_call(layer, parameters, tuple(filled), kwargs)
        tensors = out if isinstance(out, tuple | list) else [out]
        return tuple(
            item for item in tensors if isinstance(item, torch.Tensor) and item.is_floating_point()
        )

    return not torch.autograd.gradcheck(run, leaves, raise_exception=False, fast_mode=True)


def torchtest2(case: Case) -> bool:
    """Tell whether `torchtest2.check_model` reports a failure, its gradcheck switched on."""
    from torchtest2 import check_model

    given = case.kwargs or case.inputs
    report = check_model(
        copy.deepcopy(_layer(case)),
        given,
        case.target,
        loss_fn=case.loss,
        gradcheck=True,
        overfit_steps=0 if case.loss is None else 200,
    )
    return not report.ok


def pytest_torch(case: Case) -> bool:
    """Tell whether pytest-torch's contract, gradient or training assertions fail."""
    from pytest_torch.contract import check_inference_contract
    from pytest_torch.training import (
        assert_all_params_receive_grad,
        assert_gradcheck,
        assert_gradients_finite,
    )

    given = dict(case.kwargs) or case.inputs

    def loss(output: object) -> torch.Tensor:
        tensors = output if isinstance(output, tuple | list) else [output]
        return sum(item.float().sum() for item in tensors if isinstance(item, torch.Tensor))  # type: ignore[return-value]

    report = check_inference_contract(
        copy.deepcopy(_layer(case)).eval(), given, raise_on_failure=False
    )
    if report.failures:
        return True
    for assertion in (assert_gradients_finite, assert_all_params_receive_grad):
        if _fails(assertion, copy.deepcopy(_layer(case)).train(), given, loss):
            return True
    return _fails(assert_gradcheck, copy.deepcopy(_layer(case)).eval(), given)


def _fails(assertion: Callable[..., object], *args: object) -> bool:
    try:
        assertion(*args)
    except AssertionError:
        return True
    return False


def _layer(case: Case) -> nn.Module:
    return case.factory if isinstance(case.factory, nn.Module) else case.factory()


def _double(value: object) -> object:
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.detach().double().requires_grad_()
    return value
