"""A rule: what a sound layer promises, and how a breach is demonstrated."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from layerwright.contract.finding import SEVERITIES, Finding, Severity
from layerwright.contract.source import place_of_error
from layerwright.contract.traits import TRAITS
from layerwright.errors import OptionError

if TYPE_CHECKING:
    from layerwright.contract.probe import Probe

Tier = Literal["standard", "full"]
Status = Literal["preview", "stable", "deprecated"]
Judge = Callable[["Probe"], Iterable[Finding]]

# What a rule may ask for; the probe verifies it before the rule runs (contract/needs.py).
NEEDS = (
    "forward",  # a forward pass in eval mode works on the example inputs
    "train_forward",  # one in training mode works too
    "backward",  # and so does a backward pass from its outputs, with finite gradients
    "deterministic",  # fresh copies give the same answer to the same call with the same seed
    "constructor",  # an independent second instance can be built
    "parameters",  # it has parameters that are trained
    "float_inputs",  # it has a floating-point input
    "float_outputs",  # it has a floating-point output
    "float32",  # it computes in float32, as most layers do
    "batch",  # samples lie along a known dimension of inputs and outputs
    "loss",  # a loss and a target were given
    "ranks",  # it may run in several processes of one group
    "unbuilt",  # nothing: it judges layers too that could not be built, which others skip
)


class Skip(Exception):  # noqa: N818 - it is no error: the rule cannot judge, and says why
    """Raised by a rule that cannot judge this layer, with the reason."""


class LayerRaised(Skip):
    """The layer raised. A rule that does not catch it is skipped with this reason.

    Attributes:
        error: what it raised.
        place: the line of the user's code that it came from.
    """

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.place = place_of_error(error)
        text = " ".join(str(error).split())
        self.words = f"{type(error).__name__}: {text if len(text) <= 300 else text[:297] + '...'}"
        super().__init__(f"the layer raised {self.words}")


@dataclass(frozen=True)
class Rule:
    """One promise and its judge; the judge's docstring is the rule's page.

    Attributes:
        id: family letters and three digits, such as "GRD001"; never used twice.
        name: the fault, in kebab case: reads as "allow wrong-gradient".
        promise: what every sound layer holds, one sentence.
        family: the folder that the rule lives in.
        severity: of its findings, unless a finding says otherwise.
        tier: "standard", or "full" for the slow ones.
        needs: what must hold before it can judge, of `NEEDS`.
        requires: ids of rules that must not have failed, else it is skipped.
        explains: ids of rules whose failure this one's failure explains.
        excused_by: traits that make it pointless.
        since: the version that brought it.
        status: "preview" rules run only when they are selected by id.
        judge: yields a finding for each breach.
    """

    id: str
    name: str
    promise: str
    family: str
    severity: Severity
    tier: Tier
    needs: tuple[str, ...]
    requires: tuple[str, ...]
    explains: tuple[str, ...]
    excused_by: tuple[str, ...]
    since: str
    status: Status
    judge: Judge

    def __call__(self, probe: "Probe") -> Iterator[Finding]:
        """Judge the probe's layer."""
        yield from self.judge(probe)

    @property
    def doc(self) -> str:
        """The rule's page as it stands in the source."""
        return self.judge.__doc__ or ""

    @property
    def runs_with(self) -> str:
        """The option that makes a check run it; "" where every check does."""
        if self.status == "preview":
            return f"--select {self.id}"
        if "ranks" in self.needs:
            return "--ranks 2"
        return "--tier full" if self.tier == "full" else ""


def rule(
    id: str,  # noqa: A002 - the field's own word
    name: str,
    *,
    promise: str,
    family: str,
    since: str,
    severity: Severity = "error",
    tier: Tier = "standard",
    needs: Iterable[str] = ("forward",),
    requires: Iterable[str] = (),
    explains: Iterable[str] = (),
    excused_by: Iterable[str] = (),
    status: Status = "stable",
) -> Callable[[Judge], Rule]:
    """Turn a judge, a generator of findings, into a rule. See `Rule` for the arguments.

    Raises:
        OptionError: an argument is none of those that `Rule` allows.
    """
    if not re.fullmatch(r"[A-Z]{3}\d{3}", id):
        raise OptionError(f"a rule's id expected three letters and three digits, received {id!r}.")
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", name):
        raise OptionError(f"{id} expected a name such as input-mutated, received {name!r}.")
    for kind, given, known in (
        ("severity", (severity,), SEVERITIES),
        ("tier", (tier,), ("standard", "full")),
        ("status", (status,), ("preview", "stable", "deprecated")),
        ("needs", tuple(needs), NEEDS),
        ("excused_by", tuple(excused_by), TRAITS),
    ):
        for value in given:
            if value not in known:
                raise OptionError(
                    f"{id} expected {kind} of {', '.join(known)}, received {value!r}."
                )

    def declare(judge: Judge) -> Rule:
        return Rule(
            id=id,
            name=name,
            promise=promise,
            family=family,
            severity=severity,
            tier=tier,
            needs=tuple(needs),
            requires=tuple(requires),
            explains=tuple(explains),
            excused_by=tuple(excused_by),
            since=since,
            status=status,
            judge=judge,
        )

    return declare
