"""GRD009 input-cut."""

from collections.abc import Iterator

from layerwright.contract.comparing import number
from layerwright.contract.evidence.gradient_cuts import all_cuts, path_of
from layerwright.contract.evidence.graph_exits import REMEDIES, words_of
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule

_MOST = 4  # inputs that are looked at closely


@rule(
    "GRD009",
    "input-cut",
    promise="an input that changes the output smoothly gets its whole gradient",
    family="gradients",
    needs=("train_forward", "float_inputs", "deterministic", "float_outputs"),
    explains=("NUM003",),
    excused_by=("stops_gradient",),
    since="0.1",
)
def input_cut(probe: Probe) -> Iterator[Finding]:
    """Compares gradient and measured slope of each input that leaves the graph by accident.

    Accidents are `.data`, `.item()`, `.tolist()`, numpy and `torch.tensor(x)`.

    ## Why is this bad
    All layers before this one learn from a gradient that is zero, or lacks a term. The loss goes
    down all the same, a little.

    ## Bad
    ```python
    class Standardize(nn.Module):
        def forward(self, x):
            return (x - torch.tensor(x.mean(1, keepdim=True).tolist())).tanh()


    case = Case(Standardize, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Standardize(nn.Module):
        def forward(self, x):
            return (x - x.mean(1, keepdim=True)).tanh()


    case = Case(Standardize, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Stay with tensor operators. A gradient that is to stop is stopped with `x.detach()`.

    ## Limits
    `.detach()` or `torch.no_grad()` anywhere on the way of the input are taken for purpose, and so
    is `.data` as long as some gradient flows beside it. Inputs of one value are settings, not data.
    """
    cuts = [cut for cut in all_cuts(probe) if cut.kind in REMEDIES]
    floats = [item for item in probe.inputs().floats() if item.tensor.numel() > 1]
    if not cuts or not floats:
        return
    reasons = []
    for place, item in enumerate(floats[:_MOST]):
        path = path_of(probe, f"input {item.name}")
        if not path.lost:
            continue
        if path.purpose:
            reasons.append(f"{item.name} is cut on purpose: {words_of(path.purpose)}")
            continue
        cut = path.accident
        if cut is None or cut.kind not in REMEDIES or (cut.kind == "data" and not path.total):
            continue
        claimed = "no gradient" if path.total else f"a gradient with slope {number(path.analytic)}"
        yield Finding(
            where=f"input {item.name}",
            expected=f"a slope of {number(path.numeric.value)} along a random direction",
            found=f"{claimed}: {words_of(cut)}",
            fix=REMEDIES[cut.kind],
            severity="error" if path.total and place == 0 else "warning",
            file=cut.place.file,
            line=cut.place.line,
        )
    if reasons:
        probe.skip(reasons[0])
