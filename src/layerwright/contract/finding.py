"""What a check says: a finding, the result of one rule, the report on one layer. All are frozen."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from layerwright.errors import ContractError, OptionError

Severity = Literal["error", "warning", "note"]
Outcome = Literal["passed", "failed", "skipped", "xfailed", "xpassed", "error"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One fault that a rule has demonstrated on a layer.

    A rule fills `where`, `expected`, `found`, `fix` and, where it knows it, `file`, `line`; the
    runner adds the rest.

    Attributes:
        where: the part of the layer, such as "gate.weight" or "forward, input x".
        expected: what the layer promised, with numbers.
        found: what was observed, with numbers.
        fix: what to write instead.
        severity: "error", "warning" or "note"; None while the rule's own applies.
        file: the user's source file that the finding points to.
        line: the line in that file, from 1.
        rule_id: such as "GRD001".
        rule_name: such as "wrong-gradient".
        promise: what every sound layer holds, in the rule's words.
        reproduce: a command or a Python snippet that shows the finding again.
        explained_by: the id of the rule whose finding is the root cause, or None.
    """

    where: str
    expected: str
    found: str
    fix: str
    severity: Severity | None = None
    file: str | None = None
    line: int | None = None
    rule_id: str = ""
    rule_name: str = ""
    promise: str = ""
    reproduce: str = ""
    explained_by: str | None = None

    @property
    def place(self) -> str:
        """`where`, with file and line if they are known."""
        if self.file is None:
            return self.where
        line = "" if self.line is None else f":{self.line}"
        return f"{self.where} ({Path(self.file).name}{line})"

    def __str__(self) -> str:
        """All that the finding says, one field a line."""
        lines = [
            f"{self.severity}: {self.rule_id} {self.rule_name}",
            f"  where      {self.place}",
            f"  expected   {self.expected}",
            f"  found      {self.found}",
            f"  fix        {self.fix}",
        ]
        if self.explained_by:
            lines.append(f"  explained  by {self.explained_by}")
        if self.reproduce:
            first, *rest = self.reproduce.splitlines()
            lines.append(f"  reproduce  {first}")
            lines.extend(f"             {line}" for line in rest)
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one rule came to on one layer.

    Attributes:
        outcome: "passed", "failed", "skipped", "xfailed" (failed as expected), "xpassed" (expected
            to fail, and passed), or "error": the rule itself crashed, which never blames the layer.
        reason: why it was skipped, was expected to fail, or crashed; "" otherwise.
        findings: what it found; empty unless failed or xfailed.
        seconds: the time the rule took.
    """

    rule_id: str
    rule_name: str
    family: str
    outcome: Outcome
    reason: str = ""
    findings: tuple[Finding, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Report:
    """What all rules came to on one layer.

    Attributes:
        subject: the layer's name: its class, or the target that was given.
        file: the source file of its class, if there is one.
        line: the line of its class there.
        inputs: the inputs in words, such as "x: (2, 3, 8, 8) float32".
        results: one result a rule, in the order of the catalogue.
        tier: "standard" or "full".
        seed: the seed of the check.
        seconds: the time the check took.
        versions: of layerwright, torch and Python.
        notes: what a reader must know besides, such as what of a script was left out.
    """

    subject: str
    results: tuple[Result, ...]
    file: str | None = None
    line: int | None = None
    inputs: tuple[str, ...] = ()
    tier: str = "standard"
    seed: int = 0
    seconds: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings that count, root causes first, errors before warnings before notes."""
        found = [
            finding
            for result in self.results
            if result.outcome == "failed"
            for finding in result.findings
        ]
        return tuple(
            sorted(
                found,
                key=lambda item: (
                    item.explained_by is not None,
                    SEVERITIES.index(item.severity or "error"),
                ),
            )
        )

    @property
    def counts(self) -> Counter[str]:
        """How many rules came to each outcome."""
        return Counter(result.outcome for result in self.results)

    @property
    def judged(self) -> bool:
        """Whether any rule could say anything."""
        return any(result.outcome not in {"skipped", "error"} for result in self.results)

    @property
    def ok(self) -> bool:
        """False when a finding is an error, or when nothing could be judged."""
        return self.judged and all(item.severity not in {"error", None} for item in self.findings)

    def raise_for_findings(self) -> None:
        """Raise if the report is not `ok`.

        Raises:
            ContractError: a finding is an error, or nothing could be judged; the message is the
                report in words.
        """
        if not self.ok:
            raise ContractError(str(self))

    def save(self, path: str | Path) -> None:
        """Write the report in the format that the suffix names: .json, .sarif, .html or .xml.

        Raises:
            OptionError: the suffix is none of these, or the file cannot be written.
        """
        from layerwright.reports import RENDERERS, render  # noqa: PLC0415 - reports read this file

        suffixes = {".json": "json", ".sarif": "sarif", ".html": "html", ".xml": "junit"}
        suffix = Path(path).suffix.lower()
        if suffix not in suffixes or suffixes[suffix] not in RENDERERS:
            raise OptionError(
                f"report.save expected a name that ends in {', '.join(suffixes)}, "
                f"received {str(path)!r}."
            )
        try:
            Path(path).write_text(render([self], suffixes[suffix]), encoding="utf-8")
        except OSError as error:
            raise OptionError(f"{path} cannot be written: {error.strerror}.") from error

    def __str__(self) -> str:
        """The report as the terminal shows it, without colours."""
        from layerwright.reports import render  # noqa: PLC0415 - reports read this file

        return render([self], "text")
