"""Run a network for a look at it: without values and memory where that is possible, else for real.

The network that is handed over is never run: its copy is, and copies without values are light.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from layerwright.contract.copying import fresh_copy
from layerwright.contract.isolation import isolated
from layerwright.contract.trees import Inputs
from layerwright.errors import OptionError
from layerwright.inspection.example_inputs import drawn
from layerwright.inspection.failures import Failure, failure_of, place_of
from layerwright.inspection.parameter_counts import memory_bytes_of
from layerwright.inspection.torch_compat import WithoutValues, asks_for_values
from layerwright.names import name_of
from layerwright.random_numbers import seed_all

MAX_REAL_BYTES = 2 * 2**30  # a larger network is not built, or copied, for a pass with values


class Runs(Protocol):
    """What runs a network and notes what it sees."""

    def run(self) -> Any:
        """Run it; what the network raises goes through."""


R = TypeVar("R", bound=Runs)


@dataclass(frozen=True)
class Pass(Generic[R]):
    """One pass of a network.

    Attributes:
        network: that ran, a copy or a fresh one.
        inputs: what it was called with.
        seen: what ran it, with what it noted, up to a failure.
        with_values: whether it was computed; else only shapes were followed.
        failure: of the network; None if it returned.
        notes: what a reader must know.
        name: of the network's class.
    """

    network: nn.Module
    inputs: Inputs
    seen: R
    with_values: bool
    failure: Failure | None
    notes: tuple[str, ...]
    name: str


class Source:
    """What a caller handed over: a network, or what builds one, and its inputs.

    Args:
        target: an `nn.Module`, a class or a function without required arguments.
        inputs: of the network; None for its `example_inputs`.
        seed: of a network that is built for real, and of its pass.

    Raises:
        OptionError: the target is neither, or needs arguments.
    """

    def __init__(self, target: Any, inputs: Inputs | None, seed: int = 0) -> None:
        if not isinstance(target, nn.Module):
            _refuse_no_maker(target)
        self.target, self.inputs, self.seed = target, inputs, seed

    @property
    def is_built(self) -> bool:
        """Whether it is a network already."""
        return isinstance(self.target, nn.Module)

    @contextmanager
    def with_values(self) -> Iterator[tuple[nn.Module, Inputs]]:
        """Yield a network with values and inputs for it; what it does to the process is undone."""
        with isolated(self.target if self.is_built else None):
            seed_all(self.seed)
            network = fresh_copy(self.target) if self.is_built else _called(self.target)
            inputs = drawn(self._inputs_for(network)).map(_mover(network))
            seed_all(self.seed)
            yield network, inputs

    @contextmanager
    def without_values(self) -> Iterator[tuple[nn.Module, Inputs]]:
        """Yield a network and inputs that have shapes only, in a block where all tensors do."""
        world = WithoutValues()
        with isolated(self.target if self.is_built else None):
            light = world.copy(self.target) if self.is_built else None
            given = None if self.inputs is None else self.inputs.map(Tensor.detach)
            with world.entered():
                network = light if light is not None else _called(self.target)
                device = _device_of(network)

                def formed(tensor: Tensor) -> Tensor:
                    if tensor.is_meta and device.type != "meta":
                        return torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
                    return world.tensor(tensor)

                yield network, (given or self._inputs_for(network)).map(formed)

    def _inputs_for(self, network: nn.Module) -> Inputs:
        if self.inputs is not None:
            return self.inputs
        example = getattr(network, "example_inputs", None)
        example = example() if callable(example) else example
        if example is None:
            raise OptionError(
                f"{type(network).__name__} expected inputs, received none. Fix: give them, such as "
                "torch.randn(4, 3, 32, 32) or their shape, or set example_inputs on the class."
            )
        return Inputs(tuple(example) if isinstance(example, tuple | list) else (example,))


def look(source: Source, watch: Callable[[nn.Module, Inputs], R]) -> Pass[R]:
    """Run a network once, in the mode that it is in, and return what was seen.

    Without values first. If that fails, because Python asks for the values of a tensor or for any
    other reason, it runs for real, and the notes say so.

    Args:
        source: the network and its inputs.
        watch: makes what runs the network and notes what it sees.

    Raises:
        OptionError: the network cannot be built, or there are no inputs.
    """
    light, error = _attempt(source.without_values, watch, with_values=False)
    if light is not None and light.failure is None:
        return light
    if light is not None and (size := _bytes_of(light.network)) > MAX_REAL_BYTES:
        note = f"not run with values: its parameters take {size / 2**30:.1f} GiB"
        return _changed(light, (note,))
    real, raised = _attempt(source.with_values, watch, with_values=True)
    if real is None:
        raise _no_network(source, raised) from raised
    if real.failure is None:
        doing = "run" if light is not None else "built and run"
        return _changed(real, (f"{doing} with values: {_why(error)}",))
    if real.network.training:
        calm, _ = _attempt(source.with_values, watch, with_values=True, training=False)
        if calm is not None and calm.failure is None:
            note = f"run with values in eval mode: in training mode it raised {real.failure.raised}"
            return _changed(calm, (note,))
    return real


def _attempt(
    enter: Any, watch: Callable[[nn.Module, Inputs], R], *, with_values: bool, training: bool = True
) -> tuple[Pass[R] | None, Exception | None]:
    """Run once; return the pass, or None if there was no network, and what was raised."""
    try:
        with enter() as (network, inputs):
            if not training:
                network.eval()
            seen, failure, error = watch(network, inputs), None, None
            try:
                seen.run()
            except Exception as raised:  # noqa: BLE001 - a network may raise anything
                error = raised
                failure = failure_of(network, inputs, raised)
            found = Pass(network, inputs, seen, with_values, failure, (), type(network).__name__)
            return found, error
    except OptionError:
        raise
    except Exception as raised:  # noqa: BLE001 - and so may its constructor
        return None, raised


def _changed(found: Pass[R], notes: tuple[str, ...]) -> Pass[R]:
    return replace(found, notes=notes)


def _why(error: Exception | None) -> str:
    if error is None:
        return "it could not be followed by shapes alone"
    place = place_of(error)
    at = f" ({place})" if place.file else ""
    if asks_for_values(error):
        return f"what it does depends on the values of a tensor{at}"
    text = " ".join(str(error).split())[:120]
    return f"without values it raised {type(error).__name__}: {text}{at}"


def _no_network(source: Source, error: Exception | None) -> OptionError:
    name = name_of(source.target) if not source.is_built else type(source.target).__name__
    doing = "copied" if source.is_built else "built"
    text = " ".join(str(error).split())[:300]
    place = place_of(error) if error is not None else None
    at = f" ({place})" if place and place.file else ""
    return OptionError(f"{name} cannot be {doing}: {type(error).__name__}: {text}{at}")


def _called(maker: Callable[[], Any]) -> nn.Module:
    network = maker()
    if not isinstance(network, nn.Module):
        raise OptionError(
            f"{name_of(maker)} expected to return an nn.Module, received {type(network).__name__}."
        )
    return network


def _refuse_no_maker(target: Any) -> None:
    if not callable(target) or (isinstance(target, type) and not issubclass(target, nn.Module)):
        raise OptionError(
            "summary and graph expected an nn.Module, its class or a function that builds it, "
            f"received {target if isinstance(target, str) else name_of(target)!r}."
        )
    try:
        inspect.signature(target).bind()
    except TypeError as error:
        raise OptionError(
            f"{name_of(target)} expected to be built without arguments: {error}. "
            f"Fix: pass lambda: {name_of(target)}(...), or an instance."
        ) from None
    except ValueError:  # written in C: it tells nothing
        pass


def _device_of(network: nn.Module) -> torch.device:
    for tensor in (*network.parameters(), *network.buffers()):
        return tensor.device
    return torch.get_default_device()


def _mover(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return what moves inputs that were given as shapes, and lie on the CPU, to the network."""
    device = _device_of(network)
    return lambda tensor: tensor.to(device) if tensor.device.type == "cpu" else tensor


def _bytes_of(network: nn.Module) -> int:
    return memory_bytes_of([*network.parameters(), *network.buffers()])
