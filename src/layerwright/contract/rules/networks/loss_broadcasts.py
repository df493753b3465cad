"""NET006 loss-broadcasts."""

from collections.abc import Iterator

import torch
from torch import Tensor

from layerwright.contract.comparing import number
from layerwright.contract.evidence.losses import trial
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import place_of_attribute


@rule(
    "NET006",
    "loss-broadcasts",
    promise="the loss compares each output with its own target",
    family="networks",
    needs=("forward", "train_forward", "float_outputs", "loss"),
    since="0.1",
)
def loss_broadcasts(probe: Probe) -> Iterator[Finding]:
    """Looks for outputs and targets of as many values and other shapes, which broadcast.

    ## Why is this bad
    A column of N outputs against a row of N targets is a table of N * N differences. The network
    learns the mean of all targets, and torch says so in a warning that scrolls away.

    ## Bad
    ```python
    class Regressor(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(6, 1)

        def forward(self, x):
            return self.fc(x)


    case = Case(Regressor, inputs=(torch.randn(4, 6),), loss=nn.MSELoss(), target=torch.randn(4))
    ```

    ## Good
    ```python
    class Regressor(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(6, 1)

        def forward(self, x):
            return self.fc(x).squeeze(1)


    case = Case(Regressor, inputs=(torch.randn(4, 6),), loss=nn.MSELoss(), target=torch.randn(4))
    ```

    ## How to fix
    Give both one shape: `output.squeeze(1)`, or `target.unsqueeze(1)`.

    ## Limits
    Judged for one output tensor and one target tensor of floating-point values, with as many values
    each.
    """
    loss = trial(probe)
    output, target = probe.train_attempt.output, loss.target
    if not isinstance(output, Tensor) or not isinstance(target, Tensor):
        probe.skip("output and target are not one tensor each")
    output = output.detach()
    if output.shape == target.shape or output.numel() != target.numel() or output.numel() < 2:
        return
    if not output.is_floating_point() or not target.is_floating_point():
        return
    try:
        wide = torch.broadcast_shapes(output.shape, target.shape)
    except RuntimeError:  # they do not broadcast: the loss does something else, or raises
        return
    now, meant = loss(output), loss(output, target.reshape(output.shape))
    if now is None or meant is None or abs(now - meant) <= 1e-5 * max(abs(now), abs(meant)):
        return
    place = place_of_attribute(probe.subject.layer, "forward")
    dim = next(
        (dim for dim, size in enumerate(output.shape) if size == 1 and output.dim() > target.dim()),
        None,
    )
    fix = f"output.squeeze({dim})" if dim is not None else "target.reshape(output.shape)"
    yield Finding(
        where="the output, with the loss",
        expected=f"{output.numel()} differences, a loss of {number(meant)}",
        found=f"shape {tuple(output.shape)} against a target of shape {tuple(target.shape)} "
        f"broadcasts to {tuple(wide)}, a loss of {number(now)}",
        fix=f"give both one shape: {fix}",
        file=place.file,
        line=place.line,
    )
