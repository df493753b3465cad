"""Diagnose a network's initialisation: measure, suspect, try cures, and say what was found."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from layerwright.errors import OptionError
from layerwright.initialization.doctor.cures import (
    Cure,
    Recipe,
    find_cure,
    signal_after,
    signal_after_steps,
)
from layerwright.initialization.doctor.measuring import measure, private_copy
from layerwright.initialization.doctor.signals import NetworkSignal
from layerwright.initialization.doctor.suspicions import LARGE_INPUT, Suspicion, suspicions
from layerwright.initialization.doctor.wording import (
    finding_in_words,
    number,
    remedy_in_words,
    verdict_of,
)
from layerwright.initialization.examples import example_inputs_of
from layerwright.initialization.undisturbed import undisturbed
from layerwright.names import name_of


@dataclass(frozen=True)
class InitializationFinding:
    """A sickness that a recipe has demonstrated, by curing it or by helping a lot.

    Attributes:
        kind: "dead", "symmetric", "outlier", "signal lost", "exploding", "gradient explodes",
            "saturated" or "not finite".
        layer: the layer that loses the signal, or where it is lost; "" for none in particular.
        found: the numbers, in words.
        recipe: the recipe of `lw.initialize` that cures it, or helps most.
        layers: the layers that the recipe is applied to; empty for the whole network.
        cure: the same as a line of Python.
        after: the numbers after the cure, in words.
        cured: whether nothing looks sick then; False where the best recipe only helps.
    """

    kind: str
    layer: str
    found: str
    recipe: str
    layers: tuple[str, ...]
    cure: str
    after: str
    cured: bool


@dataclass(frozen=True)
class InitializationDiagnosis:
    """What was found, and what was measured.

    Attributes:
        subject: name of the network's class.
        findings: what is sick, each demonstrated by a cure; empty for a healthy network.
        before: the network as it was given.
        after: after `recipe`; None if none was asked for and nothing is sick.
        recipe: the recipe that was asked for, or the one that cures; "" for none.
        notes: what could not be judged.
    """

    subject: str
    findings: tuple[InitializationFinding, ...]
    before: NetworkSignal
    after: NetworkSignal | None
    recipe: str
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is sick."""
        return not self.findings

    @property
    def verdict(self) -> str:
        """The verdict in words: what is sick, the numbers, and the recipe that cures it."""
        return verdict_of(self)

    def __str__(self) -> str:
        """Return the table, before and after, and the verdict."""
        from layerwright.initialization.doctor.table import table_of  # noqa: PLC0415 - needs rich

        return f"{table_of(self)}\n{self.verdict}"

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain values, for JSON."""
        return {"ok": self.ok, "verdict": self.verdict, **asdict(self)}

    def save_picture(self, file: str | Path) -> None:
        """Draw the signal and the gradient of each layer, before and after, as PNG or SVG.

        Raises:
            MissingExtraError: matplotlib is not installed.
            OptionError: the suffix is another one, or the file cannot be written.
        """
        from layerwright.initialization.doctor.picture import save_picture  # noqa: PLC0415 - extra

        save_picture(self, Path(file))


def diagnose_initialization(
    network: nn.Module, inputs: Any, *, recipe: Recipe | None = None, seed: int = 0
) -> InitializationDiagnosis:
    """Measure what a network's first values do to signal and gradients, and say what is sick.

    In training mode and on copies: the network, its gradients, buffers and modes and the random
    numbers stay as they are. For each layer and activation are measured the scale of the output,
    the share of it that depends on the input, the gradient, dead and saturated units. What looks
    sick is reported only when a recipe, tried on a copy, demonstrably helps; a start at zero
    that the first steps of training leave is not sick, and neither are small scores.

    Args:
        network: any network, on any device that holds values.
        inputs: a batch: a tensor, a tuple of forward's positional arguments, or a dict of its
            named ones. Several different samples let more be seen.
        recipe: a recipe of `lw.initialize` to show the numbers after; None for the one that
            cures, if something is sick.
        seed: of comparisons, dropout and recipes.

    Returns:
        The diagnosis: `ok`, `verdict`, `findings`, `before`, `after`; `str()` has a table.

    Raises:
        OptionError: `network` is no module or cannot be copied, does not run on `inputs`, or the
            recipe is unknown.
    """
    if not isinstance(network, nn.Module):
        raise OptionError(
            f"diagnose_initialization expected an nn.Module, received {type(network).__name__}. "
            "Fix: pass the network itself."
        )
    if any(parameter.is_meta for parameter in network.parameters()):
        raise OptionError(
            "diagnose_initialization expected parameters with values, received some on the meta "
            'device. Fix: lw.initialize(network, device="cpu") first.'
        )
    examples = example_inputs_of(inputs)
    with undisturbed(network):
        original = private_copy(network)
        before = measure(original, examples, seed)
        found: list[tuple[InitializationFinding, Cure]] = []
        for suspicion in _lasting(suspicions(before), original, examples, seed):
            if found and found[0][1].clean:
                break  # the first cure took away all of it
            cure = find_cure(original, examples, before, suspicion, seed)
            if cure is not None:
                found.append((_finding(suspicion, before, cure), cure))
        after, name = (found[0][1].signal, found[0][0].cure) if found else (None, "")
        if recipe is not None:
            name = recipe if isinstance(recipe, str) else name_of(recipe)
            after = _asked_for(original, examples, recipe, seed)
    return InitializationDiagnosis(
        subject=type(network).__name__,
        findings=tuple(finding for finding, _ in found),
        before=before,
        after=after,
        recipe=name,
        notes=_notes(before),
    )


def _lasting(
    suspected: list[Suspicion], network: nn.Module, examples: Any, seed: int
) -> list[Suspicion]:
    """Leave out dead and symmetric layers that the first steps of training wake up."""
    if not any(item.kind in ("dead", "symmetric") for item in suspected):
        return suspected
    later = signal_after_steps(network, examples, seed)
    still = {item.kind: item.layers for item in suspicions(later)} if later else {}
    lasting = []
    for item in suspected:
        if item.kind in ("dead", "symmetric"):
            layers = tuple(name for name in item.layers if name in still.get(item.kind, ()))
            if layers:
                lasting.append(Suspicion(item.kind, layers))
        else:
            lasting.append(item)
    return lasting


def _finding(suspicion: Suspicion, before: NetworkSignal, cure: Cure) -> InitializationFinding:
    layer, found = finding_in_words(suspicion, before)
    after = remedy_in_words(suspicion, layer, cure.signal)
    return InitializationFinding(
        suspicion.kind, layer, found, cure.recipe, cure.layers, cure.code(), after, cure.clean
    )


def _asked_for(network: nn.Module, examples: Any, recipe: Recipe, seed: int) -> NetworkSignal:
    from layerwright.initialization.recipes import initialize  # noqa: PLC0415 - for its message

    signal = signal_after(network, examples, recipe, (), seed)
    if signal is None:
        initialize(private_copy(network), recipe, inputs=examples)  # which says why
        raise OptionError(f"the recipe {recipe!r} does not fit this network.")
    return signal


def _notes(before: NetworkSignal) -> tuple[str, ...]:
    notes = []
    if not before.training:
        notes.append("measured in eval mode, because the pass in training mode failed")
    if before.change == 0:
        notes.append("the output does not change with the input before the first step of training")
    if before.input_scale >= LARGE_INPUT:
        notes.append(
            f"the input's values are about {number(before.input_scale)}: scale them to about 1"
        )
    return tuple(notes)
