"""BAT005 not-causal."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from layerwright.contract.evidence.axes import changed_at, resized
from layerwright.contract.finding import Finding, Severity
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.trees import Inputs, is_float, named_tensors


class _Reach(NamedTuple):
    dim: int
    depends: Tensor  # (length of the output, length of the input)


@rule(
    "BAT005",
    "not-causal",
    promise="outputs of a causal layer depend on no later position",
    family="batch",
    needs=("forward", "deterministic"),
    since="0.1",
)
def not_causal(probe: Probe) -> Iterator[Finding]:
    """Changes one position after the other and notes which outputs move.

    A layer that declares the trait `causal` must move no earlier output. Any other layer is
    reported when its outputs see all of the past and exactly one step of the future: a causal mask
    that is off by one. That is an error if a mask of this very form was found in the pass.

    ## Why is this bad
    The layer sees the answer that it is trained to predict. The training loss is too good, and
    what it generates is useless.

    ## Bad
    ```python
    class Attention(nn.Module):
        def forward(self, x):
            hidden = torch.ones(x.shape[1], x.shape[1], device=x.device).triu(2).bool()
            scores = (x @ x.transpose(1, 2)).masked_fill(hidden, -torch.inf)
            return torch.softmax(scores, dim=-1) @ x


    case = Case(Attention, inputs=(torch.randn(2, 6, 4),))
    ```

    ## Good
    ```python
    class Attention(nn.Module):
        def forward(self, x):
            hidden = torch.ones(x.shape[1], x.shape[1], device=x.device).triu(1).bool()
            scores = (x @ x.transpose(1, 2)).masked_fill(hidden, -torch.inf)
            return torch.softmax(scores, dim=-1) @ x


    case = Case(Attention, inputs=(torch.randn(2, 6, 4),))
    ```

    ## How to fix
    Hide what lies above the diagonal, `triu(1)`; pad a convolution over time on the left only, by
    `(kernel_size - 1) * dilation`; normalise over features, not over time.

    ## Limits
    An input of one dimension has no positions. Without the trait, other kinds of leaks are not told
    from layers that look both ways on purpose.
    """
    promised = probe.traits.causal
    reaches = list(_reaches(probe, quick=not promised))
    if promised:
        if not reaches:
            probe.skip("no dimension of positions was found")
        if any(_is_causal(reach.depends) for reach in reaches):
            return
        reach = reaches[0]
        seen, at = _first_leak(reach.depends)
        yield _finding(probe, reach, f"output {at} changes with input {seen}", "error")
        return
    for reach in reaches:
        length = len(reach.depends)
        if bool((reach.depends == torch.ones(length, length).tril(1).bool()).all()):
            masked = _has_mask(probe, 2)
            words = "each output sees all earlier positions and exactly one later position"
            if masked:
                words += "; a mask in the pass hides what lies two or more above the diagonal"
            yield _finding(probe, reach, words, "error" if masked else "warning")
            return


def _reaches(probe: Probe, *, quick: bool) -> Iterator[_Reach]:
    """Yield what depends on what along each dimension of changeable length.

    Args:
        probe: of the layer.
        quick: give up where the first outputs move with the last position.
    """
    inputs = probe.inputs()
    tensors = inputs.tensors()
    if not tensors or tensors[0].tensor.dim() + (not is_float(tensors[0].tensor)) < 2:
        probe.skip("its first input has no positions")
    first = tensors[0]
    for dim in range(first.tensor.dim()):
        length = first.tensor.shape[dim]
        if (probe.batch is not None and probe.batch.dim == dim) or length < 2:
            continue
        names = tuple(
            item.name
            for item in tensors
            if item.tensor.dim() > dim and item.tensor.shape[dim] == length
        )
        for size in (8, length - 1):
            if size < 4:
                continue
            try:
                with torch.no_grad():
                    reach = _reach(
                        probe, resized(inputs, dim, names, size), dim, names, size, quick
                    )
            except (LayerRaised, RuntimeError):  # it does not accept this length
                continue
            if reach is not None:
                yield reach
            break


def _reach(
    probe: Probe,
    inputs: Inputs,
    dim: int,
    names: tuple[str, ...],
    size: int,
    quick: bool,  # noqa: FBT001 - private
) -> _Reach | None:
    base = _output(probe, inputs.clone())
    if base is None or base.dim() <= dim or base.shape[dim] != size:
        return None
    moved: dict[int, Tensor] = {}
    for index in reversed(range(size)):
        other = _output(probe, changed_at(inputs, dim, names, index))
        if other is None or other.shape != base.shape:
            return None
        rows = (other != base) & ~(other.isnan() & base.isnan())
        moved[index] = rows.movedim(dim, 0).flatten(1).any(1) if rows.dim() > 1 else rows
        if quick and index == size - 1 and bool(moved[index][: size - 2].any()):
            return None
    return _Reach(dim, torch.stack([moved[index] for index in range(size)], 1))


def _output(probe: Probe, inputs: Inputs) -> Tensor | None:
    found = list(named_tensors(probe.call(probe.layer(), inputs)))
    return found[0].tensor if found and is_float(found[0].tensor) else None


def _is_causal(depends: Tensor) -> bool:
    return not bool(depends.triu(1).any())


def _first_leak(depends: Tensor) -> tuple[int, int]:
    at, seen = (int(part) for part in depends.triu(1).nonzero()[0])
    return seen, at


def _has_mask(probe: Probe, diagonal: int) -> bool:
    """Whether a square mask in the pass hides exactly what lies above this diagonal."""
    for call in probe.ops:
        for tensor in call.tensors_in:
            if (
                tensor.dim() < 2
                or tensor.shape[-1] != tensor.shape[-2]
                or tensor.shape[-1] <= diagonal
            ):
                continue
            square = tensor.reshape(-1, *tensor.shape[-2:])[0]
            hidden = square if square.dtype == torch.bool else square <= -1e4
            form = torch.ones_like(hidden).triu(diagonal)
            if torch.equal(hidden, form) or (
                square.dtype == torch.bool and torch.equal(~hidden, form)
            ):
                return True
    return False


def _finding(probe: Probe, reach: _Reach, words: str, severity: Severity) -> Finding:
    place = probe.place()
    return Finding(
        where=f"forward, dimension {reach.dim}",
        expected="outputs that depend on no later position",
        found=words,
        fix="hide what lies above the diagonal (triu(1)); pad convolutions over time on the left",
        severity=severity,
        file=place.file,
        line=place.line,
    )
