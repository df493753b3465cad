"""NUM001 nan-gradient-at-degenerate."""

from collections.abc import Iterator

from layerwright.contract.evidence.backward_culprit import (
    attempted,
    nan_culprit,
    not_finite,
    passes,
)
from layerwright.contract.evidence.degenerate import degenerate_inputs
from layerwright.contract.evidence.precision import is_finite
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule

# Eigenvectors and singular vectors have no gradient where values coincide: no formula helps.
_NO_GRADIENT = ("Linalg", "Cholesky", "Svd", "Symeig", "Qr")


@rule(
    "NUM001",
    "nan-gradient-at-degenerate",
    promise="where the output is finite, gradients are finite, also for zeros and constants",
    family="numerics",
    needs=("backward", "float_inputs"),
    excused_by=("surrogate_gradient",),
    since="0.1",
)
def nan_gradient_at_degenerate(probe: Probe) -> Iterator[Finding]:
    """Runs a training pass on zeros, on a constant, and on two equal inputs.

    ## Why is this bad
    The loss is finite and the step writes NaN into every parameter. `sqrt` has an infinite slope at
    zero, which times zero is NaN: a padded row, a black patch or a perfect prediction is enough.

    ## Bad
    ```python
    class Length(nn.Module):
        def forward(self, x):
            return x.square().sum(-1).sqrt()


    case = Case(Length, inputs=(torch.randn(3, 5),))
    ```

    ## Good
    ```python
    class Length(nn.Module):
        def forward(self, x):
            return (x.square().sum(-1) + 1e-6).sqrt()


    case = Case(Length, inputs=(torch.randn(3, 5),))
    ```

    ## How to fix
    Put the eps inside the root, or use `torch.linalg.vector_norm`, which knows zero. With
    `torch.where`, make the input of the branch that is not taken safe as well: its NaN survives the
    multiplication by zero.

    ## Limits
    Inputs whose examples are bounded, normalised, sorted or whole are left alone, and zeros are
    tried only where the example surrounds zero. Decompositions of matrices are not judged.

    ## References
    - https://github.com/pytorch/pytorch/issues/2421
    - https://github.com/pytorch/pytorch/issues/4320
    - https://github.com/pytorch/pytorch/issues/68425
    """
    tried = 0
    for degenerate in degenerate_inputs(probe):
        came = attempted(probe, degenerate.inputs.clone())
        if came is None or not is_finite(came[0]):
            continue
        tried += 1
        names = not_finite(came[1])
        if not names:
            continue
        culprit = nan_culprit(lambda given=degenerate.inputs: passes(probe, given))  # type: ignore[misc]
        if culprit.step.startswith(_NO_GRADIENT) and "VectorNorm" not in culprit.step:
            continue
        at = f", first in {culprit.step}" if culprit.step else ""
        yield Finding(
            where=f"backward, {degenerate.words}",
            expected="finite gradients: the output is finite",
            found=f"NaN or infinity in the gradient of {', '.join(names[:4])}{at}",
            fix="add eps inside the root or the logarithm, or use torch.linalg.vector_norm",
            file=culprit.place.file,
            line=culprit.place.line,
        )
        return
    if not tried:
        probe.skip("no zero, constant or equal input lies in its domain and gives a finite output")
