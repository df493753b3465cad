"""A trained network and what is known of it, from a run folder, a Run or a bare module."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from torch import nn

from layerwright.data.vocabulary import Vocabulary
from layerwright.errors import OptionError
from layerwright.targets import build_network, resolve_network
from layerwright.training import network_state, random_state
from layerwright.training.checkpoints import Checkpoints
from layerwright.training.known_vocabulary import known_vocabulary
from layerwright.training.run import Run
from layerwright.training.run_config import own_object
from layerwright.training.run_folder import read_config


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with what its run knows of it.

    Attributes:
        network: the weights that were best on validation, or the last ones where there was none.
        options: the recipe's values by name; own objects that were not given again are left out.
        facts: the data's name, task, input_shape, num_outputs, class_names and normalization.
        vocabulary: what tokens mean, where the run learned from texts.
    """

    network: nn.Module
    options: dict[str, Any]
    facts: dict[str, Any]
    vocabulary: Vocabulary | None = None


def trained_network(run: str | Path | Run | nn.Module, network: Any = None) -> TrainedNetwork:
    """Find the network that `run` means.

    Args:
        run: a run folder, a Run, or a network (of which nothing else is known).
        network: the user's own network (class, instance or "file.py:Net"), if `run` is the folder
            of a run that trained one.

    Raises:
        RunFolderError: the path is no run folder.
        OptionError: the run trained the user's own network, and it was not given.
        CheckpointError: no checkpoint is intact, or it does not fit the network.
        DataError: the run's vocabulary is damaged.
    """
    if isinstance(run, nn.Module):
        return TrainedNetwork(run, {}, {})
    if isinstance(run, Run):
        options = {item.name: getattr(run.recipe, item.name) for item in fields(run.recipe)}
        return TrainedNetwork(run.network, options, run.data_facts, run.vocabulary)
    path = Path(run)
    config = read_config(path)
    options = {k: v for k, v in config["recipe"].items() if own_object(v) is None}
    facts, vocabulary = config["data"], known_vocabulary(path)
    if network is None and "network" not in options:
        own = own_object(config["recipe"]["network"])
        raise OptionError(
            f"the run in {path} trained your own network ({own}), and nothing in a run folder "
            f"is imported. Fix: name it again with --network file.py:{own}."
        )
    instance = isinstance(network, nn.Module)
    with random_state.preserved():
        built = build_network(
            resolve_network(options["network"] if network is None else network),
            input_shape=tuple(facts["input_shape"]) if facts["input_shape"] is not None else None,
            num_outputs=facts["num_outputs"],
            vocabulary_size=vocabulary.size if vocabulary else None,
            options={} if instance else options["network_options"],
        )
    state = Checkpoints(path / "checkpoints").newest_intact()
    network_state.restore(built, state["best"] or state["network"])
    return TrainedNetwork(built, options, facts, vocabulary)
