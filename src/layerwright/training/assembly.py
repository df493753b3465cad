"""From a recipe to the parts of a run: network, data, loss, optimizer and the loop over them."""

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from layerwright.data.batches import Batches, make_batches
from layerwright.data.catalog import load_data
from layerwright.data.share import Share
from layerwright.data.splits import Data
from layerwright.data.vocabulary import Vocabulary
from layerwright.errors import OptionError
from layerwright.initialization.recipes import LSUV, initialize
from layerwright.random_numbers import seed_all_devices
from layerwright.training import network_state
from layerwright.training.built_in_metrics import ConfusionMatrix
from layerwright.training.detection import refuse_augmentation
from layerwright.training.devices import autocast_for
from layerwright.training.fitting import (
    check_fit,
    fitting_network,
    two_samples,
    use_fastest_memory_format,
    with_task_of,
)
from layerwright.training.freezing import Frozen, freeze
from layerwright.training.gradient_steps import GradientSteps
from layerwright.training.losses import Loss, resolve_loss
from layerwright.training.metrics import Metric, resolve_metrics
from layerwright.training.objective import training_batches, training_objective
from layerwright.training.optimizers import build_optimizer
from layerwright.training.own_parts import own_part
from layerwright.training.parameter_groups import parameter_groups
from layerwright.training.processes import OneProcess
from layerwright.training.recipe import Recipe
from layerwright.training.schedules import resolve_schedule

EVALUATION_BATCH_SIZE = 256


@dataclass(frozen=True)
class Assembly:
    """The parts of one run, ready to start or to be put back to a checkpoint."""

    recipe: Recipe
    network: nn.Module
    data: Data
    loss: Loss
    metrics: list[Metric]
    headline: str  # the name of the value that people quote
    monitor: tuple[str, bool]  # name, and whether higher is better
    autocast: Callable[[], AbstractContextManager[Any]] | None
    train_batches: Batches
    validation_batches: Batches | None
    test_batches: Batches | None
    steps: GradientSteps
    frozen: Frozen
    processes: OneProcess  # which train together
    network_name: str  # of its class
    first_batches: Callable[[], Batches]  # those of the training split, whole, for a look at them

    def all_batches(self) -> list[Batches]:
        """The batches of the splits that there are."""
        splits = (self.train_batches, self.validation_batches, self.test_batches)
        return [batches for batches in splits if batches is not None]


def assemble(
    recipe: Recipe, vocabulary: Vocabulary | None = None, processes: OneProcess | None = None
) -> Assembly:
    """Build everything that `recipe` names. Seeds the global random state.

    Args:
        recipe: how to train.
        vocabulary: what the numbers of texts mean; None builds one of the training split.
        processes: which train together; None for this one alone.

    Raises:
        LayerwrightError: something is unknown or does not fit; the message says what.
    """
    processes = processes or OneProcess()
    share = processes.share
    device = processes.device(recipe.device)
    data = load_data(
        recipe.data,
        data_dir=recipe.data_dir,
        validation=recipe.validation,
        limit=recipe.limit,
        batch_size=recipe.batch_size,
        image_size=recipe.image_size,
        text_options=recipe.text_options,
        vocabulary=vocabulary,
    )
    network, data = fitting_network(recipe, data)
    if recipe.init != "default":  # the default is what the constructor did, under the seed
        generator = torch.Generator().manual_seed(recipe.seed)
        initialize(network, recipe.init, generator=generator, inputs=_inputs_for_init(recipe, data))
    network.to(device)
    data = with_task_of(network, data, device)
    if data.task == "detection":
        refuse_augmentation(recipe.augment)
    loss = resolve_loss(recipe.loss, data.task, network)
    metrics = resolve_metrics(recipe.metrics, data.task, data.num_classes, network)
    if isinstance(loss.function, nn.Module):  # class weights and the like
        loss.function.to(device)
    check_fit(network, data, loss, device)
    use_fastest_memory_format(network, data, device)
    autocast = autocast_for(recipe.precision, device)
    batches, validation, test = _batches(recipe, data, device, share)
    batches = training_batches(recipe, batches, loss, data, share)

    def whole_batches() -> Batches:
        if share is None:
            return batches
        return training_batches(recipe, _training(recipe, data, device, None), loss, data)

    frozen = freeze(network, recipe.freeze)
    network_name = type(network).__name__  # sharding gives it another class
    processes.spread(network, recipe, lambda: two_samples(data, device))
    groups = parameter_groups(
        network, recipe.weight_decay, lr=recipe.lr, lr_factors=recipe.lr_factors
    )
    optimizer = build_optimizer(
        recipe.optimizer, groups, lr=recipe.lr, device=device, **recipe.optimizer_options
    )
    # The same stream however the network was built.
    seed_all_devices(processes.random_seed(recipe.seed))
    network.train()
    frozen.keep_statistics(network)
    objective = training_objective(recipe, loss, network)
    steps = GradientSteps(
        processes.replicated(
            network, recipe, objective, lambda: two_samples(data, device), autocast
        ),
        [parameter for group in optimizer.param_groups for parameter in group["params"]],
        objective,
        optimizer,
        factor=_factor(recipe, batches),
        constant_lr=recipe.schedule == "constant",
        accumulate=recipe.accumulate,
        batch_size=batches.batch_size or recipe.batch_size,
        num_samples=batches.num_samples,
        clip_norm=recipe.clip_norm,
        autocast=autocast,
        guard=recipe.nan_guard,
        deferred=device.type == "cuda" and not processes.sharded,
        share=share,
        num_batches=batches.num_batches,
        any_process=processes.any if processes.sharded else None,
    )
    return Assembly(
        recipe,
        network,
        data,
        loss,
        metrics,
        _headline(metrics),
        _monitor(recipe, metrics),
        autocast,
        batches,
        validation,
        test,
        steps,
        frozen,
        processes,
        network_name,
        whole_batches,
    )


