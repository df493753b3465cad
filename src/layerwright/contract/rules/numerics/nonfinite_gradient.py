"""NUM003 nonfinite-gradient."""

from collections.abc import Iterator

from layerwright.contract.evidence.backward_culprit import nan_culprit, not_finite, passes
from layerwright.contract.evidence.precision import is_finite
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule


@rule(
    "NUM003",
    "nonfinite-gradient",
    promise="where the output is finite, gradients on ordinary inputs are finite",
    family="numerics",
    needs=("train_forward",),
    explains=("NUM001", "TRN002", "TRN006"),
    since="0.1",
)
def nonfinite_gradient(probe: Probe) -> Iterator[Finding]:
    """Runs a training pass on the example inputs and looks for NaN and infinity in the gradients.

    ## Why is this bad
    The first optimizer step turns the parameters into NaN, while the loss that is printed is still
    a number.

    ## Bad
    ```python
    class Distances(nn.Module):
        def forward(self, x):
            return (x.unsqueeze(1) - x.unsqueeze(2)).square().sum(-1).sqrt()


    case = Case(Distances, inputs=(torch.randn(3, 4, 2),))
    ```

    ## Good
    ```python
    class Distances(nn.Module):
        def forward(self, x):
            return torch.linalg.vector_norm(x.unsqueeze(1) - x.unsqueeze(2), dim=-1)


    case = Case(Distances, inputs=(torch.randn(3, 4, 2),))
    ```

    ## How to fix
    Find the operator with an infinite slope (`sqrt` and `pow` at 0, `acos` at 1, `log` at 0) and
    keep its input away from there. With `torch.where`, do so in the branch that is not taken too.

    ## References
    - https://github.com/pytorch/pytorch/issues/36923
    - https://github.com/pytorch/pytorch/issues/68425
    """
    inputs = probe.inputs()
    if not is_finite([item.tensor for item in inputs.floats()]):
        probe.skip("its example inputs are not finite")
    try:
        output, gradients = passes(probe, inputs)
    except LayerRaised as raised:
        probe.skip(f"a training pass raised {raised.words}")
    if not is_finite(output):
        probe.skip("its output is not finite")
    names = not_finite(gradients)
    if not names:
        return
    culprit = nan_culprit(lambda: passes(probe, probe.inputs()))
    at = f", first in {culprit.step}" if culprit.step else ""
    yield Finding(
        where=f"gradient of {', '.join(names[:4])}",
        expected="finite gradients: inputs and output are finite",
        found=f"NaN or infinity{at}",
        fix="keep the input of sqrt, pow, log, acos away from its edge; use vector_norm for norms",
        file=culprit.place.file,
        line=culprit.place.line,
    )
