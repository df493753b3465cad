"""What is exported: a private copy of a network, inputs that it takes, and what its run knows."""

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from layerwright import __version__
from layerwright.data.normalization import Normalization
from layerwright.data.vocabulary import Vocabulary
from layerwright.errors import ExportError, OptionError
from layerwright.initialization.examples import ExampleInputs, example_inputs_of, tensors_in
from layerwright.training.run import Run
from layerwright.training.trained_network import TrainedNetwork, trained_network

_BATCH = 4  # samples of the inputs that are drawn for a run
_WORDS = 9  # of a text that is drawn


@dataclass(frozen=True)
class Subject:
    """A network as it is exported.

    Attributes:
        network: a private copy, in eval mode, on the CPU.
        inputs: an example of what it takes, on the CPU.
        facts: what travels with the file; plain values, as JSON has them.
        trained: what the run knows.
        drawn: the inputs were drawn here, and not given.
    """

    network: nn.Module
    inputs: ExampleInputs
    facts: dict[str, Any]
    trained: TrainedNetwork
    drawn: bool


def subject_of(
    source: str | Path | Run | nn.Module, inputs: Any = None, network: Any = None, seed: int = 0
) -> Subject:
    """Take a private copy of what is to be exported.

    Args:
        source: a run folder, a Run, or a network.
        inputs: forward's arguments; None draws some from what a run knows of its data.
        network: the user's own network, if `source` is the folder of a run that trained one.
        seed: of the inputs that are drawn.

    Raises:
        OptionError: a bare network came without inputs.
        ExportError: the network cannot be copied.
        RunFolderError: the path is no run folder.
    """
    trained = trained_network(source, network)
    given = None if inputs is None else example_inputs_of(inputs)
    example = given or _drawn_inputs(trained, seed)
    try:
        private = copy.deepcopy(trained.network).cpu().eval()
    except Exception as error:
        raise ExportError(
            f"{type(trained.network).__name__} expected to be copied, and copy.deepcopy fails: "
            f"{type(error).__name__}: {error}. Fix: layerwright check names the cause."
        ) from error
    private.requires_grad_(requires_grad=False)
    example = example.map(lambda tensor: tensor.detach().cpu().clone())
    return Subject(private, example, _facts(trained, private), trained, given is None)


def named_tensors(network: nn.Module, inputs: ExampleInputs) -> list[tuple[str, Tensor]]:
    """Return each tensor of the inputs with the name of forward's argument that holds it."""
    try:
        bound = inspect.signature(network.forward).bind(*inputs.args, **dict(inputs.kwargs))
        arguments: Mapping[str, Any] = bound.arguments
    except (TypeError, ValueError):  # *args of a wrapper, or a mismatch that the call will tell
        arguments = {f"input_{place}": value for place, value in enumerate(inputs.args)}
        arguments = {**arguments, **inputs.kwargs}
    return [(name, tensor) for name, value in arguments.items() for tensor in tensors_in(value)]


def black_and_white(facts: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return what pixels of 0 and of full intensity become in a run's normalisation."""
    recorded = facts.get("normalization")
    if recorded is None:
        return None
    rule = Normalization.from_dict(recorded)
    ends = torch.tensor([[0.0], [rule.scale]]).expand(2, len(rule.mean))
    values = rule.apply(ends)
    return float(values.min()), float(values.max())


def _facts(trained: TrainedNetwork, network: nn.Module) -> dict[str, Any]:
    known = trained.facts
    shape, names = known.get("input_shape"), known.get("class_names")
    return {
        "layerwright": __version__,
        "network": type(network).__name__,
        "data": known.get("name"),
        "task": known.get("task"),
        "input_shape": None if shape is None else list(shape),
        "class_names": list(names) if names else None,
        "normalization": known.get("normalization"),
        "vocabulary": None if trained.vocabulary is None else _words(trained.vocabulary),
    }


def _words(vocabulary: Vocabulary) -> dict[str, Any]:
    return {
        "words": list(vocabulary.words),
        "keys": [keys.tolist() for keys in vocabulary.keys],
        "max_length": vocabulary.max_length,
    }


def _drawn_inputs(trained: TrainedNetwork, seed: int) -> ExampleInputs:
    """Draw inputs of the kind that a run's data has."""
    generator = torch.Generator().manual_seed(seed)
    vocabulary, shape = trained.vocabulary, trained.facts.get("input_shape")
    if vocabulary is not None:
        return ExampleInputs(_drawn_texts(vocabulary, generator))
    if shape is None:
        raise OptionError(
            f"export expected inputs for {type(trained.network).__name__}, received none. "
            "Fix: inputs=torch.randn(4, 3, 32, 32) in Python, --input 4x3x32x32 on the command "
            "line."
        )
    return ExampleInputs((torch.randn((_BATCH, *shape), generator=generator),))


def _drawn_texts(vocabulary: Vocabulary, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    tokens = torch.randint(1, vocabulary.size, (_BATCH, _WORDS), generator=generator)
    return tokens, torch.tensor([_WORDS, 6, 4, 1])
