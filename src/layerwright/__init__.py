"""Build custom PyTorch layers, modules and networks, and know that they are right.

The public names are resolved at first use, so that importing layerwright imports nothing heavy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from layerwright import testing as testing
    from layerwright.contract.case import Case as Case
    from layerwright.contract.check import check as check
    from layerwright.contract.traits import traits as traits
    from layerwright.exporting.export import export as export
    from layerwright.initialization.doctor.diagnosis import (
        diagnose_initialization as diagnose_initialization,
    )
    from layerwright.initialization.recipes import initialize as initialize
    from layerwright.inspection.summary import summary as summary
    from layerwright.inspection.trace import trace as trace
    from layerwright.training.evaluate import evaluate as evaluate
    from layerwright.training.fit import fit as fit
    from layerwright.training.predict import predict as predict
    from layerwright.training.recipe import Recipe as Recipe
    from layerwright.training.resume import resume as resume
    from layerwright.training.run import Run as Run

__version__ = "0.1.0"

_HOME = {
    "Case": "layerwright.contract.case",
    "check": "layerwright.contract.check",
    "diagnose_initialization": "layerwright.initialization.doctor.diagnosis",
    "Recipe": "layerwright.training.recipe",
    "Run": "layerwright.training.run",
    "evaluate": "layerwright.training.evaluate",
    "export": "layerwright.exporting.export",
    "fit": "layerwright.training.fit",
    "initialize": "layerwright.initialization.recipes",
    "predict": "layerwright.training.predict",
    "resume": "layerwright.training.resume",
    "summary": "layerwright.inspection.summary",
    "testing": "layerwright.testing",
    "trace": "layerwright.inspection.trace",
    "traits": "layerwright.contract.traits",
}

__all__ = [
    "Case",
    "Recipe",
    "Run",
    "check",
    "diagnose_initialization",
    "evaluate",
    "export",
    "fit",
    "initialize",
    "predict",
    "resume",
    "summary",
    "testing",
    "trace",
    "traits",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(_HOME[name])
    value = module if name == "testing" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
