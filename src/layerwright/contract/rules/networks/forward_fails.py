"""NET001 forward-fails."""

from collections.abc import Iterator

import torch

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.attributes import held_outside
from layerwright.contract.evidence.forward_errors import Scene, explained
from layerwright.contract.evidence.module_calls import recorded_calls
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.source import Place, place_of_attribute
from layerwright.contract.torch_compat.dispatch import OpRecorder


@rule(
    "NET001",
    "forward-fails",
    promise="forward works in eval mode on the example inputs",
    family="networks",
    needs=(),
    explains=(
        "MOD001", "MOD002", "MOD005", "MOD008", "GRD001", "GRD004", "GRD005", "GRD006", "GRD007",
        "GRD010", "GRD011", "SER002", "DEV001", "PUR009", "PUR010", "BAT001", "BAT002", "BAT003",
        "DTY001", "CMP001", "CMP003", "TRN001", "NET002",
    ),
    since="0.1",
)  # fmt: skip
def forward_fails(probe: Probe) -> Iterator[Finding]:
    """Runs forward in eval mode; if it raises, tells which part wanted what, and what arrived.

    ## Why is this bad
    The error of torch names two numbers and no layer: "mat1 and mat2 shapes cannot be multiplied".
    Nothing else can be judged before forward works.

    ## Bad
    ```python
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3, padding=1)
            self.fc = nn.Linear(8 * 7 * 7, 10)

        def forward(self, x):
            x = F.max_pool2d(torch.relu(self.conv(x)), 2)
            return self.fc(x.flatten(1))


    case = Case(Net, inputs=(torch.randn(4, 3, 16, 16),))
    ```

    ## Good
    ```python
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3, padding=1)
            self.fc = nn.Linear(8 * 8 * 8, 10)

        def forward(self, x):
            x = F.max_pool2d(torch.relu(self.conv(x)), 2)
            return self.fc(x.flatten(1))


    case = Case(Net, inputs=(torch.randn(4, 3, 16, 16),))
    ```

    ## How to fix
    Write the number that the finding names. Sizes behind convolutions follow from the image size:
    `x.flatten(1)`, and a first linear layer for channels * height * width features.

    ## Limits
    Skipped without example inputs. An error that a forward pass raises on purpose, for inputs that
    it refuses, is reported too: the example inputs are then the fault.
    """
    if probe.subject.inputs is None:
        probe.skip("no example inputs were given")
    attempt = probe.eval_attempt
    if attempt.raised is None:
        if attempt.output is None and _leaves_no_trace(probe):
            place = probe.place()
            yield Finding(
                where="forward",
                expected="an output",
                found="it returned None, and left layer and inputs as they were",
                fix="return the result at the end of forward",
                file=place.file,
                line=place.line,
            )
        return
    layer, inputs, recorder = probe.layer(), probe.inputs(), OpRecorder(with_places=False)
    raised = attempt.raised
    with torch.no_grad(), recorded_calls(layer) as calls, recorder:
        again = probe.attempt(lambda: probe.call(layer, inputs))
    if again.raised is not None and type(again.raised.error) is type(raised.error):
        raised = again.raised
    shapes = tuple(tuple(item.shape) for call in recorder.calls for item in call.tensors_out)
    scene = Scene(layer, inputs, calls, shapes, raised)
    words = explained(scene)
    path = scene.last.path if scene.last else ""
    place = _place(probe, raised, path)
    owner, _, name = path.rpartition(".")
    declared = place_of_attribute(layer.get_submodule(owner), name) if path else Place()
    line = f" (line {declared.line})" if declared.line and f".{name} " in declared.text else ""
    yield Finding(
        where=path or "forward",
        expected=words.expected,
        found=_with_error(words.found, raised),
        fix=words.fix + line,
        file=place.file,
        line=place.line,
    )


def _leaves_no_trace(probe: Probe) -> bool:
    """Tell whether a call changes neither state nor attributes nor inputs."""
    for training in (False, True):
        layer, inputs = probe.layer(training=training), probe.inputs()
        before = {key: value.clone() for key, value in layer.state_dict().items()}
        held = [(key, id(value)) for part in layer.modules() for key, value in vars(part).items()]
        with torch.no_grad():
            output = probe.call(layer, inputs)
        now = [(key, id(value)) for part in layer.modules() for key, value in vars(part).items()]
        if output is not None or held != now or difference(before, dict(layer.state_dict())):
            return False
        if difference(probe.inputs().args, inputs.args, exact=True):
            return False
    return not any(isinstance(item.value, list | dict | set) for item in held_outside(layer))


def _place(probe: Probe, raised: LayerRaised, path: str) -> Place:
    if raised.place.file is not None:
        return raised.place
    owner = path.rpartition(".")[0]
    return probe.place(probe.subject.layer.get_submodule(owner))


def _with_error(found: str, raised: LayerRaised) -> str:
    text = raised.words
    return found if text[:60] in found else f"{found}; it raised {text[:160]}"
