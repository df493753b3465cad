"""Fill a network's parameters, module by module, children before their parents."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Generator, Tensor, nn
from torch.nn.utils import parametrize

from layerwright.errors import OptionError
from layerwright.initialization.formulas import Formula, draw, num_gates
from layerwright.initialization.structure import Place, is_normalization, kind_of


class Filling:
    """One pass over a network, in the order in which constructors ran.

    Args:
        formulas: what weights and embeddings are drawn from, by `structure.kind_of`; empty lets
            each module reset itself.
        generator: where random numbers come from; None is torch's global one.
    """

    def __init__(self, formulas: Mapping[str, Formula], generator: Generator | None) -> None:
        self.formulas = formulas
        self.generator = generator

    def fill(self, network: nn.Module, found: list[Place]) -> list[Place]:
        """Give the parameters at `found` new values.

        Returns:
            The places that were left as they were, because nothing says how they start.
        """
        own: dict[int, list[Place]] = {}
        for place in found:
            own.setdefault(id(place.owner), []).append(place)
        left: list[Place] = []
        for module in _children_first(network, set()):
            mine = own.get(id(module), [])
            if self.formulas:
                left.extend(self._by_formula(module, mine))
            elif not self._reset(module, mine):
                left.extend(mine)
        return left

    def _by_formula(self, module: nn.Module, mine: list[Place]) -> Iterator[Place]:
        """Draw weights, and let gains start as the module itself or a normalisation does."""
        _restart_statistics(module)
        kinds = {id(place): _kind(place) for place in mine}
        only_vectors = set(kinds.values()) <= {"gain", "bias"}
        with_gain = "gain" in kinds.values()
        own_start = with_gain and self._reset(module, mine)
        for place in _assignable(mine):
            kind = kinds[id(place)]
            if own_start and (kind == "gain" or only_vectors):
                continue
            if kind == "bias":
                assign(place, torch.zeros_like(value_of(place)))
            elif kind == "gain" and is_normalization(module):
                assign(place, torch.ones_like(value_of(place)))
            elif kind in self.formulas and place.parameter.is_floating_point():
                self._draw(place, self.formulas[kind])
            else:
                yield place

    def _draw(self, place: Place, formula: Formula) -> None:
        value = value_of(place)
        num_blocks = num_gates(place.owner, place.attribute, tuple(value.shape))
        draw(formula, value, place.owner, num_blocks, self.generator)
        padding = getattr(place.owner, "padding_idx", None)
        if isinstance(padding, int) and isinstance(place.owner, (nn.Embedding, nn.EmbeddingBag)):
            value[padding] = 0
        assign(place, value)

    def _reset(self, module: nn.Module, mine: list[Place]) -> bool:
        """Call the module's own reset, where it has one; tied parameters of others keep theirs."""
        # MultiheadAttention and Transformer have the method under a private name
        reset = getattr(module, "reset_parameters", getattr(module, "_reset_parameters", None))
        if not callable(reset):
            return False
        ours = {id(place.parameter) for place in mine}
        others = [
            (parameter, parameter.clone())
            for parameter in module.parameters(recurse=False)
            if id(parameter) not in ours
        ]
        with global_numbers_from(self.generator, module), parametrize.cached():
            reset()  # writes into the cached tensors of what is parametrised
            for place in _assignable(mine):
                if _is_parametrized(place):
                    assign(place, value_of(place))
        for parameter, value in others:
            parameter.copy_(value)
        return True


@contextmanager
def global_numbers_from(generator: Generator | None, module: nn.Module) -> Iterator[None]:
    """Seed torch's global random numbers from `generator` meanwhile; they are put back after.

    That of the CPU, and that of the CUDA or XPU devices on which `module` has parameters. The
    generator moves on only if some of these numbers were used.
    """
    if generator is None:
        yield
        return
    kind, indices = accelerators_of(module)
    before = generator.get_state()
    seed = int(torch.randint(2**63 - 1, (), generator=generator, device=generator.device))
    with torch.random.fork_rng(devices=indices, device_type=kind):
        numbers = [torch.default_generator]
        numbers.extend(torch.get_device_module(kind).default_generators[i] for i in indices)
        for source in numbers:
            source.manual_seed(seed)
        start = [source.get_state() for source in numbers]
        yield
        if all(
            torch.equal(s, source.get_state()) for s, source in zip(start, numbers, strict=True)
        ):
            generator.set_state(before)


def accelerators_of(module: nn.Module) -> tuple[str, list[int]]:
    """Return the kind and the numbers of the CUDA or XPU devices that hold its parameters."""
    used = {parameter.device for parameter in module.parameters()}
    devices = sorted((d.type, d.index or 0) for d in used if d.type in ("cuda", "xpu"))
    return (devices[0][0] if devices else "cuda"), [index for _, index in devices]


def _children_first(module: nn.Module, seen: set[int]) -> Iterator[nn.Module]:
    """Walk as constructors do, so that a parent has the last word on its children's values."""
    if id(module) in seen:
        return
    seen.add(id(module))
    for child in module.children():
        yield from _children_first(child, seen)
    yield module


def _assignable(mine: list[Place]) -> Iterator[Place]:
    """The places, a parametrised tensor once, however many parameters it is computed from."""
    assigned: set[str] = set()
    for place in mine:
        if _is_parametrized(place):
            if place.attribute in assigned:
                continue
            assigned.add(place.attribute)
        yield place


def _is_parametrized(place: Place) -> bool:
    return parametrize.is_parametrized(place.owner, place.attribute)


def _kind(place: Place) -> str:
    """What the tensor is that the layer uses; of a parametrised one, not its parts."""
    return kind_of(place.owner, place.attribute, tuple(value_of(place).shape))


def value_of(place: Place) -> Tensor:
    """Return the tensor to write into; of a parametrised one a copy."""
    if _is_parametrized(place):
        return getattr(place.owner, place.attribute).clone()
    return place.parameter


def assign(place: Place, value: Tensor) -> None:
    """Write a value into a parameter, or through the parametrisation of a tensor.

    Raises:
        OptionError: the parametrisation cannot take a value.
    """
    if not _is_parametrized(place):
        if value is not place.parameter:
            place.parameter.copy_(value)
        return
    try:
        setattr(place.owner, place.attribute, value)
    except (RuntimeError, NotImplementedError, ValueError) as error:
        raise OptionError(
            f"{place.name} expected a parametrisation that can take a value, received: {error} "
            "Fix: initialise the layer before it is parametrised, or give it a right_inverse."
        ) from error


def _restart_statistics(module: nn.Module) -> None:
    """Running statistics describe the old weights."""
    for name, start in (("running_mean", 0), ("running_var", 1), ("num_batches_tracked", 0)):
        buffer = dict(module.named_buffers(recurse=False)).get(name)
        if buffer is not None:
            buffer.fill_(start)
