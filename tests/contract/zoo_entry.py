"""Reads a file of the zoo: a broken layer, its sound twin, and the rules that it must trigger."""

import importlib.util
import sys
from pathlib import Path

import torch

from layerwright.contract.case import Case
from layerwright.contract.catalog import catalog
from layerwright.contract.check import check
from layerwright.contract.isolation import isolated

ZOO = Path(__file__).parent / "zoo"


def entries():
    """Return all files of the zoo."""
    return sorted(path for path in ZOO.rglob("*.py"))


def name_of(path):
    """Return "purity/shift_in_place"."""
    return str(path.relative_to(ZOO).with_suffix(""))


def load(path):
    """Import a file of the zoo."""
    name = "zoo_" + name_of(path).replace("/", "_")
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def case_of(entry, which):
    """Return the case of the "Broken" or "Sound" layer, handed over as an instance."""
    with isolated():
        torch.manual_seed(0)
        layer = getattr(entry, which)()
        given = entry.inputs()
    return Case(
        layer,
        given,
        getattr(entry, "KWARGS", {}),
        traits=getattr(entry, "TRAITS", {}),
        loss=getattr(entry, "LOSS", None),
        target=getattr(entry, "TARGET", None),
        name=which,
    )


def report_of(path, which):
    """Check one of the two layers in the tier, and with the preview rules, of the file."""
    entry = load(path)
    more = getattr(entry, "PREVIEW", ())
    select = sorted({rule.id[:3] for rule in catalog()} | set(more)) if more else None
    return check(
        case_of(entry, which),
        tier=getattr(entry, "TIER", "standard"),
        select=select,
        ranks=getattr(entry, "RANKS", 0),
    )


def roots(report):
    """Return the ids of the errors and warnings that nothing else explains."""
    return {
        finding.rule_id
        for finding in report.findings
        if finding.severity != "note" and finding.explained_by is None
    }


if __name__ == "__main__":  # python tests/contract/zoo_entry.py purity/shift_in_place
    for chosen in sys.argv[1:]:
        for which in ("Broken", "Sound"):
            report = report_of(ZOO / f"{chosen}.py", which)
            print(which, sorted(roots(report)), [r for r in report.results if r.outcome == "error"])
            print(*report.findings, sep="\n")
