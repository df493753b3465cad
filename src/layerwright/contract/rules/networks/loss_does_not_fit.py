"""NET007 loss-does-not-fit."""

import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from layerwright.contract.comparing import number
from layerwright.contract.evidence.losses import trial
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import place_of_attribute
from layerwright.contract.trees import dtype_name


@rule(
    "NET007",
    "loss-does-not-fit",
    promise="the loss takes the output and the target, and its gradient reaches the layer",
    family="networks",
    needs=("forward", "train_forward", "loss"),
    explains=("NET005", "NET006"),
    since="0.1",
)
def loss_does_not_fit(probe: Probe) -> Iterator[Finding]:
    """Calls the loss with the output in training mode and the target.

    ## Why is this bad
    The network cannot be trained with this loss, and the error of torch names neither the output
    nor the cure.

    ## Bad
    ```python
    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(6, 3)

        def forward(self, x):
            return self.fc(x)


    case = Case(
        Classifier,
        inputs=(torch.randn(4, 6),),
        loss=nn.CrossEntropyLoss(),
        target=torch.tensor([1, 3, 2, 1]),
    )
    ```

    ## Good
    ```python
    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(6, 3)

        def forward(self, x):
            return self.fc(x)


    case = Case(
        Classifier,
        inputs=(torch.randn(4, 6),),
        loss=nn.CrossEntropyLoss(),
        target=torch.tensor([0, 2, 1, 0]),
    )
    ```

    ## How to fix
    Do what the finding names: the number of classes, the dtype or the shape of the target.

    ## Limits
    Skipped when no target is given. A loss that does not know the layer's kind of output, such as a
    tuple, is told from here, too.
    """
    loss = trial(probe)
    output, target = probe.train_attempt.output, loss.target
    place = place_of_attribute(probe.subject.layer, "forward")
    try:
        with torch.enable_grad():
            value = loss.raw(output, target)
    except Exception as error:  # noqa: BLE001 - the loss is the user's
        text = " ".join(str(error).split())
        expected, found, fix = _words(output, target, text)
        yield Finding(
            where="the output, with the loss",
            expected=expected,
            found=f"{found}; the loss raised {type(error).__name__}: {text[:160]}",
            fix=fix,
            file=place.file,
            line=place.line,
        )
        return
    trained = any(item.requires_grad for item in probe.subject.layer.parameters())
    joined = isinstance(output, Tensor) and output.requires_grad
    if trained and joined and isinstance(value, Tensor) and not value.requires_grad:
        yield Finding(
            where="the loss",
            expected="a loss with a gradient for the output",
            found="a tensor without a graph: no gradient reaches the layer",
            fix="compute the loss with torch operators, without argmax, rounding, numpy or detach",
            file=place.file,
            line=place.line,
        )


def _words(output: Any, target: Any, text: str) -> tuple[str, str, str]:
    if not isinstance(output, Tensor):
        return (
            "one output tensor",
            f"a {type(output).__name__}",
            "hand the tensor that is meant to the loss: lambda output, y: loss(output[0], y)",
        )
    if not isinstance(target, Tensor):
        return ("a target that fits", f"a {type(target).__name__}", "make the target a tensor")
    sizes = re.search(r"input batch_size \((\d+)\) to match target batch_size \((\d+)\)", text)
    if sizes:
        return (
            f"{sizes.group(2)} rows, one for each target",
            f"{sizes.group(1)} rows: output of shape {tuple(output.shape)}",
            "look for a view(-1, ...) that changes the number of rows; write x.flatten(1)",
        )
    if "all elements of input should be between 0 and 1" in text:
        return (
            "probabilities in [0, 1]",
            f"scores in [{number(float(output.min()))}, {number(float(output.max()))}]",
            "use nn.BCEWithLogitsLoss, or end the network with torch.sigmoid",
        )
    return _target_words(output, target, text)


def _target_words(output: Tensor, target: Tensor, text: str) -> tuple[str, str, str]:
    """Tell what is wrong with the target."""
    shape = tuple(output.shape)
    aim = f"target of shape {tuple(target.shape)} and dtype {dtype_name(target.dtype)}"
    if re.search(r"Target -?\d+ is out of bounds", text) and len(shape) > 1:
        low, high = int(target.min()), int(target.max())
        return (
            f"classes in [0, {shape[1] - 1}]: the output has {shape[1]} scores a sample",
            f"classes in [{low}, {high}]",
            ("count classes from 0, or " if low == 1 else "")
            + f"give the last layer {high + 1} outputs",
        )
    if re.search(r"dtype|scalar type|not implemented for", text):
        whole = len(shape) > 1 and target.is_floating_point() and target.shape != output.shape
        return (
            "classes of dtype int64" if whole else "a target of the output's dtype",
            aim,
            "target.long()" if whole or target.dtype == torch.int32 else "target.float()",
        )
    if "multi-target" in text or "0D or 1D target" in text:
        return ("one class a sample, shape (N,)", aim, "target.squeeze(1)")
    return (f"a target that fits an output of shape {shape}", aim, "give both the shapes it takes")
