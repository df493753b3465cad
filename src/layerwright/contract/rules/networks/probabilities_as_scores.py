"""NET008 probabilities-as-scores."""

from collections.abc import Iterator

from torch import Tensor

from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.torch_compat.dispatch import OpCall

_SOFTMAX = ("_softmax",)
_SIGMOID = ("sigmoid", "sigmoid_")
# What takes scores, and what would have made probabilities of them.
_TAKES_SCORES = {
    "_softmax": _SOFTMAX,
    "_log_softmax": _SOFTMAX,
    "sigmoid": _SIGMOID,
    "sigmoid_": _SIGMOID,
    "log_sigmoid_forward": _SIGMOID,
    "binary_cross_entropy_with_logits": _SIGMOID,
}
# Operators behind which the values are the same.
_SAME_VALUES = {
    "view", "_unsafe_view", "_reshape_alias", "transpose", "permute", "t", "unsqueeze", "squeeze",
    "expand", "clone", "_to_copy", "detach", "alias", "lift_fresh",
}  # fmt: skip
_ONE = 1e-3


@rule(
    "NET008",
    "probabilities-as-scores",
    promise="what is a probability already goes through no softmax or sigmoid again",
    family="networks",
    severity="warning",
    needs=("forward", "float_outputs"),
    since="0.1",
)
def probabilities_as_scores(probe: Probe) -> Iterator[Finding]:
    """Follows what comes out of a softmax or a sigmoid to where it is taken for scores again.

    ## Why is this bad
    `F.cross_entropy` and `F.binary_cross_entropy_with_logits` apply softmax and sigmoid themselves.
    Fed with probabilities, a sure and right answer among ten classes still costs 1.46, gradients
    are small everywhere, and training looks slow instead of wrong.

    ## Bad
    ```python
    class WithLoss(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 3)

        def forward(self, x, target):
            return F.cross_entropy(self.linear(x).softmax(-1), target)


    case = Case(WithLoss, inputs=(torch.randn(4, 6), torch.tensor([0, 2, 1, 1])))
    ```

    ## Good
    ```python
    class WithLoss(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 3)

        def forward(self, x, target):
            return F.cross_entropy(self.linear(x), target)


    case = Case(WithLoss, inputs=(torch.randn(4, 6), torch.tensor([0, 2, 1, 1])))
    ```

    ## How to fix
    Hand the scores to the loss, and apply the softmax where probabilities are shown. Where only
    probabilities are there, take `F.nll_loss(p.log(), target)` or `F.binary_cross_entropy`.

    ## Limits
    Only what is passed on unchanged is followed: scaled, selected or masked probabilities may be
    meant as scores. A loss outside of the layer is judged by NET005. It is a warning, for two in a
    row may be meant, as a very soft distribution.

    ## References
    - https://github.com/ariecattan/SciCo/issues/2: a loss that stopped falling at 0.74
    - https://github.com/bowang-lab/Transformer-GCN-QA/pull/32: the same in training
    """
    maker: dict[int, OpCall] = {}  # which softmax or sigmoid made the values of a tensor
    for call in probe.ops:
        name = _base(call)
        source = call.tensors_in[0] if call.tensors_in else None
        made_by = maker.get(id(source))
        if (
            source is not None
            and made_by is not None
            and _base(made_by) in _TAKES_SCORES.get(name, ())
            and _are_probabilities(call, source)
        ):
            yield _finding(probe, made_by, call)
            return
        if name in (*_SOFTMAX, *_SIGMOID):
            maker.update((id(output), call) for output in call.tensors_out)
        elif name in _SAME_VALUES and made_by is not None:
            maker.update((id(output), made_by) for output in call.tensors_out)


def _base(call: OpCall) -> str:
    """Return "view" for aten::view.dtype; what is no operator of torch has no such name."""
    return call.name.split("::")[-1].split(".")[0] if call.namespace == "aten" else ""


def _are_probabilities(call: OpCall, values: Tensor) -> bool:
    """Tell whether the values are what the first operator made, along the dimension of this one."""
    if "softmax" not in _base(call):
        return bool(((values >= 0) & (values <= 1)).all())
    dim = call.args[1]
    sums = values.double().sum(dim)
    return values.shape[dim] > 1 and bool(((sums - 1).abs() < _ONE).all())


def _finding(probe: Probe, first: OpCall, second: OpCall) -> Finding:
    place = second.place if second.place.file else probe.place()
    kind = "softmax" if _base(first) in _SOFTMAX else "sigmoid"
    return Finding(
        where=place.text or "forward",
        expected="scores, which may be any numbers",
        found=f"the probabilities of a {kind} ({first.place.text or 'in forward'}) go into "
        f"{second.name}, which makes probabilities of scores",
        fix=f"leave out the first {kind}, or write the loss for probabilities",
        file=place.file,
        line=place.line,
    )
