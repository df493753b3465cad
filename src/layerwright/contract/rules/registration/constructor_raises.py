"""REG013 constructor-raises."""

from collections.abc import Iterator

from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import place_of_class, place_of_error
from layerwright.contract.unprepared import unprepared


@rule(
    "REG013",
    "constructor-raises",
    promise="a layer can be built with the arguments that its author gives",
    family="registration",
    needs=("unbuilt",),
    since="0.1",
)
def constructor_raises(probe: Probe) -> Iterator[Finding]:
    """Reports what the constructor raised, when the layer was handed over as a class or function.

    ## Why is this bad
    There is no layer: nothing else can be judged.

    ## Bad
    ```python
    class Heads(nn.Module):
        def __init__(self, dim=30, num_heads=4):
            super().__init__()
            self.norm = nn.GroupNorm(num_heads, dim)

        def forward(self, x):
            return self.norm(x)


    case = Case(Heads, inputs=(torch.randn(4, 30),))
    ```

    ## Good
    ```python
    class Heads(nn.Module):
        def __init__(self, dim=32, num_heads=4):
            super().__init__()
            self.norm = nn.GroupNorm(num_heads, dim)

        def forward(self, x):
            return self.norm(x)


    case = Case(Heads, inputs=(torch.randn(4, 32),))
    ```

    ## How to fix
    The finding names the line and the error. A constructor that needs arguments is checked as an
    instance, `lw.check(Heads(32), x)`, or with its arguments in the target.

    ## Limits
    A constructor that never called `super().__init__()` is reported by REG006 instead.
    """
    error = probe.subject.construction_error
    if error is None or any(unprepared(probe.subject.layer)):
        return
    place = place_of_error(error)
    if place.file is None:
        place = place_of_class(probe.subject.cls)
    text = " ".join(str(error).split())
    yield Finding(
        where="the constructor",
        expected="a layer",
        found=f"it raised {type(error).__name__}: {text[:300]}",
        fix=f"look at {place.text or place}",
        file=place.file,
        line=place.line,
    )
