"""REG003 unregistered-tensor."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.attributes import Held, held_outside
from layerwright.contract.evidence.left_behind import Meeting, MeetingWatch
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, Skip, rule
from layerwright.contract.source import place_of_attribute
from layerwright.contract.torch_compat.graph import leaves_of
from layerwright.contract.trees import dtype_name, is_float


@rule(
    "REG003",
    "unregistered-tensor",
    promise="a tensor that forward computes with moves with the layer",
    family="registration",
    needs=("forward",),
    explains=("SER004", "SER006", "DEV001", "DEV003", "DTY001", "DTY002", "DST004"),
    since="0.1",
)
def unregistered_tensor(probe: Probe) -> Iterator[Finding]:
    """Looks for plain tensor attributes that a call needs on the device of the layer.

    A tensor is reported when `to()` does not reach it, forward puts it into one call together with
    inputs or parameters without moving it, and another value of it changes the output.

    ## Why is this bad
    `layer.to("cuda")` moves parameters and buffers. A plain tensor stays on the CPU, and the first
    call raises "Expected all tensors to be on the same device". `state_dict()` lacks it as well.

    ## Bad
    ```python
    class Standardize(nn.Module):
        def __init__(self):
            super().__init__()
            self.mean = torch.tensor([0.5, 0.4, 0.3])

        def forward(self, x):
            return x - self.mean


    case = Case(Standardize, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Standardize(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.tensor([0.5, 0.4, 0.3]))

        def forward(self, x):
            return x - self.mean


    case = Case(Standardize, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Write `self.register_buffer("mean", tensor)`; with `persistent=False` when it can be computed
    again and does not belong in a checkpoint.

    ## Limits
    Tensors without dimensions and indices (`x[:, self.order]`) may lie on the CPU, and pass. A
    layer that asks for the tensor's device, or that made the tensor in forward, may cope with a
    move, and is not reported here.

    ## References
    - https://github.com/pytorch/pytorch/issues/29807
    - https://github.com/unit8co/darts/issues/3052
    - https://github.com/meta-pytorch/botorch/pull/1035
    """
    candidates = _candidates(probe)
    if not candidates:
        return
    for held, meeting in _meetings(probe, candidates):
        words = _influence(probe, held)
        if not words:
            continue
        place = place_of_attribute(held.module, held.attribute)
        tensor = held.value
        yield Finding(
            where=held.name,
            expected="to(device) moves every tensor that forward computes with",
            found=f"a plain {dtype_name(tensor.dtype)} tensor of shape {tuple(tensor.shape)} stays "
            f"behind, and {meeting.function} ({meeting.place}) needs it beside tensors that move; "
            f"other values of it change the output: {words}",
            fix=f'self.register_buffer("{held.attribute.lstrip("_")}", ...)'
            if held.via == "attribute"
            else "keep it as a buffer: self.register_buffer(name, tensor)",
            file=place.file,
            line=place.line,
        )


def _plain(layer: nn.Module) -> dict[str, Held]:
    """Return the tensors that are held outside parameters and buffers, by name."""
    known = {id(item) for item in (*layer.parameters(), *layer.buffers())}
    return {
        held.name: held
        for held in held_outside(layer)
        if isinstance(held.value, Tensor) and id(held.value) not in known
    }


def _candidates(probe: Probe) -> set[str]:
    """Return the names of plain tensors that exist before forward runs and stay when it moves."""
    source = probe.subject.source
    source = source if isinstance(source, nn.Module) else probe.subject.layer
    names = {
        name
        for name, held in _plain(source).items()
        if not held.value.requires_grad and held.value.numel() > 1 and held.value.dim() > 0
    }
    names |= {
        name
        for name, held in _plain(source).items()
        if held.value.grad_fn is not None and not _lost_leaf(held.value, source)
    }
    if not names:
        return names
    try:
        names &= _plain(probe.rebuild()).keys()
    except Skip:  # it cannot be known whether the constructor or forward made them
        names = names & _kept_by_a_call(probe)
    moved = probe.layer()
    try:
        moved.to("meta")
    except Exception:  # noqa: BLE001 - a layer may refuse to move in any way
        return names
    return {name for name in names if (held := _plain(moved).get(name)) and not held.value.is_meta}


def _lost_leaf(tensor: Tensor, layer: nn.Module) -> bool:
    """Tell whether a tensor was computed from a parameter that REG002 reports."""
    known = {id(item) for item in layer.parameters()}
    return any(id(leaf) not in known for leaf in leaves_of(tensor))


def _kept_by_a_call(probe: Probe) -> set[str]:
    """Return the names of plain tensors that a call, which asks for no device, does not replace."""
    layer, inputs = probe.layer(), probe.inputs()
    before = _plain(layer)
    tensors = [*layer.parameters(), *layer.buffers(), *(item.tensor for item in inputs.tensors())]
    with torch.no_grad(), MeetingWatch(tensors, ()) as watch:
        probe.call(layer, inputs)
    after = _plain(layer)
    return {
        name
        for name, held in before.items()
        if not watch.asked and name in after and after[name].value is held.value
    }


def _meetings(probe: Probe, names: set[str]) -> list[tuple[Held, Meeting]]:
    layer, inputs = probe.layer(), probe.inputs()
    held = [item for name, item in _plain(layer).items() if name in names]
    moving = [*layer.parameters(), *layer.buffers(), *(item.tensor for item in inputs.tensors())]
    with torch.no_grad(), MeetingWatch([item.value for item in held], moving) as watch:
        probe.call(layer, inputs)
    return [
        (held[place], meeting)
        for place, meeting in watch.meetings.items()
        if place not in watch.asked
    ]


def _influence(probe: Probe, held: Held) -> str | None:
    """Say how other values of the tensor change the output, or None if they do not."""
    layer = probe.layer()
    tensor = _plain(layer)[held.name].value.detach()
    before = tensor.clone()
    with torch.no_grad():
        tensor.copy_(_other(before))
        try:
            return difference(probe.eval_output, probe.call(layer))
        except LayerRaised as raised:
            return f"the layer raised {raised.words}"
        finally:
            tensor.copy_(before)  # a closure or a class shares it with the user's own layer


def _other(tensor: Tensor) -> Tensor:
    if tensor.dtype == torch.bool:
        return ~tensor
    if is_float(tensor):
        return tensor * 1.5 + 0.25
    rolled = tensor.flatten().roll(1).view(tensor.shape)
    return rolled if not torch.equal(rolled, tensor) else tensor - tensor
