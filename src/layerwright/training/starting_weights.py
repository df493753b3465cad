"""The weights that a run starts from: another run's, or those of a .safetensors file.

Loading runs no code: tensors are read from safetensors, all else with `weights_only`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from layerwright.errors import CheckpointError, OptionError, RunFolderError
from layerwright.training import network_state
from layerwright.training.checkpoints import Checkpoints
from layerwright.training.run import Run
from layerwright.training.run_config import own_object
from layerwright.training.run_folder import read_config

NAMED = 6  # names of one kind that a line shows; config.json has them all


@dataclass(frozen=True)
class StartingWeights:
    """What came of the weights that a run started from.

    Attributes:
        source: where they are from.
        loaded: names of the parameters and buffers that were loaded.
        other_shape: those of another shape there than here, which keep their initial values: the
            shape there, and here.
        missing: those that the source has not, which keep their initial values.
        unused: what the source has, and the network has not: its shape there.
    """

    source: str
    loaded: tuple[str, ...]
    other_shape: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
    missing: tuple[str, ...]
    unused: Mapping[str, tuple[int, ...]]

    def lines(self) -> list[str]:
        """Say it in words, what was left out with its names and shapes."""
        total = len(self.loaded) + len(self.other_shape) + len(self.missing)
        lines = [f"starting from {self.source}: {len(self.loaded)} of {total} tensors loaded"]
        reshaped = [f"{n} {a} there, {b} here" for n, (a, b) in self.other_shape.items()]
        unused = [f"{name} {shape}" for name, shape in self.unused.items()]
        for title, items in (
            ("of another shape, initialised anew", reshaped),
            ("not in the source, initialised anew", self.missing),
            ("in the source only, left out", unused),
        ):
            if items:
                more = f"; and {len(items) - NAMED} more" if len(items) > NAMED else ""
                lines.append(f"  {title}: {'; '.join(items[:NAMED])}{more}")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "source": self.source,
            "loaded": list(self.loaded),
            "other_shape": {
                name: [list(there), list(here)] for name, (there, here) in self.other_shape.items()
            },
            "missing": list(self.missing),
            "unused": {name: list(shape) for name, shape in self.unused.items()},
        }


def start_from(network: nn.Module, source: Any, frozen: Sequence[str] = ()) -> StartingWeights:
    """Load what fits of other weights into a network, in place, by name and shape.

    Args:
        network: what does not fit keeps its values, such as a head for another number of classes.
        source: a run folder, whose weights that were best on validation are taken, a .safetensors
            file, or a `Run`.
        frozen: names of parameters that must be loaded, because nothing trains them.

    Raises:
        OptionError: the source is none of these, nothing of it fits, or something frozen does not.
        RunFolderError: the source does not exist, or the folder is no run's.
        CheckpointError: the source is damaged, or not finite.
    """
    theirs = _weights_of(source)
    ours = network_state.capture(network)
    loaded: dict[str, Any] = {}
    other_shape = {}
    for name, value in ours.items():
        if name not in theirs:
            continue
        there, here = _shape(theirs[name]), _shape(value)
        if there == here:
            loaded[name] = theirs[name]
        else:
            other_shape[name] = (there, here)
    result = StartingWeights(
        source=str(source.dir or "a run") if isinstance(source, Run) else str(source),
        loaded=tuple(loaded),
        other_shape=other_shape,
        missing=tuple(name for name in ours if name not in theirs),
        unused={name: _shape(value) for name, value in theirs.items() if name not in ours},
    )
    if not loaded:
        raise OptionError(
            f"start_from expected weights of {type(network).__name__}, and nothing of "
            f"{result.source} fits by name and shape: it has {_some(theirs)}; the network has "
            f"{_some(ours)}. Fix: name the network that the weights are of."
        )
    random = [name for name in frozen if name not in loaded]
    if random:
        raise OptionError(
            f"freeze expected weights that start_from loads, received {', '.join(random[:NAMED])}, "
            f"which {result.source} does not give. Fix: freeze less."
        )
    broken = [
        name
        for name, value in loaded.items()
        if isinstance(value, Tensor) and not bool(torch.isfinite(value).all())
    ]
    if broken:
        raise CheckpointError(
            f"{result.source} expected finite weights, and {broken[0]} holds NaN or infinity. "
            "Fix: start from an earlier run."
        )
    network_state.restore(network, {**ours, **loaded})
    return result


def network_of(source: Any) -> dict[str, Any]:
    """Return the recipe's options `network` and `network_options` that a run was trained with.

    Args:
        source: what `start_from` takes; a file says nothing of its network.

    Raises:
        OptionError: the run trained an instance, or a folder's run a network of the user's own:
            then the network must be named.
    """
    if isinstance(source, Run):
        network, options = source.recipe.network, source.recipe.network_options
        if isinstance(network, nn.Module):
            raise OptionError(
                f"the run in start_from trained an instance of {type(network).__name__}, which a "
                "second run would change. Fix: name the network that is to be trained."
            )
        return {"network": network, "network_options": dict(options)}
    if not (Path(source) / "config.json").is_file():
        return {}
    recipe = read_config(Path(source))["recipe"]
    own = own_object(recipe["network"])
    if own is not None:
        raise OptionError(
            f"the run in {source} trained your own network ({own}), and nothing in a run folder "
            f"is imported. Fix: name it too, such as file.py:{own}."
        )
    return {"network": recipe["network"], "network_options": recipe["network_options"]}


def _weights_of(source: Any) -> dict[str, Any]:
    if isinstance(source, Run):
        return network_state.capture(source.network)
    path = Path(source)
    if not path.exists():
        raise RunFolderError(
            f"start_from expected a run folder or a .safetensors file, received {str(source)!r}, "
            "which does not exist. Fix: correct the path."
        )
    if path.is_dir():
        read_config(path)
        state = Checkpoints(path / "checkpoints").newest_intact()
        return dict(state["best"] or state["network"])
    if path.suffix != ".safetensors":
        raise OptionError(
            f"start_from expected a run folder or a .safetensors file, received {str(source)!r}. "
            "Fix: safetensors.torch.save_file(network.state_dict(), 'weights.safetensors')."
        )
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} expected a .safetensors file, and is damaged: {error}."
        ) from error


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def _some(state: Mapping[str, Any]) -> str:
    names = [f"{name} {_shape(value)}" for name, value in sorted(state.items())[:3]]
    return ", ".join(names) + (", ..." if len(state) > 3 else "")
