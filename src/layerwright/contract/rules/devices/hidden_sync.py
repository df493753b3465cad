"""DEV002 hidden-sync."""

from collections.abc import Iterator

from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.torch_compat.fake import elsewhere


@rule(
    "DEV002",
    "hidden-sync",
    promise="forward queues its work without asking the device for values",
    family="devices",
    severity="note",
    excused_by=("data_dependent_shape",),
    since="0.1",
)
def hidden_sync(probe: Probe) -> Iterator[Finding]:
    """Finds the first line of forward that asks for the values of a tensor on the device.

    ## Why is this bad
    A GPU works through a queue while Python runs ahead. `.item()`, `if tensor:`, `float(tensor)`,
    `.tolist()`, boolean indexing and `nonzero` make Python wait until the queue is empty, in every
    call. Compilers must break the graph there too.

    ## Bad
    ```python
    class Rescale(nn.Module):
        def forward(self, x):
            return x / max(1.0, x.abs().max().item())


    case = Case(Rescale, inputs=(torch.randn(3, 5),), traits={"mixes_batch": True})
    ```

    ## Good
    ```python
    class Rescale(nn.Module):
        def forward(self, x):
            return x / x.abs().amax(dim=1, keepdim=True).clamp(min=1.0)


    case = Case(Rescale, inputs=(torch.randn(3, 5),))
    ```

    ## How to fix
    Keep the value a tensor: `clamp`, `torch.where`, `maximum` and masks do what `max(...)`, `if`
    and boolean indexing do. Layers whose shapes depend on values, such as routers, say so with
    `@lw.traits(data_dependent_shape=True)`.

    ## Limits
    Only the first such line is named. Nothing is said about values of tensors on the CPU.
    """
    for training in (False, True):
        outcome = elsewhere(probe, training=training)
        if outcome.kind == "data-dependent" and outcome.on_device:
            yield Finding(
                where="forward",
                expected="no values of tensors on the device are needed while forward runs",
                found=f"{outcome.operator} waits for the device"
                + (f": {outcome.place.text}" if outcome.place.text else ""),
                fix="keep the value a tensor: torch.where, clamp, masks",
                file=outcome.place.file,
                line=outcome.place.line,
            )
            return
        if outcome.kind not in {"ok", "data-dependent"}:
            probe.skip(f"it does not run on another device ({outcome.kind}: {outcome.words})")
