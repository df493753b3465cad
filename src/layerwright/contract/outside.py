"""What goes wrong before a rule can look: a process that dies, an import that fails."""

from dataclasses import dataclass

from layerwright.contract.finding import Finding, Report, Result


@dataclass(frozen=True)
class OutsideFault:
    """A fault that the machine itself meets; it has an id like a rule, and a page."""

    id: str
    name: str
    promise: str
    page: str
    fix: str

    def report(
        self,
        subject: str,
        *,
        where: str,
        expected: str,
        found: str,
        file: str | None = None,
        line: int | None = None,
        reproduce: str = "",
        seconds: float = 0.0,
        tier: str = "standard",
        notes: tuple[str, ...] = (),
    ) -> Report:
        """Return a report with this one finding, an error."""
        finding = Finding(
            where=where,
            expected=expected,
            found=found,
            fix=self.fix,
            severity="error",
            file=file,
            line=line,
            rule_id=self.id,
            rule_name=self.name,
            promise=self.promise,
            reproduce=reproduce,
        )
        result = Result(
            rule_id=self.id,
            rule_name=self.name,
            family="outside",
            outcome="failed",
            findings=(finding,),
            seconds=seconds,
        )
        return Report(
            subject=subject, results=(result,), file=file, line=line, tier=tier, notes=notes
        )


PROCESS_ENDS = OutsideFault(
    "RUN001",
    "process-ends",
    "a layer answers or raises; it leaves its process alive, in the time and memory it is given",
    "The layer's process ended while it was checked: a crash in native code, os._exit, an endless "
    "loop, a deadlock, or more memory than the limit. The finding names how it ended and the rule "
    "that was running; the end of its output stands beside it.",
    "call the layer by hand under `python -X faulthandler`; if it is only slow or large, raise "
    "--time-limit or --memory-limit",
)

IMPORT_FAILS = OutsideFault(
    "RUN002",
    "import-fails",
    "every import of a file works",
    "An import of the file failed. Layers that do not need what it brings are judged all the same; "
    "the others are named with the reason.",
    "install the package into the environment that layerwright runs in, or correct its name",
)

OUTSIDE_FAULTS = (PROCESS_ENDS, IMPORT_FAILS)
