"""SER005 live-graph-on-self."""

import copy
from collections.abc import Iterator

from layerwright.contract.evidence.refusals import in_words, tensors_with_graph
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import place_of_attribute


@rule(
    "SER005",
    "live-graph-on-self",
    promise="no attribute keeps the graph of a forward pass",
    family="serialization",
    needs=("train_forward",),
    explains=("SER002", "PRF001"),
    since="0.1",
)
def live_graph_on_self(probe: Probe) -> Iterator[Finding]:
    """Looks for attributes that hang in the graph of a training pass after it.

    ## Why is this bad
    All activations of the pass stay in memory until the next one, `copy.deepcopy` refuses the
    layer, and a second backward pass through the stored tensor raises.

    ## Bad
    ```python
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.query = nn.Linear(4, 4)

        def forward(self, x):
            self.weights = torch.softmax(self.query(x) @ x.transpose(1, 2), dim=-1)
            return self.weights @ x


    case = Case(Attention, inputs=(torch.randn(3, 5, 4),))
    ```

    ## Good
    ```python
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.query = nn.Linear(4, 4)

        def forward(self, x):
            weights = torch.softmax(self.query(x) @ x.transpose(1, 2), dim=-1)
            return weights @ x


    case = Case(Attention, inputs=(torch.randn(3, 5, 4),))
    ```

    ## How to fix
    Store `tensor.detach()`, or return the tensor beside the output.

    ## Limits
    A single number with a graph is a note: an auxiliary loss is handed over in this way on
    purpose. Weights that a hook computes anew before each call are passed over.

    ## References
    - https://github.com/sktime/sktime/issues/10928
    - https://github.com/pytorch/pytorch/issues/54580
    - https://github.com/KindXiaoming/pykan/issues/443
    """
    layer = probe.layer(training=True)
    before = {held.name for held in tensors_with_graph(layer)}
    probe.call(layer, probe.inputs().requiring_grad())
    for held in tensors_with_graph(layer):
        if held.name in before or held.via == "closure":
            continue
        refused = ""
        try:
            copy.deepcopy(held.value)
        except Exception as error:  # noqa: BLE001 - torch's refusal is part of what is told
            refused = f"; copy.deepcopy of the layer raises {in_words(error)}"
        place = place_of_attribute(held.module, held.attribute)
        yield Finding(
            where=held.name,
            expected="no graph on an attribute after forward",
            found=f"a tensor of shape {tuple(held.value.shape)} with grad_fn "
            f"{held.value.grad_fn.name()}{refused}",
            fix=f"store {held.attribute} with .detach(), or return it beside the output",
            severity="note" if held.value.numel() == 1 else "error",
            file=place.file,
            line=place.line,
        )
