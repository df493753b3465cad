"""The part of `layerwright check` that runs the user's code, in a child process."""

import importlib
import inspect
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from layerwright.cli.check_targets import case_names, split_target, with_arguments
from layerwright.cli.tensor_specs import tensors_of
from layerwright.contract.case import Case
from layerwright.contract.check import check_with
from layerwright.contract.finding import Report
from layerwright.contract.loading.child import report_progress
from layerwright.contract.loading.scripts import Missing, Script, classes_of, find_in, load_script
from layerwright.contract.outside import IMPORT_FAILS
from layerwright.contract.rule import Tier
from layerwright.contract.suppression import Config
from layerwright.errors import LayerwrightError, OptionError, TargetError
from layerwright.names import nearest
from layerwright.networks import NETWORKS, network_class
from layerwright.random_numbers import seed_all
from layerwright.targets import build_network, load_object

_VOCABULARY_SIZE = 100  # of a built-in network for texts
_OUTPUTS = {"num_classes", "num_outputs"}


@dataclass(frozen=True, kw_only=True)
class CheckRequest:
    """What the command line asks for; it travels to the child process.

    Attributes:
        target: as it was typed: a place, and perhaps a name and arguments.
        inputs: specs of tensors; see `tensors_of`.
        loss: a built-in loss, or file.py:name; None for none.
        loss_target: spec of the loss's target.
        tier: "standard" or "full".
        seed: of everything random.
        ranks: number of processes that train the layer together; 0 for none.
        run_script: run a script's own work too.
        config: of pyproject.toml, with the options on top.
        command: the command line without the rules.
    """

    target: str
    inputs: tuple[str, ...] = ()
    loss: str | None = None
    loss_target: str | None = None
    tier: Tier = "standard"
    seed: int = 0
    ranks: int = 0
    run_script: bool = False
    config: Config = field(default_factory=Config)
    command: str = "layerwright check"


@dataclass(frozen=True)
class Listing:
    """What a target holds.

    Attributes:
        names: of its layers.
        notes: what a reader must know of how it was loaded.
        failures: one report for each import that failed.
    """

    names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    failures: tuple[Report, ...] = ()


def list_layers(request: CheckRequest) -> Listing:
    """Return the names of the layers and cases that a target means.

    Raises:
        TargetError: it leads nowhere, or holds no layer.
    """
    place, name, _ = split_target(request.target)
    if name or request.target in NETWORKS:
        return _listing([name or request.target], _loaded(place, request, name))
    found = _loaded(place, request)
    if not isinstance(found, Script):
        names, notes = _names_in_package(found)
        if not names:
            raise TargetError(f"{place} expected at least one nn.Module class, and defines none.")
        return Listing(tuple(names), notes)
    names = [cls.__qualname__ for cls in classes_of(found)]
    names += [key for key, value in vars(found.module).items() if isinstance(value, Case)]
    if not names and not found.import_failures:
        near = [
            key
            for key, value in vars(found.module).items()
            if isinstance(value, nn.Module | Missing)
        ]
        hint = f" Fix: name what to check, such as {place}:{near[0]}." if near else ""
        raise TargetError(f"{place} expected at least one nn.Module class, and defines none.{hint}")
    return _listing(names, found)


def check_layer(request: CheckRequest, name: str) -> Report:
    """Check one of the layers that `list_layers` named."""
    single = split_target(request.target)[1]
    seed_all(request.seed)
    try:
        case = case_of(request, name)
        return check_with(
            case,
            request.config,
            tier=request.tier,
            seed=request.seed,
            ranks=request.ranks,
            command=request.command,
            notes=_missing_inputs(case),
            on_rule=lambda rule: report_progress(f"{rule.id} {rule.name}"),
        )
    except LayerwrightError as error:
        if single or request.target in NETWORKS:
            raise  # the one layer that was asked for: wrong usage
        return Report(subject=name, results=(), tier=request.tier, notes=(str(error),))


def _loaded(place: str, request: CheckRequest, name: str | None = None) -> Any:
    if place in NETWORKS:
        return None
    if place.endswith(".py"):
        if not Path(place).is_file():
            return load_object(place)  # which says what is near
        wanted = [name] if name else case_names(Path(place))
        return load_script(Path(place), run=request.run_script, wanted=wanted)
    try:
        return load_object(place)
    except TargetError as error:
        near = nearest(place, NETWORKS) if place.isidentifier() and not name else None
        if near is None:
            raise
        raise TargetError(f"{error} Or did you mean the built-in network {near!r}?") from error


