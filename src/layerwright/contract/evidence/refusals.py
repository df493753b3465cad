"""Which attributes refuse to be copied, found one by one."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from torch import Tensor, nn

from layerwright.contract.evidence.attributes import Held, held_outside

_PLAIN = (int, float, complex, bool, str, bytes, type(None), nn.Parameter)


class Refusal(NamedTuple):
    """An attribute that could not be copied, and what it raised."""

    held: Held
    error: Exception

    @property
    def words(self) -> str:
        """Return type and text of the error, shortened."""
        return in_words(self.error)


def refusals(layer: nn.Module, copies: Callable[[Any], object]) -> Iterator[Refusal]:
    """Yield the innermost value that refuses, of each attribute that does.

    Args:
        layer: whose attributes are looked at.
        copies: raises for what cannot be copied.
    """
    innermost: dict[tuple[str, str], Refusal] = {}
    for held in held_outside(layer):
        if held.via in {"closure", "class"} or isinstance(held.value, (*_PLAIN, nn.Module)):
            continue
        key = held.module_path, held.attribute
        if held.path != held.attribute and key not in innermost:
            continue  # the attribute as a whole could be copied
        try:
            copies(held.value)
        except Exception as error:  # noqa: BLE001 - attributes of any class refuse in any way
            if key not in innermost or len(held.path) > len(innermost[key].held.path):
                innermost[key] = Refusal(held, error)
    yield from innermost.values()


def in_words(error: Exception) -> str:
    """Return type and text of an error, shortened."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= 160 else text[:157] + '...'}"


def tensors_with_graph(layer: nn.Module) -> Iterator[Held]:
    """Yield the attributes and buffers that are tensors in the middle of a graph.

    Those that a forward pre-hook of their module writes anew before each call, as weight
    normalisation by hooks does, are left out.
    """
    for held in held_outside(layer):
        if (
            isinstance(held.value, Tensor)
            and held.value.grad_fn is not None
            and not (held.via == "attribute" and _written_by_hook(held.module, held.attribute))
        ):
            yield held
    for path, module in layer.named_modules():
        for name, value in module.named_buffers(recurse=False):
            if value.grad_fn is not None:
                yield Held(path, module, name, name, value, "attribute")


def _written_by_hook(module: nn.Module, name: str) -> bool:
    """Tell whether a forward pre-hook sets the attribute; the attribute is left as it was."""
    hooks = getattr(module, "_forward_pre_hooks", {})
    before = vars(module)[name]
    for hook in list(hooks.values()):
        try:
            hook(module, ())
        except Exception:  # noqa: BLE001, S112 - a hook that needs inputs computes no weights
            continue
        if vars(module).get(name) is not before:
            vars(module)[name] = before
            return True
    return False
