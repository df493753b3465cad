"""MOD007 statistics-never-used."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from torch import nn

from layerwright.contract.comparing import difference
from layerwright.contract.copying import fresh_copy
from layerwright.contract.evidence.layer_state import changes, memory_of, parameters_of
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import place_of_attribute
from layerwright.contract.trees import Inputs, named_tensors
from layerwright.random_numbers import seed_all


@rule(
    "MOD007",
    "statistics-never-used",
    promise="running statistics that training updates are what eval mode normalises with",
    family="modes",
    needs=("forward", "train_forward", "deterministic"),
    explains=("BAT001", "BAT002", "BAT003", "CMP004", "NUM005"),
    since="0.1",
)
def statistics_never_used(probe: Probe) -> Iterator[Finding]:
    """Changes the buffers that training updates and looks whether anything depends on them.

    Reported are buffers of a module that mixes the samples of a batch in training mode, as a
    batch norm does, if no answer and no other buffer depends on them in either mode.

    ## Why is this bad
    The statistics are gathered and then ignored: eval mode normalises with the batch that happens
    to be there, or with half of the statistics, and a single sample gets another answer than it
    gets in a batch.

    ## Bad
    ```python
    class Center(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("running_mean", torch.zeros(3))

        def forward(self, x):
            mean = x.mean(dim=0)
            if self.training:
                with torch.no_grad():
                    self.running_mean.lerp_(mean, 0.1)
            return x - mean


    case = Case(Center, inputs=(torch.randn(8, 3),))
    ```

    ## Good
    ```python
    class Center(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("running_mean", torch.zeros(3))

        def forward(self, x):
            if not self.training:
                return x - self.running_mean
            mean = x.mean(dim=0)
            with torch.no_grad():
                self.running_mean.lerp_(mean, 0.1)
            return x - mean


    case = Case(Center, inputs=(torch.randn(8, 3),))
    ```

    ## How to fix
    Use the running statistics where `self.training` is False, or do not keep any.

    ## Limits
    A part that only training calls, such as the auxiliary batch norm of adversarial training, is
    not judged. Monitors, such as the load of experts or the use of codes, belong to modules that
    treat samples one by one and are not reported.

    ## References
    - https://github.com/pytorch/pytorch/issues/4534
    """
    layer = probe.layer(training=True)
    before = memory_of(layer)
    calls = _watched(probe, layer)
    written = changes(before, memory_of(layer))
    if not written:
        return
    evaluated = _watched(probe, probe.layer())
    buffers = dict(layer.named_buffers())
    for name in written:
        tensor = buffers.get(name)
        if tensor is None or not tensor.is_floating_point():
            continue
        owner_path, _, attribute = name.rpartition(".")
        if owner_path not in calls or owner_path not in evaluated:
            continue
        if _matters(probe, name) or not _mixes(probe, owner_path, calls[owner_path]):
            continue
        place = place_of_attribute(before[name].owner, attribute)
        yield Finding(
            where=name,
            expected="an answer in eval mode that depends on the statistics of training",
            found=f"training updates it ({written[name]}); with other values in it, all answers "
            "and all other buffers stay equal bit for bit, in both modes",
            fix="normalise with it where self.training is False, or remove it",
            file=place.file,
            line=place.line,
        )
        return


def _watched(probe: Probe, layer: nn.Module) -> dict[str, Inputs]:
    """Call a layer and return the inputs that each of its modules got first."""
    found: dict[str, Inputs] = {}
    handles = []
    for path, module in layer.named_modules():

        def note(_: nn.Module, args: Any, kwargs: Any, path: str = path) -> None:
            found.setdefault(path, Inputs(args, kwargs).clone())

        if not isinstance(module, torch.jit.ScriptModule):  # which takes no hooks
            handles.append(module.register_forward_pre_hook(note, with_kwargs=True))
    try:
        with torch.no_grad():
            probe.call(layer)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _matters(probe: Probe, name: str) -> bool:
    """Tell whether an answer or another part of the state depends on a buffer, in either mode.

    Also with other parameters: the sign of a batch norm asks for the variance once its bias moves.
    """
    for training, moved in product((False, True), (0.0, 0.3, 1.0)):
        for factor, offset in ((2.0, 0.5), (0.3, -0.2)):
            one, other = probe.layer(training=training), probe.layer(training=training)
            if moved:
                _move_parameters(one, moved)
                _move_parameters(other, moved)
            with torch.no_grad():
                dict(other.named_buffers())[name].mul_(factor).add_(offset)
                first = probe.attempt(lambda one=one: probe.call(one))  # type: ignore[misc]
                second = probe.attempt(lambda other=other: probe.call(other))  # type: ignore[misc]
            if first.raised or second.raised:
                return True
            if difference(first.output, second.output, exact=True):
                return True
            states = ({**memory_of(item), **parameters_of(item)} for item in (one, other))
            if changes(*states).keys() - {name}:
                return True
    return False


def _move_parameters(layer: nn.Module, size: float) -> None:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for item in layer.parameters():
            if item.is_floating_point():
                item.add_(size * torch.randn(item.shape, generator=generator).to(item))


def _mixes(probe: Probe, path: str, inputs: Inputs) -> bool:
    """Tell whether a module's answer to the first samples depends on the last, in training mode."""
    layer = probe.layer(training=True)
    module = dict(layer.named_modules())[path]
    for part in module.modules():
        if part is not module:
            part.training = False  # what its parts do with samples is theirs
    twin = fresh_copy(module)
    tensors = [item.tensor for item in inputs.tensors() if item.tensor.dim()]
    if not tensors or tensors[0].shape[0] < 2:
        return False
    size = tensors[0].shape[0]

    def replace_last(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dim() == 0 or tensor.shape[0] != size:
            return tensor.clone()
        return torch.cat([tensor[:-1], tensor[:1]])

    answers = []
    for part, given in ((module, inputs.clone()), (twin, inputs.map(replace_last))):
        seed_all(probe.seed)
        try:
            with torch.no_grad():
                answers.append(part(*given.args, **given.kwargs))
        except Exception:  # noqa: BLE001 - a part may refuse to be called alone
            return False

    one, other = (
        [item.tensor[:-1] for item in named_tensors(answer) if item.tensor.shape[:1] == (size,)]
        for answer in answers
    )
    return difference(one, other) is not None
