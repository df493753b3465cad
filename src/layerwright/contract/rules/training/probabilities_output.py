"""TRN004 probabilities-output."""

from collections.abc import Iterator

from layerwright.contract.evidence.distributions import kind_of_rows
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule


@rule(
    "TRN004",
    "probabilities-output",
    promise="a network returns scores, and the loss or the user turns them into probabilities",
    family="training",
    severity="note",
    needs=("forward", "train_forward", "parameters", "float_outputs"),
    since="0.1",
)
def probabilities_output(probe: Probe) -> Iterator[Finding]:
    """Tells that the outputs are probabilities or log-probabilities, on several inputs.

    ## Why is this bad
    It is not, if the loss knows it: log-probabilities belong to `nn.NLLLoss`, probabilities to
    `nn.BCELoss`. `nn.CrossEntropyLoss` takes scores and applies the softmax itself; behind
    probabilities it learns slowly and never becomes sure.

    ## Bad
    ```python
    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(6, 3)

        def forward(self, x):
            return torch.softmax(self.fc(x), dim=1)


    case = Case(Classifier, inputs=(torch.randn(4, 6),))
    ```

    ## Good
    ```python
    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(6, 3)

        def forward(self, x):
            return self.fc(x)


    case = Case(Classifier, inputs=(torch.randn(4, 6),))
    ```

    ## How to fix
    Return the scores and train with `nn.CrossEntropyLoss`; call softmax where probabilities are
    shown. Or keep `log_softmax` and train with `nn.NLLLoss`.

    ## Limits
    Only layers with trained parameters and one output tensor: a softmax alone is no network.
    Skipped when a loss is given: NET005 judges both together.

    ## References
    - https://github.com/Lightning-Universe/lightning-bolts/issues/654
    - https://github.com/bkitano/llama-from-scratch/issues/5
    """
    if probe.subject.loss is not None:
        probe.skip("a loss is given; NET005 judges output and loss together")
    kind = kind_of_rows(probe)
    if kind is None:
        return
    place = probe.place()
    log = kind.name == "log-probabilities"
    loss = "nn.NLLLoss" if log else "nn.NLLLoss behind torch.log, or nn.BCELoss"
    yield Finding(
        where=f"the output, dimension {kind.dim}",
        expected="scores, which may be any numbers",
        found=f"{kind.name}: {kind.words} on {kind.tries} inputs",
        fix=f"train with {loss}, not with nn.CrossEntropyLoss; or return the scores",
        file=place.file,
        line=place.line,
    )