def _inputs_for_init(recipe: Recipe, data: Data) -> tuple[Any, ...] | None:
    """Return the inputs of the run's first batch, without augmentation, for LSUV alone."""
    if recipe.init != LSUV:
        return None
    if data.unreplayable is not None:
        raise OptionError(
            "init 'lsuv' expected data whose first batch can be had twice, received a stream. "
            f"{data.unreplayable} Fix: choose another init, such as 'by-type'."
        )
    batches = make_batches(
        data.train,
        batch_size=recipe.batch_size,
        shuffle=True,
        seed=recipe.seed,
        device=torch.device("cpu"),
    )
    with closing(batches.epoch(0)) as epoch:
        inputs, _ = next(epoch)
    return inputs


def _batches(
    recipe: Recipe, data: Data, device: torch.device, share: Share | None
) -> tuple[Batches, Batches | None, Batches | None]:
    def evaluation(split: Any) -> Batches | None:
        if split is None:
            return None
        size = max(recipe.batch_size, EVALUATION_BATCH_SIZE)
        return make_batches(
            split,
            batch_size=size,
            shuffle=False,
            seed=recipe.seed,
            device=device,
            workers=recipe.workers,
            share=share,
        )

    train = _training(recipe, data, device, None if recipe.mixup else share)  # mixed as a whole
    return train, evaluation(data.validation), evaluation(data.test)


def _training(recipe: Recipe, data: Data, device: torch.device, share: Share | None) -> Batches:
    return make_batches(
        data.train,
        batch_size=recipe.batch_size,
        shuffle=True,
        seed=recipe.seed,
        device=device,
        augment=recipe.augment,
        workers=recipe.workers,
        share=share,
    )


def _factor(recipe: Recipe, batches: Batches) -> Callable[[int], float]:
    if batches.num_batches is None:
        if recipe.schedule != "constant":
            raise OptionError(
                f"schedule {recipe.schedule!r} expected data of known length, and this stream has "
                "none. Fix: use the constant schedule, or data with a length."
            )
        return resolve_schedule("constant", 1)
    steps_per_epoch = -(-batches.num_batches // recipe.accumulate)
    return resolve_schedule(recipe.schedule, recipe.epochs * steps_per_epoch)


def _headline(metrics: list[Metric]) -> str:
    """The value that people quote: the first metric that is a number, or the loss."""
    numbers = (metric.name for metric in metrics if not isinstance(metric, ConfusionMatrix))
    return next(numbers, "loss")


def _monitor(recipe: Recipe, metrics: list[Metric]) -> tuple[str, bool]:
    """The validation value that selects the best weights, and whether higher is better."""
    directions = {"loss": False}
    for metric in metrics:
        if not isinstance(metric, ConfusionMatrix):
            directions[metric.name] = metric.higher_is_better
    name = recipe.monitor or _headline(metrics)
    if name not in directions:
        raise OptionError(
            f"monitor expected one of {', '.join(directions)}, received {name!r}. "
            "Fix: add the metric, or monitor another value."
        )
    return name, directions[name]


def non_finite_state(assembly: Assembly) -> list[str]:
    """Name what holds NaN or infinity: parameters, buffers, and the optimizer's own state."""
    names = {id(parameter): name for name, parameter in assembly.network.named_parameters()}
    return network_state.non_finite_names(assembly.network) + [
        f"the optimizer's {key} of {names.get(id(parameter), 'a parameter')}"
        for parameter, values in assembly.steps.optimizer.state.items()
        for key, value in values.items()
        if isinstance(value, Tensor) and not bool(torch.isfinite(own_part(value)).all())
    ]
