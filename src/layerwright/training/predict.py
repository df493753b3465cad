"""Predict with a trained network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from layerwright.data.vocabulary import PADDING, Vocabulary
from layerwright.errors import DataError, ShapeError
from layerwright.training import random_state
from layerwright.training.detection import detector_method
from layerwright.training.devices import resolve_device
from layerwright.training.evaluation import evaluation_mode
from layerwright.training.input_files import normalised, read_file, read_texts
from layerwright.training.run import Run
from layerwright.training.trained_network import TrainedNetwork, trained_network


@dataclass(frozen=True)
class Prediction:
    """What a network says of some samples.

    Attributes:
        outputs: what the network returned, `(N, ...)`, on the CPU; a tuple where it returns one.
        probabilities: `(N, C)` for classification, `(N,)` for binary; None for other tasks.
        classes: the likeliest class of each sample, `(N,)`; None for other tasks.
        class_names: the names of the classes, where they have any.
        objects: for detection what was found in each image, the surest first: `boxes` (D, 4) with
            left, top, right, bottom in shares of the image, `classes` (D,) and `scores` (D,), which
            are probabilities of 0.5 or more; None for other tasks.
    """

    outputs: Any
    probabilities: Tensor | None
    classes: Tensor | None
    class_names: tuple[str, ...] | None
    objects: Sequence[Any] | None = None

    def labels(self) -> list[str]:
        """The likeliest class of each sample by name; the output itself for other tasks.

        For detection the classes of all objects of a sample, the surest first.
        """
        if self.objects is not None:
            return [", ".join(self.names(found.classes)) for found in self.objects]
        if self.classes is None:
            return [str(row.tolist()) for row in self.outputs]
        return self.names(self.classes)

    def names(self, classes: Tensor) -> list[str]:
        """The names of classes, `(M,)`; their numbers where they have none."""
        names = self.class_names
        return [names[index] if names else str(index) for index in classes.tolist()]


def predict(
    run: str | Path | Run | nn.Module,
    inputs: Any,
    *,
    network: Any = None,
    batch_size: int = 256,
    device: str = "auto",
) -> Prediction:
    """Run samples through a trained network in evaluation mode.

    Args:
        run: a run folder, a Run, or a network.
        inputs: a tensor or array `(N, ...)`; a tuple of them for a network with several inputs; or
            a list of files: images, `.npy` and `.npz`. Integer pixels (uint8) are normalised as in
            training; floating-point values are fed as they are. A network that learned from texts
            takes a list of texts (str), or of files that hold one each (Path).
        network: the user's own network, if `run` is the folder of a run that trained one.
        batch_size: samples per forward pass.
        device: where to compute.

    Raises:
        DataError: a file is missing or cannot be read.
        ShapeError: the samples do not have the shape that the network was trained on.
    """
    trained = trained_network(run, network)
    where = resolve_device(device)
    tensors = input_tensors(inputs, trained)
    module = trained.network.to(where)
    chunks = zip(*(tensor.split(batch_size) for tensor in tensors), strict=True)
    with evaluation_mode(module), torch.no_grad(), random_state.preserved():
        outputs = [_on_cpu(module(*(part.to(where) for part in chunk))) for chunk in chunks]
    return _interpret(_joined(outputs), trained)


def input_tensors(inputs: Any, trained: TrainedNetwork) -> list[Tensor]:
    """Return what the network is called with for samples, files or texts.

    Raises:
        DataError: a file is missing or cannot be read.
        ShapeError: the samples do not have the shape that the network was trained on.
    """
    facts = trained.facts
    if trained.vocabulary is not None and _are_files(inputs):
        return _tokens(read_texts(inputs), trained.vocabulary)
    if _are_files(inputs):
        tensors = [torch.cat([read_file(Path(file), facts) for file in inputs])]
    else:
        values = inputs if isinstance(inputs, tuple) else (inputs,)
        tensors = [torch.as_tensor(np.asarray(v) if isinstance(v, list) else v) for v in values]
    lengths = {len(tensor) if tensor.dim() else 0 for tensor in tensors}
    if lengths == {0} or len(lengths) != 1:
        raise DataError(
            f"predict expected inputs of one common length, received shapes "
            f"{[tuple(tensor.shape) for tensor in tensors]}. Fix: put samples in dim 0."
        )
    shape = facts.get("input_shape")
    if shape is not None and tuple(tensors[0].shape[1:]) != tuple(shape):
        raise ShapeError(
            f"the network expected samples of shape {tuple(shape)}, received "
            f"{tuple(tensors[0].shape[1:])}. Fix: give (N, {', '.join(map(str, shape))})."
        )
    first, *others = tensors
    floats = [other.float() if other.is_floating_point() else other for other in others]
    return [normalised(first, facts), *floats]


def _tokens(texts: list[str], vocabulary: Vocabulary) -> list[Tensor]:
    found = vocabulary.encode(texts)
    return list(found.padded(torch.arange(len(found)), PADDING))


def _on_cpu(output: Any) -> Any:
    return tuple(map(_on_cpu, output)) if isinstance(output, tuple) else output.cpu()


def _joined(outputs: list[Any]) -> Any:
    """Put the outputs of all batches together; of several outputs, each by itself."""
    if isinstance(outputs[0], tuple):
        return tuple(torch.cat(parts) for parts in zip(*outputs, strict=True))
    return torch.cat(outputs)


def _interpret(outputs: Any, trained: TrainedNetwork) -> Prediction:
    task, names = trained.facts.get("task"), trained.facts.get("class_names")
    class_names = tuple(names) if names else None
    if task == "detection":
        found = detector_method(trained.network, "detections")(outputs)
        return Prediction(outputs, None, None, class_names, found)
    if task == "classification":
        probabilities = outputs.float().softmax(dim=1)
        return Prediction(outputs, probabilities, probabilities.argmax(dim=1), class_names)
    if task == "binary":
        probabilities = outputs.float().reshape(len(outputs)).sigmoid()
        return Prediction(outputs, probabilities, (probabilities > 0.5).long(), class_names)
    return Prediction(outputs, None, None, None)


def _are_files(inputs: Any) -> bool:
    return (
        isinstance(inputs, Sequence)
        and len(inputs) > 0
        and all(isinstance(item, str | Path) for item in inputs)
    )
