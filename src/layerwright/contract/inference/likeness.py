"""Whether two modules are built alike: the same parts, names, shapes and hyperparameters."""

from collections.abc import Callable, Iterator
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_HOOKS = tuple(name for name in vars(nn.Module()) if name.endswith("hooks"))
_DEPTH = 6  # of nested lists and dicts that are compared


def differences(layer: nn.Module, other: nn.Module) -> dict[str, str]:
    """Compare two modules; what training changes does not count.

    Compared are the types of all parts; the names, shapes, dtypes and `requires_grad` of parameters
    and buffers; hooks; and attributes: numbers, texts, containers of them, functions, and the
    values of tensors that no state_dict holds.

    Args:
        layer: the module that is to be matched.
        other: the one that shall match; if it is on the meta device, values are not compared.

    Returns:
        By place, how they differ, as in "weight has shape (3, 4), not (4, 3)".
    """
    ours, theirs = dict(layer.named_modules()), dict(other.named_modules())
    found = {}
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        one, two = ours.get(name), theirs.get(name)
        if one is None or two is None:
            found[name] = f"{_shown(name)} is {'missing' if two is None else 'new'}"
        elif type(one) is not type(two):
            found[name] = f"{_shown(name)} is a {type(two).__name__}, not a {type(one).__name__}"
        else:
            found.update(_tensor_differences(name, one, two))
            found.update(_attribute_differences(name, one, two))
    for read in (nn.Module.named_parameters, nn.Module.named_buffers):
        names = [dict(read(module)).keys() for module in (layer, other)]  # shared ones once
        for name in sorted(names[0] ^ names[1]):
            found.setdefault(name, f"{name} is shared in one of the two only")
    return found


def _tensor_differences(place: str, one: nn.Module, two: nn.Module) -> Iterator[tuple[str, str]]:
    """Compare the parameters and buffers that two modules hold themselves."""
    ours = {**one._parameters, **one._buffers}  # noqa: SLF001 - with those that are None
    theirs = {**two._parameters, **two._buffers}  # noqa: SLF001
    fleeting = one._non_persistent_buffers_set  # noqa: SLF001 - state that no state_dict holds
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        key = f"{place}.{name}".lstrip(".")
        if (name in ours) != (name in theirs):
            yield key, f"{key} is {'missing' if name in ours else 'new'}"
            continue
        for aspect, read in _ASPECTS.items():
            mine, yours = read(ours[name]), read(theirs[name])
            if mine != yours:
                text = f"{key} has {aspect} {yours}, not {mine}"
                yield from ((f"{key} {part}", text) for part in _parts(aspect, mine, yours))
                break
        else:
            if name in fleeting and not same(ours[name], theirs[name]):
                yield key, f"{key} has other values"


def _parts(aspect: str, mine: Any, yours: Any) -> list[str]:
    """Return what differs, size by size of a shape: one argument that is right is a step ahead."""
    if aspect != "shape" or mine is None or yours is None or len(mine) != len(yours):
        return [aspect]
    pairs = enumerate(zip(mine, yours, strict=True))
    return [f"size {dim}" for dim, (one, two) in pairs if one != two]


_ASPECTS: dict[str, Callable[[Any], Any]] = {
    "type": lambda tensor: type(tensor).__name__,
    "shape": lambda tensor: None if tensor is None or is_lazy(tensor) else tuple(tensor.shape),
    "dtype": lambda tensor: None if tensor is None else tensor.dtype,
    "requires_grad": lambda tensor: None if tensor is None else tensor.requires_grad,
}


