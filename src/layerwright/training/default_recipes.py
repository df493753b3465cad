"""Recipes chosen on validation; benchmarks/accuracy.py measures what they reach."""

from collections.abc import Mapping
from typing import Any

from layerwright.training.recipe import Recipe

# bfloat16 takes half the time on processors with matrix units for it (AMX), and longer on others.
_RESIDUAL: Mapping[str, Any] = {
    "batch_size": 128,
    "optimizer": "sgd",
    "optimizer_options": {"momentum": 0.9, "nesterov": True},
    "lr": 0.1,
    "schedule": "one-cycle",
    "weight_decay": 5e-4,
    "label_smoothing": 0.1,
    "precision": "bfloat16",
}

# Gradients through hundreds of words are clipped. Loss decides: on 2,500 reviews many epochs share
# the best accuracy.
_TEXT: Mapping[str, Any] = {
    "text_options": {"min_count": 5, "max_length": 400},
    "batch_size": 64,
    "optimizer": "adamw",
    "schedule": "one-cycle",
    "clip_norm": 1.0,
    "monitor": "loss",
}

_CHOSEN: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("single-shot-detector", "scenes"): {
        "epochs": 12,
        "batch_size": 32,
        "lr": 5e-3,
        "schedule": "one-cycle",
        "optimizer": "adamw",
        "weight_decay": 0.05,
    },
    ("tree-lstm-classifier", "expressions"): {
        "network_options": {"vocabulary_size": 10},
        "epochs": 10,
        "lr": 5e-3,
        "schedule": "one-cycle",
        "optimizer": "adamw",
    },
    ("lstm-classifier", "expression-sequences"): {
        "network_options": {"vocabulary_size": 10},
        "epochs": 10,
        "lr": 5e-3,
        "schedule": "one-cycle",
        "optimizer": "adamw",
    },
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
    ("resnet9", "mnist"): {
        **_RESIDUAL,
        "network_options": {"width": 16},
        "epochs": 12,
        "augment": ("crop", "rotate"),
    },
    ("resnet9", "cifar10"): {
        **_RESIDUAL,
        "network_options": {"mirrored": True, "width": 64},
        "epochs": 20,
        "augment": ("crop", "flip"),
    },
    ("bag-of-ngrams", "imdb"): {
        "text_options": {"ngrams": 3},
        "epochs": 4,
        "lr": 0.02,
        "schedule": "cosine",
        "monitor": "loss",
    },
    ("text-bilstm", "imdb"): {**_TEXT, "epochs": 4, "lr": 2e-3},
    ("text-cnn", "imdb"): {**_TEXT, "epochs": 4, "lr": 1e-3},
    ("text-transformer", "imdb"): {**_TEXT, "epochs": 3, "lr": 1e-3},
}


def default_recipe(network: Any = "customnet", data: Any = "digits") -> Recipe:
    """Return the recipe chosen for a built-in network and data set; `Recipe()` for others."""
    named = isinstance(network, str) and isinstance(data, str)
    chosen = _CHOSEN.get((network, data), {}) if named else {}
    return Recipe(network=network, data=data, **chosen)
