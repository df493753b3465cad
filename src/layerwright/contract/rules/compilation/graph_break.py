"""CMP001 graph-break."""

from collections.abc import Iterator

from layerwright.contract.evidence.compiled_pass import traced
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule


@rule(
    "CMP001",
    "graph-break",
    promise="torch.compile turns forward into one graph",
    family="compilation",
    severity="warning",
    tier="full",
    explains=("CMP003",),
    excused_by=("data_dependent_shape",),
    since="0.1",
)
def graph_break(probe: Probe) -> Iterator[Finding]:
    """Compiles a copy of the layer as a whole graph, in both modes, and says where that ends.

    ## Why is this bad
    At every break the compiler hands over to Python: it fuses nothing across it, and CUDA graphs
    and export do not work at all.

    ## Bad
    ```python
    class Normalize(nn.Module):
        def forward(self, x):
            if x.abs().max() > 1.0:
                x = x / x.abs().max()
            return x


    case = Case(Normalize, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Normalize(nn.Module):
        def forward(self, x):
            return x / x.abs().amax(dim=-1, keepdim=True).clamp(min=1.0)


    case = Case(Normalize, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Write the decision as an operator: `torch.where`, `clamp`, a mask. Move prints, `.item()` and
    numpy out of forward. A layer whose work depends on the values of its inputs on purpose says
    so: `@lw.traits(data_dependent_shape=True)`.

    ## Limits
    The first break of each mode is told. It is a warning where the user's own line breaks, and a
    note where code of torch does that this line calls. Modules of torch itself are not judged.

    ## References
    - https://github.com/pytorch/pytorch/issues/115774: state of a module that breaks compilation
    """
    for training in (False, True):
        result = traced(probe, training=training)
        refused = result.refused
        if refused is None:
            if result.failed and not training:
                probe.skip(f"it could not be compiled: {result.failed}")
            continue
        if not refused.broken:
            probe.skip(f"the compiler failed: {refused.words}")
        if not refused.stopped_by:
            probe.skip(f"code of torch breaks the graph: {refused.words}")
        at = f" at `{refused.text}`" if refused.text else ""
        yield Finding(
            where=f"forward in {'training' if training else 'eval'} mode",
            expected="one graph",
            found=f"it ends{at}: {refused.words}",
            fix="write it with tensor operators (torch.where, clamp, a mask), or move it out of "
            "forward",
            severity="warning" if refused.stopped_by == "user" else "note",
            file=refused.place.file,
            line=refused.place.line,
        )
        return
