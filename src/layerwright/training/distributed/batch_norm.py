"""Batch norm over the whole batch, of which each process holds a part.

`torch.nn.SyncBatchNorm` is for GPUs alone and for the classes of `torch.nn`. Here the operator,
`torch.nn.functional.batch_norm`, is replaced for as long as a forward pass runs: whichever layer
calls it, on whichever device.
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

from layerwright.errors import ShapeError


class FindBatchNorm(TorchFunctionMode):
    """While entered, notes in `found` whether statistics of a batch are taken by batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.found = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Look at each call, and pass it on."""
        kwargs = kwargs or {}
        if func is F.batch_norm and _arguments(*args, **kwargs)["training"]:
            self.found = True
        return func(*args, **kwargs)


class SynchronisedBatchNorm(TorchFunctionMode):
    """While entered, batch norm in training takes its statistics over all processes.

    Forward and backward each cost one collective a call. The statistics are merged in float64 in
    the order of the ranks, so that every process gets the same bits.

    Attributes:
        counts: whether this process's samples belong to the batch; those of a stand-in do not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts = True

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replace batch norm in training, and pass everything else on."""
        kwargs = kwargs or {}
        if func is not F.batch_norm:
            return func(*args, **kwargs)
        given = _arguments(*args, **kwargs)
        if not given["training"]:
            return func(*args, **kwargs)
        return _BatchNorm.apply(  # type: ignore[no-untyped-call]
            given["input"],
            given["weight"],
            given["bias"],
            given["running_mean"],
            given["running_var"],
            given["momentum"],
            given["eps"],
            self.counts,
        )


def _arguments(  # torch.nn.functional.batch_norm's own signature
    input: Tensor,  # noqa: A002
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,  # noqa: FBT001, FBT002
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> dict[str, Any]:
    return locals()


class _BatchNorm(torch.autograd.Function):
    """Normalises by the mean and variance of the samples of all processes.

    With n values of a channel, mean m and variance v over all processes, and g the gradient of the
    output times the weight, the gradient of the input is (Ioffe and Szegedy, 2015,
    https://arxiv.org/abs/1502.03167)

        (g - Σ g / n - (x - m) Σ g (x - m) / (n (v + eps))) / sqrt(v + eps)

    with sums over all processes.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        momentum: float,
        eps: float,
        counts: bool,  # noqa: FBT001
    ) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        mean, var, count = _merged_statistics(wide, counts=counts)
        if count < 2:
            raise ShapeError(
                f"batch norm expected more than one value per channel over all processes, "
                f"received {int(count)}. Fix: give larger batches."
            )
        with torch.no_grad():
            if running_mean is not None:
                running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            if running_var is not None:
                unbiased = var * (count / (count - 1))
                running_var.lerp_(unbiased.to(running_var.dtype), momentum)
        mean, var = mean.to(wide.dtype), var.to(wide.dtype)
        output = F.batch_norm(
            wide,
            mean,
            var,
            None if weight is None else weight.to(wide.dtype),
            None if bias is None else bias.to(wide.dtype),
            training=False,
            eps=eps,
        )
        ctx.save_for_backward(x, weight, bias, mean, (var + eps).rsqrt())
        ctx.count, ctx.counts = count, counts
        return output.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, invstd = ctx.saved_tensors
        shape = [1, -1] + [1] * (x.dim() - 2)
        dims = [dim for dim in range(x.dim()) if dim != 1]
        wide = grad.to(mean.dtype)
        centred = x.to(mean.dtype) - mean.view(shape)
        own = torch.stack([wide.sum(dims), (wide * centred).sum(dims)])
        if not ctx.counts:  # a stand-in: its loss counts nothing, and 0 * NaN must neither
            own = torch.zeros_like(own)
        whole = own.to(torch.float64, copy=True)  # reduced in place
        dist.all_reduce(whole)
        sums = (whole / ctx.count).to(mean.dtype)
        grad_x = None
        if ctx.needs_input_grad[0]:
            if ctx.counts:
                scale = invstd if weight is None else invstd * weight.to(mean.dtype)
                along = centred * (invstd.square() * sums[1]).view(shape)
                grad_x = (wide - sums[0].view(shape) - along) * scale.view(shape)
                grad_x = grad_x.to(x.dtype)
            else:
                grad_x = torch.zeros_like(x)
        grad_weight = None if weight is None else (own[1] * invstd).to(weight.dtype)
        grad_bias = None if bias is None else own[0].to(bias.dtype)
        return grad_x, grad_weight, grad_bias, None, None, None, None, None


def _merged_statistics(x: Tensor, *, counts: bool) -> tuple[Tensor, Tensor, float]:
    """Return mean and variance of each channel over all processes, float64, and their count.

    Merged by the formula of Chan, Golub and LeVeque (1983), "Algorithms for computing the sample
    variance", which does not subtract large sums of squares from each other.
    """
    dims = [dim for dim in range(x.dim()) if dim != 1]
    channels = x.shape[1]
    own = torch.zeros(2 * channels + 1, dtype=torch.float64, device=x.device)
    if counts:
        var, mean = torch.var_mean(x, dims, correction=0)
        own[:channels], own[channels:-1] = mean, var
        own[-1] = x.numel() // max(channels, 1)
    parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, own)
    mean, squares, count = torch.zeros_like(own[:channels]), torch.zeros_like(own[:channels]), 0.0
    for part in parts:
        new = float(part[-1])
        if new:
            total = count + new
            step = part[:channels] - mean
            squares = squares + part[channels:-1] * new + step.square() * (count * new / total)
            mean = mean + step * (new / total)
            count = total
    return mean, squares / max(count, 1.0), count
