"""NET005 loss-expects-logits."""

from collections.abc import Iterator

import torch
from torch import Tensor

from layerwright.contract.comparing import number
from layerwright.contract.evidence.distributions import (
    Rows,
    kind_of_rows,
    outputs_on_several_inputs,
)
from layerwright.contract.evidence.losses import (
    Trial,
    applies_sigmoid,
    follows_shifts,
    normalizes_itself,
    trial,
)
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import place_of_attribute


@rule(
    "NET005",
    "loss-expects-logits",
    promise="the output is what the loss takes: scores, probabilities or log-probabilities",
    family="networks",
    needs=("forward", "train_forward", "float_outputs", "loss"),
    explains=("TRN004",),
    since="0.1",
)
def loss_expects_logits(probe: Probe) -> Iterator[Finding]:
    """Compares what the rows of the output are with what the loss does to them.

    A loss that does not care for a number added to a whole row applies the softmax itself.

    ## Why is this bad
    `nn.CrossEntropyLoss` behind a softmax squeezes everything once more: for ten classes the loss
    cannot fall below 1.46, gradients are small, and training looks slow instead of wrong.
    `nn.NLLLoss` on raw scores falls without limit and says nothing about the classes.

    ## Bad
    ```python
    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(6, 3)

        def forward(self, x):
            return torch.softmax(self.fc(x), dim=1)


    case = Case(
        Classifier,
        inputs=(torch.randn(4, 6),),
        loss=nn.CrossEntropyLoss(),
        target=torch.tensor([0, 2, 1, 0]),
    )
    ```

    ## Good
    ```python
    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(6, 3)

        def forward(self, x):
            return self.fc(x)


    case = Case(
        Classifier,
        inputs=(torch.randn(4, 6),),
        loss=nn.CrossEntropyLoss(),
        target=torch.tensor([0, 2, 1, 0]),
    )
    ```

    ## How to fix
    Return scores with `nn.CrossEntropyLoss` and `nn.BCEWithLogitsLoss`, log-probabilities with
    `nn.NLLLoss`, probabilities with `nn.BCELoss`.

    ## Limits
    Log-probabilities into `nn.CrossEntropyLoss` are a note: the second log_softmax changes nothing.
    The output must be one tensor; it is looked at in training mode, where the loss is used.

    ## References
    - https://github.com/Lightning-Universe/lightning-bolts/issues/654
    - https://github.com/bkitano/llama-from-scratch/issues/5
    """
    loss = trial(probe)
    outputs = [item.float() for item in outputs_on_several_inputs(probe)]
    if not outputs:
        probe.skip("the output is not one floating-point tensor")
    first = outputs[0]
    if loss(first) is None:
        probe.skip("the loss does not work on this output; NET007 tells why")
    kind = kind_of_rows(probe)
    rows = first.dim() >= 2 and first.shape[1] > 1
    found = None
    if rows and normalizes_itself(loss, _scores(first)):
        found = _behind_softmax(kind, loss, first)
    elif rows and _has_classes(loss) and follows_shifts(loss, _scores(first)):
        found = _raw_scores(kind, first)
    elif applies_sigmoid(loss, first):
        found = _behind_sigmoid(outputs, loss)
    if found is None:
        return
    severity, found_words, fix = found
    place = place_of_attribute(probe.subject.layer, "forward")
    yield Finding(
        where="the output, with the loss",
        expected="scores, which may be any numbers"
        if "NLL" not in fix
        else "log-probabilities, whose exponentials sum to one",
        found=found_words,
        fix=fix,
        severity=severity,  # type: ignore[arg-type]
        file=place.file,
        line=place.line,
    )


def _scores(like: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(11)
    return torch.randn(like.shape, generator=generator).to(like)


def _has_classes(loss: Trial) -> bool:
    return isinstance(loss.target, Tensor) and not loss.target.is_floating_point()


def _behind_softmax(kind: Rows | None, loss: Trial, output: Tensor) -> tuple[str, str, str] | None:
    if kind is None or kind.dim != 1:
        return None
    if kind.name == "log-probabilities":
        return (
            "note",
            f"{kind.words}; the loss applies log_softmax again, which changes nothing",
            "return scores: the log_softmax of the network can go",
        )
    best = loss(torch.zeros_like(output).scatter(1, output.argmax(1, keepdim=True), 1.0))
    now, as_scores = loss(output), loss(output.clamp(min=1e-30).log())
    return (
        "error",
        (
            f"probabilities ({kind.words} on {kind.tries} inputs), and the loss applies a softmax "
            f"itself: it is {_number(now)} here, {_number(as_scores)} for their logarithms, "
            f"{_number(best)} when the network is sure of its classes"
        ),
        "return the scores without softmax",
    )


def _raw_scores(kind: Rows | None, output: Tensor) -> tuple[str, str, str] | None:
    if kind is not None and kind.name == "log-probabilities" and kind.dim == 1:
        return None
    sums = output.exp().sum(1)
    what = "probabilities" if kind is not None else "scores"
    return (
        "error",
        (
            f"{what} whose exponentials sum to [{_number(float(sums.min()))}, "
            f"{_number(float(sums.max()))}], and a loss that falls by what is added to all of them"
        ),
        "use nn.CrossEntropyLoss on scores, or end with log_softmax(dim=1) for nn.NLLLoss",
    )


def _behind_sigmoid(outputs: list[Tensor], loss: Trial) -> tuple[str, str, str] | None:
    low = min(float(item.min()) for item in outputs)
    high = max(float(item.max()) for item in outputs)
    if low < 0 or high > 1:
        return None
    now = loss(outputs[0])
    return (
        "error",
        (
            f"values in [{_number(low)}, {_number(high)}] on {len(outputs)} inputs, and the loss "
            f"applies a sigmoid itself: it sees no probability below 0.5, and is {_number(now)}"
        ),
        "return the scores without sigmoid, or use nn.BCELoss",
    )


def _number(value: float | None) -> str:
    return "nothing" if value is None else number(value)
