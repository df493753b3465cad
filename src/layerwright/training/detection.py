"""What the task "detection" asks of a network and of a recipe.

Targets are the objects of each image, `(N, K, 5)`: class, left, top, right and bottom, the sides in
shares of the image; class -1 fills up. How outputs become boxes depends on the network's anchors,
so a detector brings two methods of its own:

- `detection_loss(output, target)` gives the loss, a scalar: it is taken where no other is named;
- `detections(output, score_threshold=...)` gives for each image an object with `boxes` (D, 4),
  `classes` (D,) and `scores` (D,): the metrics and `predict` read it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from layerwright.errors import OptionError


def detector_method(network: Any, name: str) -> Callable[..., Any]:
    """Return `network.detection_loss` or `network.detections`.

    Raises:
        OptionError: the network has no such method.
    """
    method = getattr(network, name, None)
    if callable(method):
        return method
    raise OptionError(
        f"{type(network).__name__} expected the method {name!r}, because the data's targets are "
        "objects to find in images. Fix: train single-shot-detector, write the method, or give a "
        "loss and metrics of your own."
    )


def refuse_augmentation(augment: Sequence[str]) -> None:
    """Refuse to move images whose boxes would stay behind.

    Raises:
        OptionError: there is an augmentation.
    """
    if augment:
        raise OptionError(
            f"augment expected nothing for data with boxes, which would not move with the image, "
            f"received {tuple(augment)!r}. Fix: leave it out."
        )
