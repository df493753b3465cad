"""Optimizers by name, each in the fastest form that gives the same weights up to rounding."""

import inspect
from collections.abc import Callable
from typing import Any

import torch

from layerwright.errors import OptionError
from layerwright.names import look_up, name_of, nearest

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}

_NOT_OPTIONS = {
    "self",
    "params",  # the parameter groups
    "lr",
    "weight_decay",  # in the parameter groups, by role
    "decoupled_weight_decay",  # "adamw" is the name for it
}

_FUSED = {"adam", "adamw", "sgd"}
_FUSED_DTYPES = {torch.float32, torch.float64}
_EXCLUDES_FUSED = ("foreach", "differentiable", "capturable")


def build_optimizer(
    spec: str | Callable[..., Any],
    groups: list[dict[str, Any]],
    *,
    lr: float,
    device: torch.device,
    **options: Any,
) -> torch.optim.Optimizer:
    """Build the optimizer that `spec` means.

    Weight decay `λ` stands in the groups. With "sgd", "adam" and "rmsprop" it is L2: `λ w` is
    added to the gradient, so that Adam and RMSprop divide it by the gradient's size as well. With
    "adamw" it is decoupled: each step multiplies the weights by `1 - lr λ` (Loshchilov and Hutter,
    2019, "Decoupled Weight Decay Regularization", https://arxiv.org/abs/1711.05101). A group
    without it has none, with "adamw" too.

    On the CPU, Adam, AdamW and SGD with momentum run as one fused kernel per step, which was
    measured to take less than half the time (SGD: two thirds) and differs by rounding only; SGD
    without momentum gains nothing, RMSprop has no such kernel, and other devices keep torch's
    choice. `fused=False` (needed for sparse gradients) and `foreach=True` are options like others.

    Args:
        spec: a name from `OPTIMIZERS`, or a callable `(groups, lr=..., **options)` that returns
            an optimizer, such as a class of `torch.optim`.
        groups: parameter groups, as `parameter_groups` makes them.
        lr: the learning rate.
        device: where the parameters are.
        options: what the optimizer takes besides, such as `momentum` and `nesterov`.

    Raises:
        OptionError: the name or an option is unknown, a value is impossible, or `spec` gives no
            optimizer.
    """
    if isinstance(spec, str):
        kind = look_up("optimizer", spec, OPTIMIZERS)
        known = [name for name in inspect.signature(kind).parameters if name not in _NOT_OPTIONS]
        _refuse_unknown(spec, options, known)
        given = "".join(f", {name}={value!r}" for name, value in options.items())
        if "fused" not in options and _fused_helps(spec, groups, device, options):
            options["fused"] = True
        try:
            return kind(groups, lr=lr, weight_decay=0.0, **options)  # type: ignore[call-arg]
        except (TypeError, ValueError, RuntimeError) as error:
            raise OptionError(
                f"optimizer {spec!r} expected possible options, received lr={lr!r}{given}. "
                f"Fix: {str(error).rstrip('.')}."
            ) from error
    if not callable(spec):
        raise OptionError(
            f"optimizer expected a name or a callable (groups, lr=...) -> Optimizer, received "
            f"{spec!r}. Fix: choose one of {', '.join(OPTIMIZERS)}, or give a function."
        )
    return _from_user(spec, groups, lr, options)


def _from_user(
    spec: Callable[..., Any], groups: list[dict[str, Any]], lr: float, options: dict[str, Any]
) -> torch.optim.Optimizer:
    parameters = _signature(spec)
    if parameters and inspect.Parameter.VAR_KEYWORD not in [p.kind for p in parameters]:
        known = [p.name for p in parameters[1:] if p.name != "lr"]
        _refuse_unknown(name_of(spec), options, known)
    optimizer = spec(groups, lr=lr, **options)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise OptionError(
            f"optimizer {name_of(spec)!r} expected to return a torch.optim.Optimizer, received "
            f"{type(optimizer).__name__}. Fix: return the optimizer that it builds."
        )
    return optimizer


def _signature(spec: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(spec).parameters.values())
    except (TypeError, ValueError):  # some callables written in C have none
        return []


def _refuse_unknown(optimizer: str, options: dict[str, Any], known: list[str]) -> None:
    for name, value in options.items():
        if name == "weight_decay":
            raise OptionError(
                f"optimizer {optimizer!r} expected weight decay in its parameter groups, received "
                f"the option weight_decay={value!r}. Fix: set weight_decay of the recipe."
            )
        if name not in known:
            near = nearest(name, dict.fromkeys(known))
            hint = f" Did you mean {near!r}?" if near else ""
            takes = f"It takes: {', '.join(sorted(known))}." if known else "It takes none."
            raise OptionError(f"optimizer {optimizer!r} has no option {name!r}.{hint} {takes}")


def _fused_helps(
    name: str, groups: list[dict[str, Any]], device: torch.device, options: dict[str, Any]
) -> bool:
    """Whether the fused kernel exists here and was measured to be faster."""
    if name not in _FUSED or any(options.get(other) for other in _EXCLUDES_FUSED):
        return False
    if name == "sgd" and not options.get("momentum"):
        return False
    return device.type == "cpu" and all(
        type(parameter) is torch.nn.Parameter  # not a tensor subclass, such as a DTensor
        and parameter.device.type == "cpu"
        and parameter.dtype in _FUSED_DTYPES
        for group in groups
        for parameter in group["params"]
    )
