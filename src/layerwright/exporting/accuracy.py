"""The accuracy of a network, and of an exported file in its place."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from layerwright.errors import ExportError, OptionError
from layerwright.exporting.opened_file import OpenedFile
from layerwright.exporting.subject import Subject
from layerwright.training.evaluate import evaluate

_TASKS = ("classification", "binary", None)  # None: a bare network, whose data tells


class FileNetwork(nn.Module):
    """An exported file in the place of a network, for what evaluates networks."""

    def __init__(self, opened: OpenedFile) -> None:
        super().__init__()
        self.opened = opened

    def forward(self, *inputs: Tensor) -> Any:
        """Return what the file answers."""
        outputs = [torch.as_tensor(item) for item in self.opened.run([t.numpy() for t in inputs])]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)


@dataclass(frozen=True)
class Accuracy:
    """Measures the accuracy of networks and files on one test split.

    Attributes:
        subject: whose data it is.
        data: other data; None takes the run's own.
        data_dir: folder with local copies of the built-in data sets.
        max_drop: by how many points of 100 accuracy may fall.
    """

    subject: Subject
    data: Any = None
    data_dir: str | None = None
    max_drop: float = 0.5

    def of(self, network: nn.Module) -> float:
        """Return the share of the test split that is right.

        Raises:
            OptionError: there is no data, or its task has no accuracy.
        """
        trained = self.subject.trained
        if self.data is None and trained.options.get("data") is None:
            raise OptionError(
                "optimize expected data to measure accuracy on, and nothing names any. "
                "Fix: data=(inputs, targets), or --data."
            )
        if trained.facts.get("task") not in _TASKS:
            raise OptionError(
                f"optimize expected a classifier, whose accuracy can be compared, received the "
                f"task {trained.facts['task']!r}. Fix: export without it."
            )
        values = evaluate(
            replace(trained, network=network),
            self.data,
            metrics=("accuracy",),
            data_dir=self.data_dir,
            device="cpu",
        )
        return float(values["accuracy"])

    def check(self, before: float, after: float, name: str) -> None:
        """Refuse a change that costs too much.

        Raises:
            ExportError: accuracy fell by more than `max_drop` points.
        """
        drop = 100 * (before - after)
        if drop > self.max_drop + 1e-9:
            raise ExportError(
                f"{name} lowers the accuracy on the test split from {100 * before:.2f} % to "
                f"{100 * after:.2f} %, by {drop:.2f} points; {self.max_drop:g} are allowed. "
                "Nothing was written. Fix: --max-accuracy-drop, or export without --optimize."
            )
