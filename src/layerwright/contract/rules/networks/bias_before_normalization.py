"""NET004 bias-before-normalization."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from layerwright.contract.comparing import difference, number
from layerwright.contract.evidence.module_calls import ModuleCall, recorded_calls
from layerwright.contract.evidence.named_parameters import parameters_by_name
from layerwright.contract.evidence.usage import place_of_part
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.torch_compat.vmapping import is_mapped
from layerwright.contract.trees import is_float
from layerwright.random_numbers import seed_all

_DISTRIBUTIONS = nn.Softmax | nn.Softmax2d | nn.LogSoftmax | nn.Softmin


@rule(
    "NET004",
    "bias-before-normalization",
    promise="no bias stands where a normalisation takes it out again",
    family="networks",
    severity="note",
    needs=("train_forward", "parameters", "float_inputs", "deterministic"),
    since="0.1",
)
def bias_before_normalization(probe: Probe) -> Iterator[Finding]:
    """Looks for biases of which the part behind subtracts all, in training.

    ## Why is this bad
    It does no harm: the parameter costs memory and time, gets a gradient of rounding errors, and
    weight decay moves it about.

    ## Bad
    ```python
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1)
            self.norm = nn.BatchNorm2d(4)

        def forward(self, x):
            return torch.relu(self.norm(self.conv(x)))


    case = Case(Block, inputs=(torch.randn(4, 3, 8, 8),))
    ```

    ## Good
    ```python
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
            self.norm = nn.BatchNorm2d(4)

        def forward(self, x):
            return torch.relu(self.norm(self.conv(x)))


    case = Case(Block, inputs=(torch.randn(4, 3, 8, 8),))
    ```

    ## How to fix
    Write `bias=False`; the normalisation has a bias of its own.

    ## Limits
    Only what a part hands on to the next part as it is; another number is added to each channel,
    and the answer of the next part must stay the same in training mode. A softmax takes a constant
    out too, and is passed over.
    """
    layer = probe.layer(training=True)
    with torch.no_grad(), recorded_calls(layer) as calls:
        probe.call(layer)
    leaves = [call for call in calls.finished if not list(call.module.children())]
    for one in leaves:
        bias = getattr(one.module, "bias", None)
        if not isinstance(bias, nn.Parameter) or not isinstance(one.output, Tensor):
            continue
        if is_mapped(bias) or is_mapped(one.output):
            continue
        users = [
            other
            for other in leaves
            if other is not one and any(item is one.output for item in other.tensors_in)
        ]
        runs = [call for call in leaves if call.module is one.module]
        if len(users) != 1 or len(runs) != 1 or isinstance(users[0].module, _DISTRIBUTIONS):
            continue
        moved = _moved_by(one, bias)
        if moved is None or not _takes_out(probe, users[0], moved):
            continue
        if not _without_effect(probe, f"{one.path}.bias" if one.path else "bias"):
            continue
        place = place_of_part(probe.layer(), one.path)
        yield Finding(
            where=f"{one.path}.bias",
            expected="a bias that changes the output in training",
            found=f"{bias.numel()} values moved by up to {number(moved.abs().max())}, and the "
            f"output of {users[0].path} is the same",
            fix=f"bias=False in {one.path}",
            file=place.file,
            line=place.line,
        )


def _moved_by(call: ModuleCall, bias: Tensor) -> Tensor | None:
    """Return what the output of a part gains from another bias, in its shape; None if unclear."""
    output: Tensor = call.output
    for dim in (1, output.dim() - 1):
        if 0 < dim < output.dim() and bias.dim() == 1 and output.shape[dim] == bias.numel():
            step = torch.linspace(-1.0, 2.0, bias.numel()).roll(1) * (output.std() + 0.1)
            shape = [1] * output.dim()
            shape[dim] = -1
            return step.to(output).view(shape).expand(output.shape)
    return None


def _takes_out(probe: Probe, call: ModuleCall, moved: Tensor) -> bool:
    """Tell whether the part gives the same answer, and reads its input at all."""
    part = call.module
    state = {key: value.clone() for key, value in part.state_dict().items()}
    given = call.tensors_in[0]
    if not is_float(given) or len(call.inputs.args) != 1:
        return False
    answers = []
    for value in (given, given + moved, given.roll(1, 0) + 0.1 * given * given):
        part.load_state_dict(state)
        seed_all(probe.seed)
        with torch.no_grad():
            answers.append(part(value.clone()))
    same = difference(answers[0], answers[1], tolerance=1e-3) is None
    return same and difference(answers[0], answers[2], tolerance=1e-2) is not None


def _without_effect(probe: Probe, name: str) -> bool:
    """Tell whether the output of the whole layer in training stays, whatever the bias is."""
    answers = []
    for offset in (0.0, 1.0):
        layer = probe.layer(training=True)
        with torch.no_grad():
            bias = parameters_by_name(layer)[name]
            bias.add_(offset * torch.linspace(0.0, 1.0, bias.numel()).to(bias))
            answers.append(probe.call(layer))
    return difference(answers[0], answers[1], tolerance=1e-3) is None
