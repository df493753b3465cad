"""What we promise: public names, verbs and options. Changing a list below is a deliberate edit."""

import ast
import importlib
import inspect
from dataclasses import fields
from pathlib import Path

import pytest

import layerwright
from layerwright.cli.app import VERBS, build_app
from layerwright.cli.recipe_options import RecipeOptions
from layerwright.training.recipe import Recipe

NAMES = [
    "Case", "Recipe", "Run", "check", "diagnose_initialization", "evaluate", "export", "fit",
    "initialize", "predict", "resume", "summary", "testing", "trace", "traits",
]  # fmt: skip

OPTIONS = {
    "check": [
        "--format", "--ignore", "--input", "--json", "--loss", "--loss-target", "--memory-limit",
        "--output", "--pdb", "--ranks", "--run-script", "--seed", "--select", "--strict", "--tier",
        "--time-limit", "--verbose", "TARGET",
    ],
    "rule": ["--json", "NAME"],
    "rules": ["--json"],
    "new": ["--json", "--package", "NAME"],
    "init": [
        "--input", "--json", "--network", "--picture", "--recipe", "--run-script", "--seed",
        "TARGET",
    ],
    "summary": [
        "--backward", "--depth", "--input", "--json", "--network", "--no-time", "--run-script",
        "--seed", "TARGET",
    ],
    "graph": [
        "--depth", "--input", "--json", "--layout", "--network", "--run-script", "--seed", "FILE",
        "TARGET",
    ],
    "train": [
        "--accumulate", "--augment", "--batch-size", "--checkpoint-every", "--clip-norm",
        "--compile", "--data", "--data-dir", "--device", "--epochs", "--freeze", "--from",
        "--image-size", "--init", "--json", "--l1", "--label-smoothing", "--limit", "--loss",
        "--lr", "--lr-factor", "--metric", "--mixup", "--monitor", "--nan-guard",
        "--network", "--network-option", "--no-compile", "--no-nan-guard", "--no-shard",
        "--no-sync-batch-norm", "--no-tensorboard", "--no-watch", "--optimizer",
        "--optimizer-option", "--patience", "--precision", "--run-dir", "--schedule", "--seed",
        "--shard", "--show-parameters", "--sync-batch-norm", "--tensorboard", "--text-option",
        "--threads", "--validation", "--watch", "--watch-every", "--weight-decay", "--workers",
        "TARGET",
    ],
    "evaluate": [
        "--batch-size", "--data", "--data-dir", "--device", "--json", "--loss", "--metric",
        "--network", "--split", "RUN",
    ],
    "predict": [
        "--batch-size", "--device", "--explain", "--json", "--network", "--output", "FILES", "RUN",
    ],
    "resume": [
        "--data", "--data-dir", "--init", "--json", "--loss", "--metric", "--network",
        "--optimizer", "--schedule", "--threads", "RUN",
    ],
    "report": [
        "--data", "--data-dir", "--device", "--json", "--loss", "--network", "--no-contract",
        "--output", "--png", "--split", "RUN", "RUN_B",
    ],
    "export": [
        "--aot", "--data", "--data-dir", "--dynamic", "--fixed-batch", "--input", "--json",
        "--max-accuracy-drop", "--network", "--optimize", "--run-script", "--seed", "FILE",
        "TARGET",
    ],
    "env": ["--json"],
}  # fmt: skip


def test_public_names_are_the_promised_ones():
    """__all__ is sorted, each name resolves, dir() shows them, editors see them too."""
    assert layerwright.__all__ == NAMES
    for name in NAMES:
        assert inspect.getdoc(getattr(layerwright, name))
    assert set(NAMES) <= set(dir(layerwright))


def test_editors_and_type_checkers_see_the_same_names():
    """The lazy table and the imports for type checkers name the same homes."""
    tree = ast.parse(Path(layerwright.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        node.names[0].asname: "layerwright.testing" if node.module == "layerwright" else node.module
        for node in block.body
    }
    assert seen == layerwright._HOME


def test_an_unknown_public_name_is_an_attribute_error():
    """As for any module."""
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        layerwright.fitt  # noqa: B018


def test_the_version_is_the_installed_one():
    """One number in pyproject.toml and in the package."""
    assert importlib.metadata.version("layerwright") == layerwright.__version__


def test_verbs_are_the_promised_ones():
    """In this order in --help."""
    assert tuple(OPTIONS) == VERBS


@pytest.mark.parametrize("verb", OPTIONS)
def test_options_are_the_promised_ones(verb):
    """Every option by all its names; every verb has --json and a help text for each option."""
    arguments = build_app()[verb].assemble_argument_collection(parse_docstring=True)
    found = [name for argument in arguments for name in argument.names if name != "*"]
    assert sorted(found) == OPTIONS[verb]
    assert "--json" in found
    assert [argument.name for argument in arguments if not argument.parameter.help] == []


def test_every_field_of_a_recipe_is_an_option():
    """What Python can say, the command line can say; by default it says nothing."""
    assert [item.name for item in fields(RecipeOptions)] == [item.name for item in fields(Recipe)]
    assert {getattr(RecipeOptions(), item.name) for item in fields(RecipeOptions)} == {None}
