"""REG006 super-init-missing."""

from collections.abc import Iterator

from torch import nn

from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import place_of_class
from layerwright.contract.unprepared import unprepared


@rule(
    "REG006",
    "super-init-missing",
    promise="a constructor calls super().__init__() before it assigns parts",
    family="registration",
    needs=("unbuilt",),
    explains=("REG013", "NET001", "MOD008", "REG001", "REG007", "SER001", "SER002", "REG008"),
    since="0.1",
)
def super_init_missing(probe: Probe) -> Iterator[Finding]:
    """Looks for modules that `nn.Module.__init__` never prepared, where one is met or raises.

    ## Why is this bad
    `nn.Module.__init__` makes the tables of parameters, buffers, submodules and hooks. Without
    them the first assignment of a part, or the first call, raises an AttributeError that does not
    name the line that is missing.

    ## Bad
    ```python
    class Swish(nn.Module):
        def __init__(self):
            self.beta = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return x * torch.sigmoid(self.beta * x)


    case = Case(Swish, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Swish(nn.Module):
        def __init__(self):
            super().__init__()
            self.beta = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return x * torch.sigmoid(self.beta * x)


    case = Case(Swish, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Make `super().__init__()` the first line of the constructor.

    ## References
    - https://github.com/pytorch/pytorch/issues/422
    - https://github.com/Genentech/gReLU/issues/188
    """
    found: dict[type, str] = {}
    for path, module in unprepared(probe.subject.layer):
        found.setdefault(type(module), path)
    for error, when in _errors(probe):
        for module in _modules_in(error):
            found.setdefault(type(module), when)
    for cls, where in found.items():
        place = place_of_class(cls)
        yield Finding(
            where=where,
            expected="super().__init__() as the first line of the constructor",
            found=f"{cls.__name__} has no table of parameters: nn.Module.__init__ did not run",
            fix=f"call super().__init__() first in {cls.__name__}.__init__",
            file=place.file,
            line=place.line,
        )


def _errors(probe: Probe) -> Iterator[tuple[BaseException, str]]:
    subject = probe.subject
    if subject.construction_error is not None:
        yield subject.construction_error, "the constructor"
    elif subject.inputs is not None:
        for attempt in (probe.eval_attempt, probe.train_attempt):
            if attempt.raised is not None:
                yield attempt.raised.error, "forward"


def _modules_in(error: BaseException) -> Iterator[nn.Module]:
    """Yield the modules whose lacking tables an AttributeError is about."""
    trace = error.__traceback__ if isinstance(error, AttributeError) else None
    while trace is not None:
        module = trace.tb_frame.f_locals.get("self")
        if isinstance(module, nn.Module) and "_parameters" not in vars(module):
            yield module
        trace = trace.tb_next
