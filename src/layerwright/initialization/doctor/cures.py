"""Try recipes on copies of a sick network, and keep the one that cures it."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from layerwright.errors import LayerwrightError
from layerwright.initialization.doctor.measuring import measure, private_copy
from layerwright.initialization.doctor.signals import NetworkSignal
from layerwright.initialization.doctor.suspicions import Suspicion, is_cured, suspicions
from layerwright.initialization.examples import ExampleInputs, floats_in
from layerwright.initialization.recipes import LSUV, initialize
from layerwright.initialization.undisturbed import undisturbed
from layerwright.random_numbers import seed_all_devices

Recipe = str | Callable[[nn.Module], object]

_OF_LAYERS = ("default", "kaiming", "xavier")
_OF_NETWORKS = ("by-type", "xavier", "kaiming", "orthogonal", LSUV)
_EVEN = 1.0  # powers of ten: no further recipe is tried
_AS_GOOD = 0.3  # powers of ten within which the recipe that is named first is taken
_NUM_STEPS = 4  # of training, after which a start at zero has woken up
_ONE_LAYER = frozenset({"dead", "symmetric", "outlier", "saturated", "not finite"})


@dataclass(frozen=True)
class Cure:
    """A recipe, what it was applied to, and what was measured then.

    Attributes:
        recipe: name of the recipe.
        layers: the layers it is applied to; empty for the whole network.
        signal: the cured network's.
        clean: whether nothing looks sick in it.
    """

    recipe: str
    layers: tuple[str, ...]
    signal: NetworkSignal
    clean: bool

    def code(self) -> str:
        """Return the Python that applies it."""
        given = ", inputs=batch" if self.recipe == LSUV else ""
        if not self.layers:
            return f'lw.initialize(network, "{self.recipe}"{given})'
        if len(self.layers) == 1:
            return f'lw.initialize(network.get_submodule("{self.layers[0]}"), "{self.recipe}")'
        return (
            f"for name in {self.layers}: "
            f'lw.initialize(network.get_submodule(name), "{self.recipe}")'
        )


def find_cure(
    network: nn.Module,
    inputs: ExampleInputs,
    before: NetworkSignal,
    suspicion: Suspicion,
    seed: int,
) -> Cure | None:
    """Return the best cure, if there is one that leaves nothing sick, among these; else None.

    None means that the suspicion is not demonstrated: no recipe improves the numbers.
    """
    for candidates in _candidates(before, suspicion):
        cures = []
        for recipe, layers in candidates:
            signal = signal_after(network, inputs, recipe, layers, seed)
            if signal is not None and is_cured(suspicion, before, signal):
                cures.append(Cure(recipe, layers, signal, clean=not suspicions(signal)))
                if cures[-1].clean and _unevenness(signal) < _EVEN:
                    return cures[-1]
        cures = [cure for cure in cures if cure.clean] or cures
        if cures:
            best = min(_unevenness(cure.signal) for cure in cures)
            return next(item for item in cures if _unevenness(item.signal) < best + _AS_GOOD)
    return None


def _unevenness(signal: NetworkSignal) -> float:
    """How many powers of ten the signal and the gradients of the layers are away from even."""
    grads = [layer.weight_gradient for layer in signal.weighted() if layer.weight_gradient]
    spread = math.log10(max(grads) / min(grads)) if grads else 0.0
    lost = [abs(math.log10(x)) for x in (signal.gain, signal.dependence) if x > 0]
    return spread + sum(lost)


def signal_after(
    network: nn.Module,
    inputs: ExampleInputs,
    recipe: Recipe,
    layers: tuple[str, ...],
    seed: int,
) -> NetworkSignal | None:
    """Measure a copy after a recipe; None when the recipe does not fit the network."""
    twin = private_copy(network)
    generator = Generator().manual_seed(seed)
    try:
        with warnings.catch_warnings(), undisturbed(twin):
            warnings.simplefilter("ignore")  # of gains that a recipe leaves alone
            for part in [twin.get_submodule(name) for name in layers] or [twin]:
                given = inputs if recipe == LSUV else None
                initialize(part, recipe, generator=generator, inputs=given)
        return measure(twin, inputs, seed)
    except LayerwrightError:  # a parametrisation that takes no values
        return None


def signal_after_steps(
    network: nn.Module, inputs: ExampleInputs, seed: int
) -> NetworkSignal | None:
    """Measure a copy after a few steps of training; None when it cannot be trained.

    Starts at zero that the first steps leave, as in LoRA, ReZero or a head of zeros, are no fault.
    """
    twin = private_copy(network)
    parameters = [parameter for parameter in twin.parameters() if parameter.requires_grad]
    try:
        with undisturbed(twin), torch.enable_grad():
            twin.train()
            for step in range(_NUM_STEPS):
                _step(twin, parameters, inputs, seed + step)
        return measure(twin, inputs, seed)
    except (LayerwrightError, RuntimeError, ValueError):  # such as a batch of one to normalise
        return None


def _step(
    network: nn.Module, parameters: Sequence[Tensor], inputs: ExampleInputs, seed: int
) -> None:
    """Move each parameter against its gradient, its largest value by 0.01."""
    seed_all_devices(seed)
    given = inputs.map(Tensor.clone)
    outputs = [
        item for item in floats_in(network(*given.args, **given.kwargs)) if item.requires_grad
    ]
    if not outputs:
        return
    loss = torch.stack([(item * torch.randn_like(item)).sum() for item in outputs]).sum()
    grads: Sequence[Tensor | None] = torch.autograd.grad(loss, parameters, allow_unused=True)
    with torch.no_grad():
        for parameter, grad in zip(parameters, grads, strict=True):
            if grad is None:
                continue
            dense = grad.to_dense() if grad.layout != torch.strided else grad
            if bool(dense.any()) and bool(dense.isfinite().all()):
                parameter.sub_(0.01 * dense / dense.abs().max())


def _candidates(
    before: NetworkSignal, suspicion: Suspicion
) -> Iterator[list[tuple[str, tuple[str, ...]]]]:
    """Yield groups of cures, each a recipe and its layers; the smallest interventions first."""
    layers = _owners(before, suspicion) if suspicion.kind in _ONE_LAYER else ()
    if layers and len(layers) <= len(before.weighted()) / 2:
        yield [(recipe, layers) for recipe in _OF_LAYERS]
        if suspicion.kind == "outlier":
            return  # what another start of other layers changes proves nothing about these
        if suspicion.kind == "dead" and before.change > 0:
            return  # neither does it here: a router may choose other parts then
    yield [(recipe, ()) for recipe in _OF_NETWORKS]


def _owners(before: NetworkSignal, suspicion: Suspicion) -> tuple[str, ...]:
    """Return the layers that are to blame: of an activation, the last layer before it."""
    found: dict[str, None] = {}
    last = ""
    for layer in before.layers:
        last = layer.name if layer.role == "layer" else last
        if layer.name in suspicion.layers and last:
            found[last] = None
    return tuple(found)
