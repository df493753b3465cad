"""INI003 init-gain."""

from collections.abc import Iterator

import torch

from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.trees import is_float, named_tensors

_LOW, _HIGH = 0.005, 200.0  # twice, and the signal is 1/40000 of what it was


@rule(
    "INI003",
    "init-gain",
    promise="a new layer keeps the scale of its signal within two orders of magnitude",
    family="initialization",
    severity="note",
    needs=("forward", "float_inputs", "float_outputs", "parameters"),
    explains=("NUM002",),
    since="0.1",
)
def init_gain(probe: Probe) -> Iterator[Finding]:
    """Feeds values of standard deviation one and compares the standard deviation of the output.

    ## Why is this bad
    Layers are stacked. One that multiplies its signal by 500 overflows after a few, one that
    divides it by 500 lets nothing through, and gradients suffer the same on their way back.

    ## Bad
    ```python
    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(1e-4 * torch.randn(64, 64))

        def forward(self, x):
            return x @ self.weight


    case = Case(Dense, inputs=(torch.randn(4, 64),))
    ```

    ## Good
    ```python
    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(64, 64) / 64**0.5)

        def forward(self, x):
            return x @ self.weight


    case = Case(Dense, inputs=(torch.randn(4, 64),))
    ```

    ## How to fix
    Scale the weights by `1 / sqrt(fan_in)`: `nn.init.kaiming_normal_`, `nn.init.xavier_normal_`.

    ## Limits
    A note: a small gain is meant in LayerScale and in residual branches that begin near zero. Only
    layers with weight matrices whose inputs have both signs are judged, and an output that is
    constant is not.
    """
    floats = [item.tensor for item in probe.inputs().floats()]
    if any(tensor.layout != torch.strided for tensor in floats):
        probe.skip("an input is sparse")
    if any(tensor.is_complex() or tensor.numel() < 8 for tensor in floats):
        probe.skip("an input is complex, or has fewer than 8 values")
    if any(not bool((tensor < 0).any()) for tensor in floats):
        probe.skip("an input has no negative value: its domain may be another one")
    weights = [
        (name, item)
        for name, item in probe.layer().named_parameters()
        if item.requires_grad and item.dim() > 1 and is_float(item)
    ]
    if not weights:
        probe.skip("it has no weight matrix that is trained")
    generator = torch.Generator().manual_seed(probe.seed)
    inputs = probe.inputs().map_floats(
        lambda tensor: torch.randn(tensor.shape, generator=generator, dtype=torch.float32).to(
            device=tensor.device, dtype=tensor.dtype
        )
    )
    with torch.no_grad():
        output = probe.call(probe.layer(), inputs)
    for item in named_tensors(output):
        if not item.tensor.is_floating_point() or item.tensor.numel() < 8:
            continue
        gain = float(item.tensor.float().std())
        if gain > 0.0 and not _LOW <= gain <= _HIGH:
            name, weight = min(weights, key=lambda pair: float(pair[1].detach().abs().mean()))
            if gain > _HIGH:
                name, weight = max(weights, key=lambda pair: float(pair[1].detach().abs().mean()))
            place = probe.place()
            yield Finding(
                where=item.name,
                expected=f"a standard deviation between {_LOW} and {_HIGH:g} for inputs of 1",
                found=f"{gain:.3g}; {name} of shape {tuple(weight.shape)} has a mean magnitude of "
                f"{float(weight.detach().abs().mean()):.3g}",
                fix=f"scale {name} by 1 / sqrt(fan_in), such as nn.init.kaiming_normal_({name})",
                file=place.file,
                line=place.line,
            )
            return
