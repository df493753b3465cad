"""From what a caller hands over to a subject: built, copied, fed, its traits collected."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from layerwright.contract.case import Case
from layerwright.contract.copying import fresh_copy
from layerwright.contract.inference.rebuilding import CannotRebuild, rebuilder_for
from layerwright.contract.isolation import isolated
from layerwright.contract.subject import Subject
from layerwright.contract.traits import traits_of
from layerwright.contract.trees import Inputs
from layerwright.contract.unprepared import unprepared
from layerwright.errors import OptionError
from layerwright.names import name_of
from layerwright.random_numbers import seed_all


def subject_of(case: Case, seed: int, declared: Callable[[type], Mapping[str, Any]]) -> Subject:
    """Take a private copy of all that a case holds.

    Args:
        case: a layer, or what builds it, and its inputs.
        seed: of the construction.
        declared: returns traits for a class, beside those of its own and of the case.

    Raises:
        OptionError: the case builds no layer, or needs arguments to do so.
    """
    source = case.factory
    original = source if isinstance(source, nn.Module) else None
    error: Exception | None = None
    with isolated(None if original is None or any(unprepared(original)) else original):
        seed_all(seed)
        if original is not None:
            layer = fresh_copy(original)
        else:
            layer, error = _built(source)
        build: Callable[[], nn.Module] | None = None
        reason = "the layer could not be built"
        if error is None:
            try:
                build = rebuilder_for(source)
            except CannotRebuild as refused:
                reason = f"no second instance can be built: {refused}"
        inputs = _inputs(layer, case.inputs, case.kwargs)
    if error is None and any(unprepared(layer)):
        error = AttributeError("a part of it was built without super().__init__()")
    cls = _class_of(source) if error is not None and original is None else type(layer)
    return Subject(
        layer=layer,
        cls=cls,
        inputs=inputs,
        build=build,
        why_not_built=reason,
        construction_error=error,
        traits=traits_of(cls).with_({**declared(cls), **case.traits}),
        loss=case.loss,
        target=case.target,
        source=source,
    )


def _built(source: Any) -> tuple[nn.Module, Exception | None]:
    """Build a layer; one whose constructor raises is stood in for by an empty module."""
    try:
        inspect.signature(source).bind()
    except TypeError as error:
        raise OptionError(
            f"{name_of(source)} expected to be built without arguments: {error}. "
            "Fix: pass an instance, or a function that builds one."
        ) from error
    except ValueError:  # written in C: it tells nothing
        pass
    try:
        layer = source()
    except Exception as error:  # noqa: BLE001 - the constructor is the user's; a rule reports it
        return nn.Module(), error
    if not isinstance(layer, nn.Module):
        raise OptionError(f"check expected an nn.Module, received {type(layer).__name__}.")
    return layer, None


def _class_of(source: Any) -> type:
    return source if isinstance(source, type) else type(source)


def _inputs(layer: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Inputs | None:
    if not args and not kwargs:
        example = getattr(layer, "example_inputs", None)
        if example is None:
            return None
        example = example() if callable(example) else example
        args = tuple(example) if isinstance(example, tuple | list) else (example,)
    return Inputs(tuple(args), dict(kwargs), _argument_names(layer, len(args))).clone()


def _argument_names(layer: nn.Module, count: int) -> tuple[str, ...]:
    """Return the names of forward's positional arguments; () if they cannot be read."""
    names: list[str] = []
    try:
        parameters = inspect.signature(layer.forward).parameters.values()
    except (TypeError, ValueError):  # written in C
        return ()
    for parameter in parameters:
        if parameter.kind in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}:
            names.append(parameter.name)
        elif parameter.kind is parameter.VAR_POSITIONAL:
            names.extend(f"{parameter.name}[{place}]" for place in range(count))
    return tuple(names)
