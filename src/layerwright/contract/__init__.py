"""What a good layer promises, and the machine that verifies it.

The names below are what rules of a user's own import.
"""

from layerwright.contract.case import Case
from layerwright.contract.comparing import difference
from layerwright.contract.finding import Finding, Report, Result
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, Rule, Skip, rule
from layerwright.contract.traits import Traits, traits

__all__ = [
    "Case",
    "Finding",
    "LayerRaised",
    "Probe",
    "Report",
    "Result",
    "Rule",
    "Skip",
    "Traits",
    "difference",
    "rule",
    "traits",
]
