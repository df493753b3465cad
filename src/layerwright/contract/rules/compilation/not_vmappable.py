"""CMP006 not-vmappable."""

import inspect
from collections.abc import Callable, Iterator

from torch.autograd import Function

from layerwright.contract.evidence.mapped_samples import (
    RefusedError,
    Samples,
    answers_differ,
    gradients_differ,
)
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.source import Place, is_torchs, place_of_class

_TORCHS = {"aten", "prim", "prims", "quantized"}  # namespaces of operators


@rule(
    "CMP006",
    "not-vmappable",
    promise="under torch.func.vmap a sample gets the answer and the gradients that it gets alone",
    family="compilation",
    severity="warning",
    tier="full",
    needs=("forward", "deterministic", "batch"),
    since="0.1",
)
def not_vmappable(probe: Probe) -> Iterator[Finding]:
    """Maps the layer over samples with `torch.func.vmap`, and compares with one after the other.

    The answers are compared, and the gradients of parameters and inputs (`vmap(grad(...))`), in
    eval mode. Three findings are possible. An error: the layer's own `autograd.Function` or
    operator has a rule for vmap, and with it a sample gets other numbers than alone. A warning: the
    Function has a rule, and raises under vmap. A note: the Function has none.

    ## Why is this bad
    Per-sample gradients, ensembles, Jacobians and influence functions map a layer over samples.
    torch trusts a Function's own rule: a wrong one mixes samples, and nothing raises.

    ## Bad
    ```python
    class Center(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return x - x.mean(1, keepdim=True)

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, grad):
            return grad - grad.mean(1, keepdim=True)

        @staticmethod
        def vmap(info, in_dims, x):
            return Center.apply(x), in_dims[0]


    class Centered(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x):
            return Center.apply(self.linear(x))


    case = Case(Centered, inputs=(torch.randn(3, 4),))
    ```

    ## Good
    ```python
    class Center(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x - x.mean(1, keepdim=True)

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, grad):
            return grad - grad.mean(1, keepdim=True)


    class Centered(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x):
            return Center.apply(self.linear(x))


    case = Case(Centered, inputs=(torch.randn(3, 4),))
    ```

    ## How to fix
    Where forward and backward are made of torch's operators, set `generate_vmap_rule = True` and
    move what forward does with ctx to `setup_context(ctx, inputs, output)`. A `vmap` of your own
    finds the samples along `in_dims[i]` of argument i, or None, and must keep them apart; it
    returns the outputs and the dimensions of their samples.

    ## Limits
    Judged is what the layer's own Functions and operators do. What torch refuses to map, such as
    `.item()`, a branch on a value, a recurrent layer of torch or writing a sample into a plain
    tensor, is no fault: the rule is skipped, with that reason.

    ## References
    - https://docs.pytorch.org/docs/stable/notes/extending.func.html
    - https://github.com/state-spaces/mamba/issues/239: a Function without setup_context
    - https://github.com/flatironinstitute/pytorch-finufft/issues/95: another
    """
    batch = probe.batch
    if batch is None:
        probe.skip("no dimension with independent samples was found")
    samples, functions = Samples(probe, batch), _functions(probe)
    for what, differs in (("answers", answers_differ), ("gradients", gradients_differ)):
        try:
            words = differs(samples)
        except RefusedError as refused:
            yield _refusal(probe, functions, refused.error, what)
            return
        if words is None:
            continue
        where, place = _culprit(probe, functions) or ("", probe.place())
        if not where:
            probe.skip(f"torch's own operators give other {what} under vmap: {words}")
        _confirm(Samples(probe, batch, double=True), differs, words)
        yield Finding(
            where=where,
            severity="error",
            expected=f"the {what} of each sample alone",
            found=f"under vmap {words}",
            fix="set generate_vmap_rule = True in place of a vmap of your own, or keep the samples "
            "apart along in_dims",
            file=place.file,
            line=place.line,
        )
        return


def _confirm(samples: Samples, differs: Callable[[Samples], str | None], words: str) -> None:
    """End the rule unless float64 differs too: a rounding may tip a quantiser or a maximum."""
    try:
        if differs(samples) is not None:
            return
    except (LayerRaised, RefusedError):
        samples.probe.skip(f"float64 cannot confirm what float32 gives under vmap: {words}")
    samples.probe.skip(f"a rounding decides what it gives under vmap: {words}")


def _functions(probe: Probe) -> list[type[Function]]:
    """Return the autograd Functions of a training pass, torch's own excepted."""
    try:
        found = [cls for cls, _ in probe.functions if not is_torchs(cls)]
    except LayerRaised:
        return []
    return list(dict.fromkeys(found))


def _culprit(probe: Probe, functions: list[type[Function]]) -> tuple[str, Place] | None:
    """Return the Function, or else the operator, that has a rule for vmap of its own."""
    for cls in functions:
        if _has_rule(cls):
            return cls.__name__, place_of_class(cls if cls.generate_vmap_rule else cls.vmap)
    for call in probe.ops:
        if call.namespace not in _TORCHS:
            return call.name, call.place
    return None


def _has_rule(cls: type[Function]) -> bool:
    return bool(cls.generate_vmap_rule) or cls.vmap is not Function.vmap


def _refusal(probe: Probe, functions: list[type[Function]], error: Exception, what: str) -> Finding:
    """Return what an error under vmap says about the layer's own Functions, or skip."""
    raised = LayerRaised(error)
    for cls in functions:
        if _has_rule(cls) and _passed_through(error, cls):
            if isinstance(error, NotImplementedError):
                break  # it says itself that it has none
            return Finding(
                where=cls.__name__,
                severity="warning",
                expected=f"the {what} under vmap: it has a rule for it",
                found=f"its rule raised {raised.words[:200]}",
                fix="write a vmap that calls what torch can map, or leave the rule out",
                file=raised.place.file,
                line=raised.place.line,
            )
    without = [
        cls
        for cls in functions
        if not _has_rule(cls) or cls.setup_context is Function.setup_context
    ]
    if not without:
        probe.skip(f"torch cannot map it: {raised.words}")
    place = place_of_class(without[0])
    return Finding(
        where=", ".join(cls.__name__ for cls in without),
        severity="note",
        expected=f"the {what} under vmap, as of each sample alone",
        found=f"it has no rule for vmap: {raised.words[:200]}",
        fix="split forward into forward and setup_context, and set generate_vmap_rule = True",
        file=place.file,
        line=place.line,
    )


def _passed_through(error: Exception, cls: type[Function]) -> bool:
    """Tell whether an error came out of a method of the Function."""
    codes = {
        inspect.unwrap(method).__code__
        for name in ("forward", "setup_context", "backward", "vmap")
        if inspect.isfunction(method := getattr(cls, name))
    }
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in codes:
            return True
        trace = trace.tb_next
    return False
