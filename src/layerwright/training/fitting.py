"""A network that fits its data: built for it, tried on two samples, laid out to be fast."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from layerwright.data.batches import make_batches
from layerwright.data.interface import Batch
from layerwright.data.splits import Data
from layerwright.errors import LayerwrightError, ShapeError
from layerwright.random_numbers import seed_all_devices
from layerwright.targets import build_network, resolve_network
from layerwright.training import random_state
from layerwright.training.evaluation import evaluation_mode
from layerwright.training.losses import Loss
from layerwright.training.recipe import Recipe

_ERRORS = (RuntimeError, ValueError, TypeError, IndexError, LayerwrightError)


def fitting_network(recipe: Recipe, data: Data) -> tuple[nn.Module, Data]:
    """Build the network, and scale small digits to the size that it wants."""
    found = resolve_network(recipe.network)
    wanted = getattr(found, "image_size", None)
    if wanted and data.name == "digits":
        data = data.with_image_size(wanted)
    seed_all_devices(recipe.seed)
    try:
        network = _build(recipe, found, data)
    except ShapeError:
        if data.name != "digits" or wanted:
            raise
        data = data.with_image_size(28)
        network = _build(recipe, found, data)
    if data.name == "digits" and not wanted and _failure(network, data, None) is not None:
        scaled = data.with_image_size(28)
        if _failure(network, scaled, None) is None:
            data = scaled
    return network, data


def _build(recipe: Recipe, found: Any, data: Data) -> nn.Module:
    return build_network(
        found,
        input_shape=data.input_shape,
        num_outputs=data.num_outputs,
        vocabulary_size=data.vocabulary.size if data.vocabulary else None,
        options=dict(recipe.network_options),
    )


def check_fit(network: nn.Module, data: Data, loss: Loss, device: torch.device) -> None:
    """Try network and loss on two samples, so that a mismatch is said before training starts."""
    error = _failure(network, data, loss, device)
    if isinstance(error, LayerwrightError):
        raise error
    if error is not None:
        samples = f"have the shape {data.input_shape}"
        if data.vocabulary is not None:
            samples = "are texts, given as tokens (N, L) and lengths (N,)"
        raise ShapeError(
            f"{type(network).__name__} does not fit the data {data.name!r}, whose samples "
            f"{samples}: {str(error).splitlines()[0]} "
            "Fix: change the network, or the data that is fed to it."
        ) from error


def with_task_of(network: nn.Module, data: Data, device: torch.device) -> Data:
    """Return the data as a binary task where two classes meet a network with one logit a sample."""
    if data.task != "classification" or data.num_classes != 2 or data.unreplayable is not None:
        return data
    try:
        output = _trial_output(network, two_samples(data, device)[0], training=False)[0]
    except _ERRORS:
        return data  # check_fit words it
    one_logit = output.shape in {(2,), (2, 1)}
    return replace(data, task="binary", num_classes=None, target_shape=()) if one_logit else data


def use_fastest_memory_format(network: nn.Module, data: Data, device: torch.device) -> None:
    """Lay convolutions out channels-last on the CPU, where that gives the same answers.

    Measured on CustomNet's forward and backward, batch 64, one thread: 1.6 times as fast. A network
    that reads strides, such as one that flattens with `view`, may fail or differ; it is left
    alone.
    """
    if device.type != "cpu" or data.unreplayable is not None:
        return
    if not any(parameter.dim() == 4 for parameter in network.parameters()):
        return
    inputs, _ = two_samples(data, device)
    try:
        trial = copy.deepcopy(network)  # what a forward pass changes in the network stays as it is
        expected = _trial_output(trial, inputs, training=False)
        trial.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        _trial_output(trial, inputs, training=True)  # for its errors: dropout masks may differ
        same = _same_answers(expected, _trial_output(trial, inputs, training=False))
    except _ERRORS:
        return
    if same:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _failure(
    network: nn.Module, data: Data, loss: Loss | None, device: torch.device | None = None
) -> Exception | None:
    """What goes wrong on the first samples; nothing is trained, drawn or changed."""
    if data.unreplayable is not None:  # its first batch cannot be had twice
        return None
    try:
        inputs, target = two_samples(data, device or torch.device("cpu"))
        with evaluation_mode(network), torch.no_grad(), no_trace(network):
            output = network(*inputs)
            if loss is not None:
                loss(output, target)
    except _ERRORS as error:
        return error
    return None


def two_samples(data: Data, device: torch.device) -> Batch:
    """Return the first two samples of the training split, as a batch."""
    batches = make_batches(data.train, batch_size=2, shuffle=False, seed=0, device=device)
    epoch = batches.epoch(0)
    try:
        return next(epoch)
    finally:
        epoch.close()


def _trial_output(
    network: nn.Module, inputs: tuple[Tensor, ...], *, training: bool
) -> list[Tensor]:
    """The output tensors; in training mode backward is tried as well."""
    with evaluation_mode(network), no_trace(network):
        network.train(training)
        outputs = [leaf for leaf in tree_leaves(network(*inputs)) if isinstance(leaf, Tensor)]
        if training:
            torch.stack(
                [output.sum() for output in outputs if output.requires_grad]
            ).sum().backward()
            network.zero_grad(set_to_none=True)
    return [output.detach() for output in outputs]


def _same_answers(expected: list[Tensor], received: list[Tensor]) -> bool:
    return len(expected) == len(received) and all(
        torch.allclose(a.float(), b.float(), rtol=1e-3, atol=1e-4, equal_nan=True)
        for a, b in zip(expected, received, strict=True)
    )


@contextmanager
def no_trace(network: nn.Module) -> Iterator[None]:
    """Leave buffers and random state as they were found."""
    buffers = {name: value.clone() for name, value in network.named_buffers()}
    try:
        with random_state.preserved():
            yield
    finally:
        with torch.no_grad():
            for name, value in network.named_buffers():
                if name in buffers:
                    value.copy_(buffers[name])
