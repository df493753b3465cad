"""INI002 symmetric-init."""

from collections.abc import Iterator, Mapping

from torch import Tensor

from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import place_of_attribute

_SAME = 1e-5  # of the largest value: gradients of equal units differ by roundings only
_SAME_GRADIENT = 1e-4  # sums in another order; gradients of different units are far apart


@rule(
    "INI002",
    "symmetric-init",
    promise="units of one weight start from different values, or get different gradients",
    family="initialization",
    severity="warning",
    needs=("train_forward", "backward", "parameters"),
    since="0.1",
)
def symmetric_init(probe: Probe) -> Iterator[Finding]:
    """Looks for units with equal weights, equal gradients, and so equal weights ever after.

    ## Why is this bad
    Two units that compute the same and get the same gradient stay the same. A hidden layer of 256
    units whose weights all start at 0.1 is a layer of one unit.

    ## Bad
    ```python
    class Perceptron(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(3, 8)
            self.out = nn.Linear(8, 2)
            for layer in (self.hidden, self.out):
                nn.init.constant_(layer.weight, 0.1)
                nn.init.zeros_(layer.bias)

        def forward(self, x):
            return self.out(self.hidden(x).tanh())


    case = Case(Perceptron, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Perceptron(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(3, 8)
            self.out = nn.Linear(8, 2)
            for layer in (self.hidden, self.out):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

        def forward(self, x):
            return self.out(self.hidden(x).tanh())


    case = Case(Perceptron, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Draw weights at random: `nn.init.kaiming_uniform_`, `nn.init.xavier_uniform_` or
    `nn.init.orthogonal_`. Zeros are fine for biases and for the last layer of a residual branch.

    ## Limits
    Judged from two backward passes with different inputs and outputs' weights. A parameter whose
    gradient is zero altogether is not judged here; see INI006.
    """
    candidates = {
        name: item
        for name, item in probe.layer().named_parameters()
        if item.requires_grad and item.dim() > 1 and _has_twins(item.detach())
    }
    if not candidates:
        return
    first = probe.gradients.parameters
    layer, inputs = probe.layer(training=True), probe.other_inputs().requiring_grad()
    output = probe.call(layer, inputs, seed=probe.seed + 1)
    second = probe.gradients_of(layer, inputs, output).parameters
    for name, item in candidates.items():
        twins = _stuck(item.detach(), name, (first, second))
        if not twins:
            continue
        path, _, attribute = name.rpartition(".")
        place = place_of_attribute(probe.subject.layer.get_submodule(path), attribute)
        value = float(item.detach().flatten()[0])
        yield Finding(
            where=name,
            expected="units that differ in their weights or in their gradients",
            found=f"all {twins} units have the same weights (the first is {value:.6g}) and get the "
            "same gradients for two different batches: they stay one unit",
            fix=f"draw it at random, such as nn.init.xavier_uniform_({name})",
            file=place.file,
            line=place.line,
        )


def _units(tensor: Tensor, dim: int) -> Tensor:
    return tensor.movedim(dim, 0).flatten(1)


def _equal_rows(rows: Tensor, tolerance: float = _SAME) -> bool:
    scale = rows.abs().max()
    return bool(((rows - rows[:1]).abs() <= scale * tolerance).all())


def _has_twins(weight: Tensor) -> bool:
    return any(
        weight.shape[dim] > 1 and weight.numel() and _equal_rows(_units(weight, dim))
        for dim in (0, 1)
    )


def _stuck(
    weight: Tensor, name: str, gradients: tuple[Mapping[str, Tensor | None], ...]
) -> int | None:
    """Return how many units have equal weights and equal gradients; None if they differ."""
    for dim in (0, 1):
        if weight.shape[dim] < 2 or not _equal_rows(_units(weight, dim)):
            continue
        grads = [found.get(name) for found in gradients]
        if all(
            grad is not None and bool(grad.any()) and _equal_rows(_units(grad, dim), _SAME_GRADIENT)
            for grad in grads
        ):
            return weight.shape[dim]
    return None