def _attribute_differences(place: str, one: nn.Module, two: nn.Module) -> Iterator[tuple[str, str]]:
    """Compare what two modules hold besides parameters, buffers and modules."""
    ours = {name: value for name, value in vars(one).items() if name not in _OF_EVERY_MODULE}
    theirs = {name: value for name, value in vars(two).items() if name not in _OF_EVERY_MODULE}
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        key = f"{place}.{name}".lstrip(".")
        if name not in theirs:
            yield key, f"the constructor does not set {key}"
        elif name not in ours:
            yield key, f"{key} is new"
        elif (shapes := _shapes(ours[name], theirs[name])) is not None:
            text = f"{key} is a tensor of shape {shapes[1]}, not {shapes[0]}"
            yield from ((f"{key} {part}", text) for part in _parts("shape", *shapes))
        elif not same(ours[name], theirs[name]):
            yield key, f"{key} is {_brief(theirs[name])}, not {_brief(ours[name])}"
    for name in _HOOKS:
        if len(vars(one).get(name) or ()) != len(vars(two).get(name) or ()):
            key = f"{place}.{name}".lstrip(".")
            yield key, f"the constructor does not register the hooks of {_shown(place)}"


def _shapes(one: Any, two: Any) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return the shapes of two tensors if they are not the same."""
    if not isinstance(one, Tensor) or not isinstance(two, Tensor) or is_lazy(one) or is_lazy(two):
        return None
    return None if one.shape == two.shape else (tuple(one.shape), tuple(two.shape))


def same(one: Any, two: Any, depth: int = _DEPTH) -> bool:
    """Tell whether two attributes say the same; of objects that nothing is known of, the types."""
    if one is two or depth == 0:
        return True
    if type(one) is not type(two):
        return False
    for kinds, compare in _COMPARISONS:
        if isinstance(one, kinds):
            return compare(one, two, depth - 1)
    return True


def _same_items(one: Any, two: Any, depth: int) -> bool:
    mine, yours = list(iter(one)), list(iter(two))  # a user's tuple may have no __len__
    return len(mine) == len(yours) and all(
        same(here, there, depth) for here, there in zip(mine, yours, strict=True)
    )


def _same_values(one: Any, two: Any, depth: int) -> bool:
    return one.keys() == two.keys() and all(same(one[key], two[key], depth) for key in one)


def _same_function(one: Any, two: Any, depth: int) -> bool:
    return one.__code__ is two.__code__ and same(_bound(one), _bound(two), depth)


def _same_partial(one: Any, two: Any, depth: int) -> bool:
    return same([one.func, one.args, one.keywords], [two.func, two.args, two.keywords], depth)


def _same_number(one: Any, two: Any, _: int) -> bool:
    return bool(one == two or (one != one and two != two))  # noqa: PLR0124 - NaN


def _same_tensor(one: Tensor, two: Tensor, _: int) -> bool:
    if is_lazy(one) or is_lazy(two):
        return is_lazy(one) and is_lazy(two)
    if one.shape != two.shape or one.dtype != two.dtype:
        return False
    if "meta" in {one.device.type, two.device.type}:
        return True
    one, two = one.detach().cpu(), two.detach().cpu()
    return bool(((one == two) | ((one != one) & (two != two))).all())  # noqa: PLR0124 - NaN


def _bound(function: FunctionType) -> list[Any]:
    """Return what a function has kept: its defaults and the variables around it."""
    cells = []
    for cell in function.__closure__ or ():
        try:
            cells.append(cell.cell_contents)
        except ValueError:  # not set yet
            cells.append(None)
    return [function.__defaults__, function.__kwdefaults__, cells]


_EQUAL = (str, bytes, set, frozenset, type, BuiltinFunctionType, torch.dtype, torch.device)
_COMPARISONS: tuple[tuple[Any, Callable[[Any, Any, int], bool]], ...] = (
    (Tensor, _same_tensor),
    ((tuple, list), _same_items),
    (dict, _same_values),
    (FunctionType, _same_function),
    (partial, _same_partial),
    (MethodType, lambda one, two, _: one.__func__ is two.__func__),
    ((int, float, complex), _same_number),
    (_EQUAL, lambda one, two, _: bool(one == two)),
)


def _shown(name: str) -> str:
    return name or "the module itself"


def _brief(value: Any) -> str:
    text = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
