"""What the arguments of a layer's constructor may have been, read from the layer itself."""

import copy
import inspect
import typing
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from inspect import Parameter
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from layerwright.contract.inference.likeness import differences

_PLAIN = (bool, int, float, str)
_POOL = 12  # candidates of one kind that are tried
_MISSING = object()

Renew = Callable[[nn.Module], nn.Module]


@dataclass(frozen=True)
class Choice:
    """One value that an argument may have had.

    Attributes:
        make: returns the value, a fresh one each time; None leaves the argument out.
        guessed: whether only its fitting speaks for it, no name.
        key: equal for equal plain values.
    """

    make: Callable[[], Any] | None
    guessed: bool = False
    key: str | None = None


@dataclass(frozen=True)
class Slot:
    """An argument and its choices, the likeliest first."""

    name: str
    kind: Any
    choices: tuple[Choice, ...]


def slots_of(layer: nn.Module, renew: Renew) -> list[Slot]:
    """Return the arguments of a layer's constructor, each with what it may have been.

    Args:
        layer: an instance.
        renew: makes a fresh module from a part that may have been an argument itself.
    """
    slots: list[Slot] = []
    cls = type(layer)
    hints = _hints(cls)
    pools = _Pools(layer)
    parameters = list(inspect.signature(cls).parameters.values())
    for parameter in parameters:
        if parameter.kind is Parameter.VAR_POSITIONAL:
            choices = list(_many(layer, parameter.name, renew))
        elif parameter.kind is Parameter.VAR_KEYWORD:
            slots.extend(_passed_on(layer, {item.name for item in parameters}, renew))
            continue
        else:
            hint = hints.get(parameter.name)
            choices = list(_different(_choices(layer, parameter, hint, pools, renew)))
        slots.append(Slot(parameter.name, parameter.kind, tuple(choices)))
    return slots


class _Pools:
    """Numbers, texts and modules found anywhere in a layer, for arguments without a trace."""

    def __init__(self, layer: nn.Module) -> None:
        self.values: dict[type, list[Any]] = {kind: [] for kind in _PLAIN}
        parts = list(layer.modules())
        for part in parts:
            for value in vars(part).values():
                flat = value if isinstance(value, tuple | list) else (value,)
                for item in flat[:8]:
                    if type(item) in self.values:
                        self.values[type(item)].append(item)
        plain = [item for part in parts for item in vars(part).values() if isinstance(item, Tensor)]
        for tensor in [*layer.parameters(), *layer.buffers(), *plain]:
            self.values[int].extend([] if is_lazy(tensor) else tensor.shape)
        self.values[int].extend(len(part) for part in parts if isinstance(part, nn.ModuleList))
        children = list(layer.children())
        inner = [item for child in children for item in child.children()]
        self.modules: list[nn.Module] = []
        for module in (children + inner)[: 2 * _POOL]:
            if all(differences(known, module) for known in self.modules):
                self.modules.append(module)

    def of(self, kind: type) -> list[Any]:
        """Return different values of a kind, those first that stand further out."""
        return list(dict.fromkeys(self.values[kind]))[:_POOL]


def _choices(
    layer: nn.Module, parameter: Parameter, hint: Any, pools: _Pools, renew: Renew
) -> Iterator[Choice]:
    """Yield what one argument may have been, the likeliest first."""
    optional = parameter.default is not Parameter.empty
    wanted = hint if isinstance(hint, type) else None
    if wanted is None and optional and parameter.default is not None:
        wanted = type(parameter.default)
    for name in (parameter.name, f"_{parameter.name}"):
        value = _attribute(layer, name)
        if value is not _MISSING:
            yield from _from_value(value, wanted, renew)
            break
    yield from map(_constant, _of_parts(layer, parameter.name, wanted))
    if optional:
        yield Choice(None, key=_key(parameter.default))
    yield from _guesses(wanted, pools, renew, optional=optional)


def _guesses(
    wanted: type | None, pools: _Pools, renew: Renew, *, optional: bool
) -> Iterator[Choice]:
    """Yield what an argument that no name leads to may have been."""
    if wanted is bool:
        yield from map(_constant, (False, True))
    elif wanted in pools.values:
        yield from (_constant(value, guessed=True) for value in pools.of(wanted))
    elif wanted is type:
        kinds = dict.fromkeys(type(module) for module in pools.modules)
        yield from (_constant(kind, guessed=True) for kind in list(kinds)[:_POOL])
    elif wanted is not None and issubclass(wanted, nn.Module):
        fitting = [module for module in pools.modules if isinstance(module, wanted)]
        yield from (_part(module, renew) for module in fitting[:_POOL])
    elif wanted is None and not optional:
        yield from (_part(module, renew) for module in pools.modules[:_POOL])
        for kind in (int, float):
            yield from (_constant(value, guessed=True) for value in pools.of(kind))


