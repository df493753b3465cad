"""NET002 unused-layer."""

from collections.abc import Iterator

from torch import nn

from layerwright.contract.evidence.mentions import may_read
from layerwright.contract.evidence.usage import parts_that_ran, place_of_part, unread_parameters
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule


@rule(
    "NET002",
    "unused-layer",
    promise="every part that the constructor makes is used somewhere",
    family="networks",
    severity="warning",
    needs=("forward", "train_forward", "deterministic"),
    explains=("TRN001", "DST001"),
    since="0.1",
)
def unused_layer(probe: Probe) -> Iterator[Finding]:
    """Looks for submodules that never run, whose weights change nothing, and that no method reads.

    ## Why is this bad
    A dropout or a normalisation that was declared and forgotten is printed by `repr`, and people
    believe that it works. Unused weights cost memory and stop DistributedDataParallel.

    ## Bad
    ```python
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(8, 16)
            self.dropout = nn.Dropout(0.5)
            self.fc2 = nn.Linear(16, 3)

        def forward(self, x):
            return self.fc2(torch.relu(self.fc1(x)))


    case = Case(Net, inputs=(torch.randn(4, 8),))
    ```

    ## Good
    ```python
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(8, 16)
            self.dropout = nn.Dropout(0.5)
            self.fc2 = nn.Linear(16, 3)

        def forward(self, x):
            return self.fc2(self.dropout(torch.relu(self.fc1(x))))


    case = Case(Net, inputs=(torch.randn(4, 8),))
    ```

    ## How to fix
    Call the part in forward, or delete it from the constructor.

    ## Limits
    A part that any method reads, on a branch that these inputs do not take or for other code to
    call, is not reported; nor is a part of a module of torch.
    """
    layer = probe.layer()
    ran = parts_that_ran(probe)
    silent = [
        path
        for path, module in layer.named_modules()
        if path and path not in ran and not _below_used(path, ran) and not _empty(module)
    ]
    top = [path for path in silent if not any(path.startswith(f"{up}.") for up in silent)]
    suspects = [path for path in top if not may_read(layer, path)]
    if not suspects:
        return
    unread = set(unread_parameters(probe, frozen=True)) if list(layer.parameters()) else set()
    for path in suspects:
        module = layer.get_submodule(path)
        names = [
            name
            for name, item in layer.named_parameters()
            if name.startswith(f"{path}.") and item.numel()
        ]
        if any(name not in unread for name in names) or (
            names and all(map(probe.traits.may_be_unused, names))
        ):
            continue
        if _is_shared(layer, module, path):
            continue
        own = path.rpartition(".")[2]
        place = place_of_part(layer, path)
        count = sum(item.numel() for item in module.parameters())
        yield Finding(
            where=path,
            expected="it runs, or its weights are read, in eval or training mode",
            found=f"{type(module).__name__} never runs"
            + (f", and no value of its {count} weights matters" if count else "")
            + "; no method reads it",
            fix=f"call self.{own} in forward, or delete it",
            file=place.file,
            line=place.line,
        )


def _below_used(path: str, ran: set[str]) -> bool:
    """Tell whether something inside this part runs: it groups parts, and need not run itself."""
    return any(other.startswith(f"{path}.") for other in ran)


def _empty(module: nn.Module) -> bool:
    """Tell whether a container holds nothing, or a part is a placeholder that does nothing."""
    groups = nn.ModuleList | nn.ModuleDict | nn.Sequential | nn.ParameterList | nn.ParameterDict
    if isinstance(module, nn.ParameterList | nn.ParameterDict):
        return True  # its parameters are read one by one; TRN001 judges them
    if isinstance(module, nn.Identity):
        return True
    return isinstance(module, groups) and len(module) == 0


def _is_shared(layer: nn.Module, module: nn.Module, path: str) -> bool:
    """Tell whether the part, or its weights, are also known by another name."""
    names = [name for name, item in layer.named_modules(remove_duplicate=False) if item is module]
    own = {id(item) for item in module.parameters()}
    outside = {
        id(item)
        for name, item in layer.named_parameters(remove_duplicate=False)
        if not name.startswith(f"{path}.")
    }
    return len(names) > 1 or bool(own & outside)
