"""GRD003 strided-gradient."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.replaying import Replay, replays
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, Skip, rule


@rule(
    "GRD003",
    "strided-gradient",
    promise="backward gives the same gradients whatever the strides of what it receives",
    family="gradients",
    needs=(),
    since="0.1",
)
def strided_gradient(probe: Probe) -> Iterator[Finding]:
    """Sends the same gradient back in contiguous, strided, transposed and broadcast memory.

    It does so to each custom backward formula alone, and also moves the arguments of forward into
    transposed memory.

    ## Why is this bad
    `loss = output.sum()` sends a broadcast gradient, a transpose after the layer sends a transposed
    one. A kernel that walks plain memory then reads other numbers.

    ## Bad
    ```python
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, grad_output):
            return 2 * grad_output.view(-1).view(grad_output.shape)


    class DoubleLayer(nn.Module):
        def forward(self, x):
            return Double.apply(x)


    case = Case(DoubleLayer, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, grad_output):
            return 2 * grad_output.reshape(-1).view(grad_output.shape)


    class DoubleLayer(nn.Module):
        def forward(self, x):
            return Double.apply(x)


    case = Case(DoubleLayer, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Call `grad_output = grad_output.contiguous()` first, or `reshape` in place of `view`. A kernel
    uses the strides of each tensor, not those of another.

    ## References
    - https://github.com/pytorch/pytorch/issues/194719: gradcheck sends contiguous gradients only
    - https://github.com/Dao-AILab/flash-attention/issues/355
    - https://github.com/open-mmlab/mmcv/pull/737
    """
    seen: set[str] = set()
    for replay in replays(probe):
        if replay.name in seen:
            continue
        for finding in _of(probe, replay):
            seen.add(replay.name)
            yield finding
            break


def _of(probe: Probe, replay: Replay) -> Iterator[Finding]:
    for words, change, plain in _VARIANTS:
        expected = probe.attempt(lambda plain=plain: _sent(replay, plain))  # type: ignore[misc]
        again = probe.attempt(lambda plain=plain: _sent(replay, plain))  # type: ignore[misc]
        if expected.raised or again.raised or difference(expected.output, again.output):
            return
        yield from _compared(
            replay,
            f"a {words} gradient",
            expected.output,
            probe.attempt(lambda change=change: _sent(replay, change)),  # type: ignore[misc]
        )
    moved = probe.attempt(lambda: _moved(replay))
    if moved.raised or moved.output is None:
        return
    expected = probe.attempt(lambda: _sent(replay, torch.clone))
    if not expected.raised:
        yield from _compared(replay, "arguments in transposed memory", expected.output, moved)


def _compared(replay: Replay, what: str, expected: object, actual: object) -> Iterator[Finding]:
    raised: LayerRaised | None = getattr(actual, "raised", None)
    words = (
        f"raised {raised.words}"
        if raised
        else difference(expected, getattr(actual, "output", None), tolerance=1e-4)
    )
    if words:
        place = raised.place if raised and raised.place.file else replay.place
        yield Finding(
            where=f"backward of {replay.name}",
            expected=f"for {what} what it returns for the same values in contiguous memory",
            found=f"backward {words}" if raised else words,
            fix="make grad_output contiguous first, or follow the strides of each tensor",
            file=place.file,
            line=place.line,
        )


def _sent(replay: Replay, change: Callable[[Tensor], Tensor]) -> list[Tensor | None]:
    leaves = replay.leaves()
    outputs = replay.run(leaves)
    state = torch.get_rng_state()
    found = replay.gradients(leaves, outputs, [change(item) for item in replay.weights(outputs)])
    if not torch.equal(state, torch.get_rng_state()):
        raise Skip("its backward draws random numbers, in the order of memory")
    return found


def _moved(replay: Replay) -> list[Tensor | None] | None:
    """Return the gradients with the arguments in transposed memory; None if forward minds."""
    plain = replay.run(replay.leaves())
    leaves = [
        _transposed(leaf.detach()).requires_grad_(leaf.requires_grad)
        if isinstance(leaf, Tensor) and leaf.dim() > 1 and leaf.layout is torch.strided
        else leaf
        for leaf in replay.leaves()
    ]
    try:
        outputs = replay.run(leaves)
    except Exception:  # noqa: BLE001 - another rule looks at what forward bears
        return None
    if difference(plain, outputs, tolerance=1e-4):
        return None
    return replay.gradients(leaves, outputs, replay.weights(outputs))


def _strided(tensor: Tensor) -> Tensor:
    """Return the same values as every second element of a larger memory."""
    memory = tensor.new_full((*tensor.shape, 2), 777.0)
    memory[..., 0] = tensor
    return memory[..., 0]


def _transposed(tensor: Tensor) -> Tensor:
    if tensor.dim() < 2:
        return tensor.clone()
    return tensor.transpose(0, -1).clone(memory_format=torch.contiguous_format).transpose(0, -1)


def _ones(tensor: Tensor) -> Tensor:
    return torch.ones(tensor.shape, dtype=tensor.dtype, device=tensor.device)


def _broadcast(tensor: Tensor) -> Tensor:
    return torch.ones((), dtype=tensor.dtype, device=tensor.device).expand(tensor.shape)


_VARIANTS = (
    ("broadcast", _broadcast, _ones),
    ("transposed", _transposed, torch.clone),
    ("strided", _strided, torch.clone),
)