def _listing(names: Sequence[str], found: Any) -> Listing:
    if not isinstance(found, Script):
        return Listing(tuple(names))
    file = str(found.module.__file__)
    failures = tuple(
        IMPORT_FAILS.report(
            Path(file).name,
            where=f"import of {item.module}",
            expected=f"an importable module {item.module!r}",
            found=item.error,
            file=file,
            line=item.line,
        )
        for item in found.import_failures
    )
    if not found.left_out:
        return Listing(tuple(names), (), failures)
    lines = ", ".join(str(item.line) for item in found.left_out[:8])
    more = ", ..." if len(found.left_out) > 8 else ""
    word = "line" if len(found.left_out) == 1 else "lines"
    left_out = f"the work of this script was not run ({word} {lines}{more}); --run-script runs it"
    return Listing(tuple(names), (left_out,), failures)


def _names_in_package(module: Any) -> tuple[list[str], tuple[str, ...]]:
    """Return "pkg.mod:Class" for every class of a package; note the modules that fail."""
    modules, notes = [module], []
    for item in pkgutil.walk_packages(getattr(module, "__path__", []), f"{module.__name__}."):
        try:
            modules.append(importlib.import_module(item.name))
        except Exception as error:  # noqa: BLE001 - an optional dependency of one module
            notes.append(
                f"{item.name} was left out, it cannot be imported: {type(error).__name__}: {error}"
            )
    names: dict[str, None] = {}
    for owner in modules:
        for value in list(vars(owner).values()):
            if (
                isinstance(value, type)
                and issubclass(value, nn.Module)
                and value.__module__ == owner.__name__
                and not inspect.isabstract(value)
            ):
                names[f"{owner.__name__}:{value.__qualname__}"] = None
            elif isinstance(value, Case):
                names[f"{owner.__name__}:{value.name}"] = None
    return list(names), tuple(notes)


def case_of(request: CheckRequest, name: str) -> Case:
    """Return the layer of this name, with the inputs and the loss that were asked for."""
    place, _, arguments = split_target(request.target)
    args, kwargs = tensors_of(request.inputs)
    if request.target in NETWORKS:
        return _with_loss(_case_of_network(request.target, args, kwargs), request)
    found = _named(request, place, name)
    if isinstance(found, Case):
        if args or kwargs:
            found = _changed(found, inputs=args, kwargs=kwargs)
        return _with_loss(found, request)
    target = name if ":" in name else f"{place}:{name}"
    factory = with_arguments(found, arguments, target)
    return _with_loss(Case(factory, args, kwargs, name=target.rsplit(":", maxsplit=1)[-1]), request)


def _case_of_network(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Case:
    """Return a built-in network, with the inputs that were asked for or some that it takes."""
    parameters = inspect.signature(network_class(name)).parameters
    sizes: dict[str, Any] = {"vocabulary_size": _VOCABULARY_SIZE}  # given to those that name it
    if "input_shape" in parameters:
        args = args or (torch.randn(4, 1, 28, 28),)
        sizes = {"input_shape": tuple(args[0].shape[1:])}
    if any(
        parameters[key].default is inspect.Parameter.empty for key in _OUTPUTS & parameters.keys()
    ):
        sizes["num_outputs"] = 10
    return Case(partial(build_network, name, **sizes), args, kwargs, name=name)


def _with_loss(case: Case, request: CheckRequest) -> Case:
    if request.loss is None:
        if request.loss_target is not None:
            raise OptionError("--loss-target expected a --loss that takes it. Fix: --loss mse.")
        return case
    from layerwright.training.losses import resolve_loss

    specs = () if request.loss_target is None else (request.loss_target,)
    targets, named = tensors_of(specs, "--loss-target")
    if named or (not targets and case.target is None):
        raise OptionError(
            f"--loss {request.loss} expected a --loss-target without a name, such as 4:int64:0..10."
        )
    spec = load_object(request.loss) if ":" in request.loss else request.loss
    return _changed(
        case,
        loss=resolve_loss(spec, None).function,
        target=targets[0] if targets else case.target,
    )


def _changed(case: Case, **changes: Any) -> Case:
    values = {item.name: getattr(case, item.name) for item in fields(case)} | changes
    return Case(values.pop("factory"), **values)


def _named(request: CheckRequest, place: str, name: str) -> Any:
    if ":" in name:  # of a package: "pkg.mod:Class"
        return load_object(name)
    found = _loaded(place, request, name)
    value = find_in(found, name) if isinstance(found, Script) else load_object(f"{place}:{name}")
    if not callable(value) and not isinstance(value, Case):
        raise TargetError(
            f"{request.target} expected a layer, a class or a Case, received "
            f"{type(value).__name__}."
        )
    return value


def _missing_inputs(case: Case) -> tuple[str, ...]:
    source = case.factory
    if case.inputs or case.kwargs or getattr(source, "example_inputs", None) is not None:
        return ()
    reason = "no example inputs: rules that call the layer were skipped."
    return (f"{reason} Fix: --input 4x3x32x32, or example_inputs on the class",)


def with_options(config: Config, select: tuple[str, ...], ignore: tuple[str, ...]) -> Config:
    """Put the command line's rules on top of the configuration's."""
    return replace(
        config,
        select=select or config.select,
        ignore=(*config.ignore, *ignore),
    )
