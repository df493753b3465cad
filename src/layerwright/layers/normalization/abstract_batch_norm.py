"""The computation that batch normalisation shares over all numbers of dims."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layerwright.errors import OptionError, ShapeError


class AbstractBatchNorm(nn.Module):
    """Statistics, gain and bias per channel; a subclass says which shapes it takes.

    Parameters and buffers are named as in `torch.nn`, so that weights load either way.

    Args:
        num_features: size of `C`, the channel dim.
        eps: added to the variance, keeps the division finite.
        momentum: share of the new batch in the running statistics; None takes the plain mean over
            all batches seen.
        affine: learn a gain (`weight`) and a bias per channel.
        track_running_stats: keep running statistics and use them in eval mode; otherwise the
            batch's own are used in eval mode too.
        device: where parameters and buffers are created.
        dtype: their dtype.

    Raises:
        OptionError: num_features, eps or momentum is impossible.
    """

    weight: nn.Parameter | None  # the gain
    bias: nn.Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    # What a subclass takes: the numbers of dims, and the text of it; {0} stands for num_features.
    accepted_dims: tuple[int, ...]
    accepted_shapes: str

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,  # noqa: FBT001, FBT002 - positional as in torch.nn
        track_running_stats: bool = True,  # noqa: FBT001, FBT002
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if num_features < 1:
            raise OptionError(
                f"{name} expected num_features to be a whole number from 1, "
                f"received {num_features!r}."
            )
        if not eps > 0:
            raise OptionError(f"{name} expected eps to be a positive number, received {eps!r}.")
        if momentum is not None and not 0 <= momentum <= 1:
            raise OptionError(
                f"{name} expected momentum to be None or a share in [0, 1], received {momentum!r}."
            )
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats

        def per_channel() -> Tensor:
            return torch.empty(num_features, device=device, dtype=dtype)

        self.register_parameter("weight", nn.Parameter(per_channel()) if affine else None)
        self.register_parameter("bias", nn.Parameter(per_channel()) if affine else None)
        tracked = track_running_stats
        self.register_buffer("running_mean", per_channel() if tracked else None)
        self.register_buffer("running_var", per_channel() if tracked else None)
        count = torch.empty((), device=device, dtype=torch.long) if tracked else None
        self.register_buffer("num_batches_tracked", count)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget all batches: mean 0, variance 1."""
        if self.running_mean is not None:
            self.running_mean.zero_()
        if self.running_var is not None:
            self.running_var.fill_(1)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Set the gain to one and the bias to zero, and forget the running statistics."""
        self.reset_running_stats()
        if self.weight is not None:
            nn.init.ones_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x`; the class page has the formula and shapes."""
        accepted = self.accepted_shapes.format(self.num_features)
        check_channels(type(self).__name__, x, self.num_features, self.accepted_dims, accepted)
        mean, var, count = self.running_mean, self.running_var, self.num_batches_tracked
        if mean is None or var is None or count is None:
            return self._normalise_by_batch(x, None, None, 0.0)
        if not self.training:
            return F.batch_norm(x, mean, var, self.weight, self.bias, False, 0.0, self.eps)
        if not self.track_running_stats:  # switched off after construction
            return self._normalise_by_batch(x, None, None, 0.0)
        if self.momentum is not None:
            y = self._normalise_by_batch(x, mean, var, self.momentum)
            count.add_(1)
            return y
        # The plain mean over all batches is a momentum of 1 / count. The kernel takes momentum as
        # a Python number, which would have to wait for the device and break a compiled graph; at
        # momentum 1 it hands out the batch's own statistics, and the count stays a tensor.
        batch_mean, batch_var = torch.zeros_like(mean), torch.ones_like(var)
        y = self._normalise_by_batch(x, batch_mean, batch_var, 1.0)
        count.add_(1)
        share = count.to(mean.dtype).reciprocal()
        mean.lerp_(batch_mean, share)
        var.lerp_(batch_var, share)
        return y

    def _normalise_by_batch(
        self, x: Tensor, mean: Tensor | None, var: Tensor | None, momentum: float
    ) -> Tensor:
        """Normalise by the batch's own statistics and move `mean` and `var` towards them."""
        check_enough_values(type(self).__name__, x, self.num_features)
        return F.batch_norm(x, mean, var, self.weight, self.bias, True, momentum, self.eps)

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, track_running_stats={self.track_running_stats}"
        )


@torch.fx.wrap  # symbolic tracing records the call and leaves its decision to the run
def check_channels(
    layer: str, x: Tensor, num_features: int, dims: tuple[int, ...], accepted: str
) -> None:
    """Refuse an input of another number of dims or channels.

    Args:
        layer: name of the layer, for the message.
        x: the input.
        num_features: the number of channels, in dim 1.
        dims: the numbers of dims that are accepted.
        accepted: the shapes that are accepted, for the message.

    Raises:
        ShapeError: `x` has another shape.
    """
    if x.dim() not in dims or x.shape[1] != num_features:
        raise ShapeError(
            f"{layer} expected {accepted}, received {tuple(x.shape)}. "
            f"Fix: move channels to dim 1 or change num_features."
        )


@torch.fx.wrap
def check_enough_values(layer: str, x: Tensor, num_features: int) -> None:
    """Refuse a batch that has no variance.

    Args:
        layer: name of the layer, for the message.
        x: the input.
        num_features: the number of channels.

    Raises:
        ShapeError: `x` holds fewer than two values per channel.
    """
    if x.numel() < 2 * num_features:
        raise ShapeError(
            f"{layer} expected at least two values per channel to take a variance from, "
            f"received {tuple(x.shape)}. "
            f"Fix: a larger batch, drop_last=True for the last one, or eval mode."
        )
