"""`layerwright train`: a network, on data, exactly."""

import inspect
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from layerwright.cli.named_objects import named_object, required_arguments
from layerwright.cli.output import (
    console_for,
    exit_code_of,
    is_first_process,
    print_json,
    run_as_json,
)
from layerwright.cli.recipe_options import RecipeOptions
from layerwright.cli.threads import use_threads
from layerwright.errors import OptionError

if TYPE_CHECKING:
    from layerwright.training.recipe import Recipe

RUNS = Path("runs")


def train(
    target: str | None = None,
    /,
    *,
    options: Annotated[RecipeOptions | None, Parameter(name="*")] = None,
    run_dir: Path | None = None,
    threads: int | None = None,
    show_parameters: Annotated[bool, Parameter(negative=())] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Train a network; without arguments: CustomNet on the bundled digits.

    An option that is left out is decided by the recipe: your own, or the one chosen for this
    network and data. Ctrl-C stops with a checkpoint; layerwright resume RUN continues.

    On several processes: torchrun --nproc-per-node 2 -m layerwright train ... The batch size stays
    that of the whole batch, of which each process takes its part.

    Args:
        target: built-in network, file.py:Net, or file.py:recipe (a function returning a Recipe).
        options: the fields of the recipe.
        run_dir: the run's folder, new or empty; default runs/NETWORK-DATA-N.
        threads: CPU threads to compute with.
        show_parameters: print which parameters decay, by their role, and do not train.
        as_json: print one JSON object at the end; progress goes to stderr.
    """
    use_threads(threads)
    recipe = choose_recipe(target, (options or RecipeOptions()).given())
    if show_parameters:
        return _show_parameters(recipe, as_json=as_json)

    from layerwright.training.fit import fit
    from layerwright.training.processes import joined
    from layerwright.training.run_folder import next_run_dir

    with joined(recipe.device) as processes:
        folder = run_dir or processes.begun_run()
        if folder is None:
            folder = processes.agreed(lambda: next_run_dir(RUNS, run_name(recipe)))
        try:
            run = fit(recipe=recipe, run_dir=folder, console=console_for(as_json=as_json))
        finally:
            if run_dir is None and processes.rank == 0:
                with suppress(OSError):  # only what is still empty goes: a run that never started
                    folder.rmdir()
                    folder.parent.rmdir()
    if as_json and is_first_process():
        print_json(run_as_json(run))
    return exit_code_of(run)


def choose_recipe(target: str | None, given: Mapping[str, Any]) -> "Recipe":
    """Return the recipe that the command line means.

    Args:
        target: what to train, or None for the main job.
        given: the recipe's fields that were given as options; they win.

    Raises:
        OptionError: an option is impossible, or two networks are named.
        TargetError: the target leads nowhere.
    """
    from layerwright.training.default_recipes import default_recipe
    from layerwright.training.recipe import Recipe

    given = dict(given)
    if target is not None:
        found = _called_for_recipe(named_object(target))
        if isinstance(found, Recipe):
            return _changed(found, given)
        if "network" in given:
            raise OptionError(
                f"train expected one network, received {target!r} and --network too. "
                "Fix: leave one of them out."
            )
        given["network"] = found
    chosen = Recipe()
    if "start_from" in given and "network" not in given:
        from layerwright.training.starting_weights import network_of

        given = network_of(given["start_from"]) | given
    network, data = given.get("network", chosen.network), given.get("data", chosen.data)
    return _changed(default_recipe(network, data), given)


def run_name(recipe: "Recipe") -> str:
    """Return "<network>-<data>", fit for a folder's name."""
    return f"{_short_name(recipe.network)}-{_short_name(recipe.data)}"


def _called_for_recipe(found: Any) -> Any:
    """Call a function that needs no arguments: it may return a recipe."""
    from layerwright.training.recipe import Recipe

    if not inspect.isroutine(found) or required_arguments(found):
        return found  # a function that wants to know the data builds a network
    result = found()
    return result if isinstance(result, Recipe) else found


def _changed(recipe: "Recipe", given: Mapping[str, Any]) -> "Recipe":
    """Change what was given; of the network's and optimizer's own options only the given ones."""
    merged = dict(given)
    for owner in ("network", "optimizer"):
        name = f"{owner}_options"
        if name in given and owner not in given:
            merged[name] = {**getattr(recipe, name), **given[name]}
    return recipe.changed(**merged)


def _show_parameters(recipe: "Recipe", *, as_json: bool) -> int:
    """Print the role of each parameter of the network that the recipe builds for its data."""
    from rich.console import Console

    from layerwright.training.assembly import assemble
    from layerwright.training.parameter_groups import parameter_roles, roles_table

    network = assemble(recipe).network
    if as_json:
        print_json({"parameters": [asdict(role) for role in parameter_roles(network)]})
    else:
        width = None if sys.stdout.isatty() else 160  # a pipe has no width to keep to
        Console(width=width).print(roles_table(network))
    return 0


def _short_name(value: Any) -> str:
    if isinstance(value, str | Path):
        text = Path(value).name
    else:
        text = getattr(value, "__name__", None) or type(value).__name__
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-") or "own"
