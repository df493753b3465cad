"""Recipes chosen on validation; benchmarks/accuracy.py measures what they reach."""

from collections.abc import Mapping
from typing import Any

from layerwright.training.recipe import Recipe

_CHOSEN: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("customnet", "digits"): {
        "network_options": {"batch_norm": True},
        "epochs": 60,
        "lr": 3e-3,
        "schedule": "one-cycle",
        "optimizer": "adamw",
        "weight_decay": 0.1,
        "monitor": "loss",  # 144 validation samples: many epochs share the best accuracy
    },
    ("simplenet", "mnist"): {
        "epochs": 20,
        "lr": 2e-3,
        "schedule": "one-cycle",
        "optimizer": "adamw",
        "weight_decay": 0.1,
    },
    ("convnet", "mnist"): {"epochs": 10, "lr": 4e-3, "schedule": "one-cycle"},
    ("customnet", "mnist"): {
        "epochs": 10,
        "lr": 2e-3,
        "schedule": "one-cycle",
        "optimizer": "adamw",
        "weight_decay": 0.05,
    },
    ("customnet", "cifar10"): {
        "network_options": {"batch_norm": True},
        "epochs": 10,
        "lr": 3e-3,
        "schedule": "one-cycle",
        "optimizer": "adamw",
        "weight_decay": 0.05,
        "augment": ("flip",),
    },
}


def default_recipe(network: Any = "customnet", data: Any = "digits") -> Recipe:
    """Return the recipe chosen for a built-in network and data set; `Recipe()` for others."""
    named = isinstance(network, str) and isinstance(data, str)
    chosen = _CHOSEN.get((network, data), {}) if named else {}
    return Recipe(network=network, data=data, **chosen)
