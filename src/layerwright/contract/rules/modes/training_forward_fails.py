"""MOD008 training-forward-fails."""

import inspect
from collections.abc import Iterator

import torch

from layerwright.contract.batch import enlarged
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule


@rule(
    "MOD008",
    "training-forward-fails",
    promise="forward works in training mode on the inputs that it takes in eval mode",
    family="modes",
    since="0.1",
)
def training_forward_fails(probe: Probe) -> Iterator[Finding]:
    """Calls the layer in training mode with inputs that work in eval mode.

    ## Why is this bad
    The layer can be looked at and not be trained. The branch under `if self.training:` was never
    run.

    ## Bad
    ```python
    class Noise(nn.Module):
        def forward(self, x):
            if self.training:
                return x + 0.1 * torch.randn(x.shape[0], x.shape[1] + 1)
            return x


    case = Case(Noise, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Noise(nn.Module):
        def forward(self, x):
            if self.training:
                return x + 0.1 * torch.randn_like(x)
            return x


    case = Case(Noise, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Run the branch once, with a batch, after it was written.

    ## Limits
    Skipped are layers that train only on larger batches, which BAT002 judges, layers that may want
    an optional argument in training, such as targets, and layers that refuse training with a
    `raise` or `assert` of their own.
    """
    attempt = probe.attempt(lambda: probe.call(probe.layer(training=True)))
    raised = attempt.raised
    if raised is None:
        return
    if raised.place.text.startswith(("raise", "assert")) or isinstance(
        raised.error, NotImplementedError
    ):
        probe.skip(f"it refuses to be trained, in words of its own: {raised.words}")
    with torch.enable_grad():
        again = probe.attempt(lambda: probe.call(probe.layer()))
    if again.raised:
        mode = "with gradients"
        if again.raised.words != raised.words:
            probe.skip(f"with gradients it fails in eval mode too: {again.raised.words}")
    else:
        mode = "in training mode"
    left_out = _optional_arguments(probe)
    if left_out:
        probe.skip(f"in training it may want its optional argument {left_out}: {raised.words}")
    if _works_with_more_samples(probe):
        probe.skip(f"in training mode it wants more samples: {raised.words}")
    place = raised.place if raised.place.file else probe.place()
    yield Finding(
        where=f"forward {mode}",
        expected="it works, as it does in eval mode without gradients",
        found=f"it raised {raised.words}",
        fix=_fix(raised),
        file=place.file,
        line=place.line,
    )


def _fix(raised: LayerRaised) -> str:
    if "in-place" in raised.words and "leaf" in raised.words:
        return "compute a new tensor instead of writing into the parameter"
    return "correct the branch that runs when self.training is True"


def _optional_arguments(probe: Probe) -> str:
    """Return the first optional argument of forward that the example leaves out."""
    inputs = probe.inputs()
    try:
        parameters = list(inspect.signature(probe.subject.layer.forward).parameters.values())
    except (TypeError, ValueError):  # written in C
        return ""
    for place, parameter in enumerate(parameters):
        given = place < len(inputs.args) or parameter.name in inputs.kwargs
        if not given and parameter.default is None:
            return parameter.name
    return ""


def _works_with_more_samples(probe: Probe) -> bool:
    inputs = probe.inputs()
    tensors = [item for item in inputs.tensors() if item.tensor.dim()]
    for dim in (0, 1):
        fitting = [item for item in tensors if item.tensor.dim() > dim]
        if not fitting or not fitting[0].tensor.shape[dim]:
            continue
        size = fitting[0].tensor.shape[dim]
        names = tuple(item.name for item in fitting if item.tensor.shape[dim] == size)
        if size >= 3:
            continue
        larger = enlarged(inputs, dim, names)
        attempt = probe.attempt(
            lambda larger=larger: probe.call(probe.layer(training=True), larger)  # type: ignore[misc]
        )
        if attempt.raised is None:
            return True
    return False
