"""MOD003 state-written-in-eval."""

from collections.abc import Iterator

import torch

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.layer_state import Part, changes, memory_of, place_of_write
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.trees import Inputs


@rule(
    "MOD003",
    "state-written-in-eval",
    promise="statistics of the data are not updated in eval mode",
    family="modes",
    needs=("forward", "deterministic"),
    excused_by=("stateful",),
    explains=("PUR004", "PUR010", "BAT001", "BAT002", "BAT003", "CMP002", "CMP008", "MOD006"),
    since="0.1",
)
def state_written_in_eval(probe: Probe) -> Iterator[Finding]:
    """Calls the layer in eval mode with different inputs and looks at what it remembers of them.

    A buffer, plain tensor or float is reported when each call updates it with values of its
    inputs, when the order of the samples makes no difference to it, as to a mean, and when
    later answers depend on it.

    ## Why is this bad
    The network learns from its test set, and the answer to a sample depends on what was evaluated
    before it. Scores cannot be repeated.

    ## Bad
    ```python
    class Center(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros(3))

        def forward(self, x):
            with torch.no_grad():
                self.mean.lerp_(x.mean(dim=0), 0.1)
            return x - self.mean


    case = Case(Center, inputs=(torch.randn(8, 3),))
    ```

    ## Good
    ```python
    class Center(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros(3))

        def forward(self, x):
            if self.training:
                with torch.no_grad():
                    self.mean.lerp_(x.mean(dim=0), 0.1)
            return x - self.mean


    case = Case(Center, inputs=(torch.randn(8, 3),))
    ```

    ## How to fix
    Put the update under `if self.training:`, or pass `training=self.training` to the functional.

    ## Limits
    Counters, monitors that no answer depends on, tables that are filled once, ranges that are
    infinite until they are calibrated, and memories of single samples (streams, caches of keys and
    values) are not reported.

    ## References
    - https://github.com/pyg-team/pytorch_geometric/pull/4978: a frozen network kept changing
    """
    layer = probe.layer()
    before = memory_of(layer)
    with torch.no_grad():
        probe.call(layer)
    once = memory_of(layer)
    written = changes(before, once)
    if not written:
        return
    first_other = probe.other_inputs()
    with torch.no_grad():
        raised = probe.attempt(lambda: probe.call(layer, first_other)).raised
    if raised:
        probe.skip(f"it writes in eval mode, and a second call raised {raised.words}")
    again = changes(once, memory_of(layer))
    names = [
        name
        for name in written
        if name in again
        and name in before
        and once[name].tensor.is_floating_point()
        and bool(before[name].tensor.isfinite().all())  # else it waits to be calibrated
        and not _same_for_other_values(probe, name)
    ]
    symmetric = [name for name in names if _symmetric(probe, name)]
    for name in symmetric:
        words = _influence(probe, name, once[name])
        if not words:
            continue
        watched = probe.layer()
        place = once[name].place
        tensor = dict(watched.named_buffers()).get(name)
        if tensor is not None:
            with torch.no_grad():
                line = place_of_write(probe, watched, tensor)
            place = line if line.file else place
        yield Finding(
            where=name,
            expected="the same values before and after a call in eval mode",
            found=f"{written[name]}; with the new values the answer is another one: {words}",
            fix="update it only if self.training",
            file=place.file,
            line=place.line,
        )
        return


def _after(probe: Probe, inputs: Inputs, name: str) -> Part | None:
    layer = probe.layer()
    with torch.no_grad():
        if probe.attempt(lambda: probe.call(layer, inputs)).raised:
            return None
    return memory_of(layer).get(name)


def _same_for_other_values(probe: Probe, name: str) -> bool:
    """Tell whether inputs with other values leave the same state, as with counters and tables."""
    one = _after(probe, probe.inputs(), name)
    generator = torch.Generator().manual_seed(probe.seed)
    other_inputs = probe.other_inputs().map_floats(
        lambda tensor: tensor * (0.5 + torch.rand((), generator=generator).to(tensor))
    )
    other = _after(probe, other_inputs, name)
    return one is None or other is None or difference(one.tensor, other.tensor) is None


def _symmetric(probe: Probe, name: str) -> bool:
    """Tell whether the order of samples, along dimension 0, makes no difference to the state."""
    inputs = probe.inputs()
    sizes = {item.tensor.shape[0] for item in inputs.tensors() if item.tensor.dim()}
    if not sizes or max(sizes) < 2:
        return False
    size = inputs.tensors()[0].tensor.shape[0] if inputs.tensors()[0].tensor.dim() else max(sizes)

    def roll(tensor: torch.Tensor) -> torch.Tensor:
        same = tensor.dim() > 0 and tensor.shape[0] == size
        return tensor.roll(1, 0) if same else tensor

    one = _after(probe, inputs, name)
    other = _after(probe, probe.inputs().map(roll), name)
    if one is None or other is None or one.tensor.shape != other.tensor.shape:
        return False
    return difference(one.tensor, other.tensor, tolerance=1e-4) is None


def _influence(probe: Probe, name: str, part: Part) -> str | None:
    """Return how the answer changes if the layer starts with the state that a call left."""
    layer = probe.layer()
    owner_path = name.removesuffix(part.attribute).rstrip(".")
    owner = dict(layer.named_modules()).get(owner_path)
    current = getattr(owner, part.attribute, None)
    with torch.no_grad():
        if isinstance(current, torch.Tensor):
            current.copy_(part.tensor)
        elif isinstance(current, float):
            setattr(owner, part.attribute, float(part.tensor))
        else:
            return None
        attempt = probe.attempt(lambda: probe.call(layer))
    if attempt.raised:
        return None
    return difference(probe.eval_output, attempt.output)
