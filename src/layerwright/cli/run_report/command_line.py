"""The command that trains a run again, from its resolved recipe."""

import shlex
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_type_hints

from cyclopts import Parameter

from layerwright.cli.recipe_options import RecipeOptions
from layerwright.errors import LayerwrightError
from layerwright.training.default_recipes import default_recipe
from layerwright.training.recipe import Recipe
from layerwright.training.run_config import own_object

_OWN_FILE = "file.py"


def command_line(config: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Return the command, and one sentence for each thing that it leaves open.

    Every option is named that is not both the recipe's own default and the one that was chosen for
    this network and data, so that the command keeps its meaning when choices change.

    Args:
        config: what config.json holds.
    """
    recipe: Mapping[str, Any] = config["recipe"]
    words, open_points = ["layerwright", "train"], []
    defaults = [_plain(Recipe()), _plain(_chosen_for(recipe))]
    for name, flag in _flags().items():
        if name not in recipe:
            continue
        value, own = recipe[name], own_object(recipe[name])
        if own is not None:
            open_points.append(
                f"{name} was your own object {own}: put its file in place of {_OWN_FILE}."
            )
            words += [flag, f"{_OWN_FILE}:{own}"]
            continue
        always = name in {"network", "data", "seed"}
        if not always and all(value == other[name] for other in defaults):
            continue
        written = list(_written(name, flag, value))
        if not written and value != defaults[1][name]:
            open_points.append(
                f"{name} was {value!r}, which no option says: write a recipe of your own with it."
            )
        words += written
    threads = config["resolved"].get("threads")
    if isinstance(threads, int):
        words += ["--threads", str(threads)]
    if "start_from" in recipe and recipe["start_from"] is not None:
        open_points.append("the weights that it starts from are not part of this folder.")
    return shlex.join(words), tuple(open_points)


def chosen_options(config: Mapping[str, Any]) -> frozenset[str]:
    """Return what is not at the recipe's default, and the names that were resolved."""
    defaults = _plain(Recipe())
    recipe: Mapping[str, Any] = config["recipe"]
    always = {"network", "data", "seed", *(f"resolved {name}" for name in config["resolved"])}
    return frozenset(
        name for name in (*recipe, *always) if name in always or recipe[name] != defaults.get(name)
    )


def _flags() -> dict[str, str]:
    """Return the option of each field of a recipe."""
    hints = get_type_hints(RecipeOptions, include_extras=True)
    flags = {}
    for item in fields(RecipeOptions):
        names = [
            name
            for annotation in getattr(hints[item.name], "__metadata__", ())
            if isinstance(annotation, Parameter)
            for name in annotation.name or ()
        ]
        flags[item.name] = names[0] if names else f"--{item.name.replace('_', '-')}"
    return flags


def _written(name: str, flag: str, value: Any) -> list[str]:
    """Return the words of an option; none where the command line cannot say it."""
    if value is None or (isinstance(value, list | Mapping) and not value):
        return []
    if isinstance(value, bool):
        return [flag if value else flag.replace("--", "--no-", 1)]
    if isinstance(value, Mapping):
        return [word for key, item in value.items() for word in (flag, f"{key}={item}")]
    if isinstance(value, list):
        return [word for item in value for word in (flag, str(item))]
    if name == "validation":
        return [flag, repr(float(value))]
    return [flag, str(value)]


def _chosen_for(recipe: Mapping[str, Any]) -> Recipe:
    try:
        return default_recipe(recipe.get("network"), recipe.get("data"))
    except (LayerwrightError, TypeError):  # a config that was altered
        return Recipe()


def _plain(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe's values as config.json holds them."""
    values = {item.name: getattr(recipe, item.name) for item in fields(recipe)}
    return {
        name: list(value)
        if isinstance(value, tuple)
        else dict(value)
        if isinstance(value, Mapping)
        else value
        for name, value in values.items()
    }
