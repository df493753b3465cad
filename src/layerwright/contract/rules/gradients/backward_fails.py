"""GRD010 backward-fails."""

from collections.abc import Iterator

from layerwright.contract.evidence.gradient_passes import backward_attempt, leaf_inputs
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, Skip, rule

_NEED_BACKWARD = (
    *("GRD001", "GRD008", "GRD009", "GRD012", "GRD013"),
    *("TRN001", "TRN002", "TRN005", "TRN006", "NUM001", "NUM003", "MOD005"),
    *("CMP002", "CMP008", "DST001", "PRF001", "DTY005"),
)


@rule(
    "GRD010",
    "backward-fails",
    promise="whatever forward returns with a graph can be differentiated",
    family="gradients",
    needs=("train_forward",),
    explains=_NEED_BACKWARD,
    since="0.1",
)
def backward_fails(probe: Probe) -> Iterator[Finding]:
    """Runs forward and backward in training mode, with all inputs in the graph and with the first.

    ## Why is this bad
    Forward works, so that the first example of a training run looks fine, and `loss.backward()`
    raises: an operator wrote in place what another one had saved, or a formula returned a wrong
    shape.

    ## Bad
    ```python
    class Gate(nn.Module):
        def forward(self, x):
            gate = torch.sigmoid(x)
            gate += 1.0
            return x * gate


    case = Case(Gate, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Gate(nn.Module):
        def forward(self, x):
            gate = torch.sigmoid(x)
            return x * (gate + 1.0)


    case = Case(Gate, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Replace operators that write in place, `+=` and `x[...] = ` among them, by those that return a
    new tensor. `torch.autograd.set_detect_anomaly(True)` names the forward call.

    ## Limits
    A backward that raises by a `raise` of its own, and operators for which torch has no formula,
    say what they mean: the rule is skipped. Nothing is said of a layer whose outputs require no
    gradients.

    ## References
    - https://github.com/pytorch/pytorch/issues/9391: a sigmoid whose result is written
    """
    works: list[str] = []
    fails: list[tuple[str, LayerRaised]] = []
    for words, inputs in leaf_inputs(probe):
        try:
            ran, attempt = backward_attempt(probe, inputs, training=True)
        except Skip:  # nothing of it is in the graph
            continue
        if not ran:
            continue
        if attempt.raised:
            fails.append((words, attempt.raised))
        else:
            works.append(words)
    if not fails:
        return
    # Targets and masks need no gradient: it is enough when the first input and parameters work.
    if works and "only parameters in the graph" not in works[0]:
        return
    words, raised = fails[-1]
    if raised.place.text.startswith("raise "):
        probe.skip(f"its backward raises on purpose ({raised.place}): {raised.words}")
    if any(part in raised.words for part in ("not implemented", "NotImplementedError")):
        probe.skip(f"an operator that it uses has no derivative: {raised.words}")
    place = raised.place if raised.place.file else probe.place()
    yield Finding(
        where="backward",
        expected="gradients, as the outputs require them",
        found=f"with {words}, in training mode, backward raised {raised.words}",
        fix=_fix(raised.words),
        file=place.file,
        line=place.line,
    )


def _fix(words: str) -> str:
    if "inplace operation" in words:
        return "use the out-of-place operator where a tensor is written after it was used"
    if "invalid gradient" in words:
        return "return gradients with the shapes of the arguments of forward, in their order"
    if "incorrect number of gradients" in words:
        return "return one gradient for each argument of forward, None for those without"
    if "second time" in words:
        return "detach what is kept from an earlier call"
    return "run it once under torch.autograd.set_detect_anomaly(True), which names the forward call"