def _from_value(value: Any, wanted: type | None, renew: Renew) -> Iterator[Choice]:
    """Yield the arguments that an attribute of the same name may stem from."""
    if isinstance(value, nn.Parameter) or (value is None and wanted is bool):
        yield _constant(value is not None)  # such as bias=True
    elif isinstance(value, nn.Module):
        if wanted in _PLAIN:  # such as dropout=0.1, kept as a module
            own = [item for item in vars(value).values() if type(item) is wanted]
            yield from (_constant(item) for item in dict.fromkeys(own))
        elif wanted is type:
            yield _constant(type(value))
        else:
            yield Choice(lambda: renew(value))
            if isinstance(value, nn.ModuleList | nn.Sequential):
                yield Choice(lambda: [renew(item) for item in value])
    elif isinstance(value, Tensor):
        yield Choice(lambda: value.detach().clone())
    else:
        yield _constant(value)
        if isinstance(value, tuple) and len(set(map(repr, value))) == 1:
            yield _constant(value[0])  # such as kernel_size=3, kept as (3, 3)


def _many(layer: nn.Module, name: str, renew: Renew) -> Iterator[Choice]:
    """Yield what `*name` may have been."""
    value = _attribute(layer, name)
    if isinstance(value, nn.ModuleList | nn.Sequential):
        yield Choice(lambda: [renew(item) for item in value])
    elif isinstance(value, list | tuple):
        yield Choice(lambda: copy.deepcopy(list(value)))
    yield Choice(None)
    if len(layer._modules):  # noqa: SLF001 - children by name, shared ones too
        children = dict(layer._modules)  # noqa: SLF001
        yield Choice(lambda: [renew(item) for item in children.values() if item is not None])
        yield Choice(
            lambda: [OrderedDict((key, renew(item)) for key, item in children.items() if item)]
        )


def _passed_on(layer: nn.Module, named: set[str], renew: Renew) -> Iterator[Slot]:
    """Yield the keyword arguments that a constructor takes as `**kwargs` and hands to its base.

    Their names are those of the base's constructor, and the texts inside the constructor that are
    attributes of the layer, as in `kwargs.pop("nonlinearity")`.
    """
    cls = type(layer)
    constructors = [vars(base)["__init__"] for base in cls.__mro__ if "__init__" in vars(base)]
    names: dict[str, Any] = {}
    for constructor in constructors:
        if constructor in {nn.Module.__init__, object.__init__}:
            break
        code = getattr(inspect.unwrap(constructor), "__code__", None)
        for text in code.co_consts if code else ():
            if isinstance(text, str) and text in vars(layer):
                names.setdefault(text, _MISSING)
        for parameter in list(inspect.signature(constructor).parameters.values())[1:]:
            if parameter.kind in {Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY}:
                names[parameter.name] = parameter.default
    for name, default in names.items():
        value = _attribute(layer, name)
        if name in named or value is _MISSING or value is default:
            continue
        if isinstance(value, _PLAIN) and value == default:
            continue
        wanted = type(default) if isinstance(default, _PLAIN) else None
        choices = (*_from_value(value, wanted, renew), Choice(None))
        yield Slot(name, Parameter.KEYWORD_ONLY, choices)


def _of_parts(layer: nn.Module, name: str, wanted: type | None) -> list[Any]:
    """Return what the layer's parts have under this name: its children, else those further in."""
    for parts in (list(layer.children()), list(layer.modules())[1:]):
        found = []
        for part in parts:
            value = vars(part).get(name, _MISSING)
            if wanted is bool and name in part._parameters:  # noqa: SLF001 - such as bias
                value = part._parameters[name] is not None  # noqa: SLF001
            if isinstance(value, (*_PLAIN, tuple)) and value not in found:
                found.append(value)
        if found:
            return found[:_POOL]
    return []


def _attribute(layer: nn.Module, name: str) -> Any:
    """Return an attribute of the instance, or a property; never one of the class alone."""
    for place in (vars(layer), layer._parameters, layer._buffers, layer._modules):  # noqa: SLF001
        if name in place:
            return place[name]
    if isinstance(inspect.getattr_static(type(layer), name, None), property):
        try:
            return getattr(layer, name)
        except Exception:  # noqa: BLE001 - a property runs what it likes
            return _MISSING
    return _MISSING


def _part(module: nn.Module, renew: Renew) -> Choice:
    return Choice(lambda: renew(module), guessed=True)


def _constant(value: Any, *, guessed: bool = False) -> Choice:
    return Choice(lambda: copy.deepcopy(value), guessed, _key(value))


def _key(value: Any) -> str | None:
    return repr(value) if isinstance(value, (*_PLAIN, tuple, type(None))) else None


def _different(choices: Iterable[Choice]) -> Iterator[Choice]:
    """Leave out the choices of a value that was there before."""
    seen = set()
    for choice in choices:
        if choice.key is None or choice.key not in seen:
            seen.add(choice.key)
            yield choice


def _hints(cls: type) -> dict[str, Any]:
    """Return the annotated types of the constructor, as far as they can be resolved."""
    constructor: Any = getattr(cls, "__init__")  # noqa: B009 - mypy forbids cls.__init__
    try:
        return {
            name: _plain_hint(hint) for name, hint in typing.get_type_hints(constructor).items()
        }
    except Exception:  # noqa: BLE001 - annotations run what they like, and may name what is not there
        return {}


def _plain_hint(hint: Any) -> Any:
    """Reduce `X | None` to X."""
    options = [item for item in typing.get_args(hint) if item is not type(None)]
    if len(options) == 1 and type(None) in typing.get_args(hint):
        return options[0]
    return hint
