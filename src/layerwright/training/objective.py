"""What training minimises: the loss, with smoothed labels and penalties where a recipe asks."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from layerwright.data.interface import Batches
from layerwright.data.share import Share
from layerwright.data.splits import Data
from layerwright.errors import OptionError
from layerwright.training.losses import Loss, cross_entropy
from layerwright.training.mixed_batches import MixedBatches
from layerwright.training.penalties import Penalty
from layerwright.training.recipe import Recipe

Objective = Callable[[Any, Tensor], Tensor]


def training_objective(recipe: Recipe, loss: Loss, network: nn.Module) -> Objective:
    """Return `(output, target) -> scalar`: the loss itself where a recipe adds nothing to it.

    Validation and test are measured by the loss alone.

    Args:
        recipe: `label_smoothing` spreads targets, `l1` adds a penalty on the weights.
        loss: the resolved loss of the recipe.
        network: its trainable weights are penalised.

    Raises:
        OptionError: `label_smoothing` does not apply to the loss.
    """
    objective: Objective = loss.function
    if recipe.label_smoothing:
        _require_cross_entropy("label_smoothing", loss)
        objective = partial(cross_entropy, label_smoothing=recipe.label_smoothing)
    if recipe.l1:
        objective = _Penalised(objective, Penalty(network, l1=recipe.l1))
    return objective


def training_batches(
    recipe: Recipe, batches: Batches, loss: Loss, data: Data, share: Share | None = None
) -> Batches:
    """Return the batches as training takes them, mixed where a recipe asks for it.

    Args:
        recipe: `mixup` mixes.
        batches: those of the training split; whole ones where they are mixed.
        loss: must take distributions over the classes where they are mixed.
        data: tells the number of classes.
        share: which rows of each mixed batch are wanted; None wants all.

    Raises:
        OptionError: `mixup` does not apply to the loss, or the number of classes is unknown.
    """
    if not recipe.mixup:
        return batches
    _require_cross_entropy("mixup", loss)
    if data.num_classes is None:
        raise OptionError(
            f"mixup expected data whose targets are classes, and {data.name!r} does not tell how "
            "many there are. Fix: leave mixup out, or give the data as tensors with int64 classes."
        )
    return MixedBatches(
        batches, recipe.mixup, num_classes=data.num_classes, seed=recipe.seed, share=share
    )


class _Penalised:
    """A loss plus a penalty on parameters."""

    def __init__(self, loss: Objective, penalty: Penalty) -> None:
        self._loss = loss
        self._penalty = penalty

    def __call__(self, output: Any, target: Tensor) -> Tensor:
        return self._loss(output, target) + self._penalty()


def _require_cross_entropy(option: str, loss: Loss) -> None:
    """Refuse an option that changes class targets for a loss that may take them otherwise."""
    if loss.function is not cross_entropy:
        raise OptionError(
            f"{option} expected the loss 'cross-entropy', which takes distributions over the "
            f"classes, received {loss.name!r}. Fix: leave {option} out, or change the loss."
        )
