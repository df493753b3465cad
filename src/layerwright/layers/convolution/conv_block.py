"""Convolution block: what follows a convolution in most networks, in one layer."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from layerwright.errors import OptionError
from layerwright.layers.activation.relu import ReLU
from layerwright.layers.activation.sigmoid import Sigmoid
from layerwright.layers.activation.tanh import Tanh
from layerwright.layers.convolution.conv2d import Conv2d
from layerwright.layers.convolution.padding import Pair
from layerwright.layers.normalization.batch_norm2d import BatchNorm2d
from layerwright.layers.pooling.avg_pool2d import AvgPool2d
from layerwright.layers.pooling.max_pool2d import MaxPool2d

Step = Callable[[Tensor], Tensor]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": ReLU, "sigmoid": Sigmoid, "tanh": Tanh}
POOLINGS: dict[str, Callable[..., nn.Module]] = {"avg": AvgPool2d, "max": MaxPool2d}


class ConvBlock(nn.Module):
    r"""Convolve, normalise, activate, pool: each of the last three only if it is wanted.

    $$ y = \operatorname{pool}(\sigma(\operatorname{norm}(w \star x + b))) $$

    A normalisation subtracts the mean and with it any bias before it, so the convolution has no
    bias then; `bias` says otherwise.

    | tensor | shape                       | note                                           |
    | ------ | --------------------------- | ---------------------------------------------- |
    | `x`    | `(N, in_channels, H, W)`    | without `N` too, where no step insists on it   |
    | output | `(N, out_channels, H', W')` | `Conv2d` says what H' and W' are; pooling      |
    |        |                             | divides them by its stride                     |

    The steps are the attributes `convolution`, `normalization`, `activation` and `pooling`; what
    is not wanted is None.

    Args:
        in_channels: number of maps that come in.
        out_channels: number of maps that go out.
        kernel_size: height and width of the kernel; one number stands for both.
        stride: of the convolution, as in `Conv2d`.
        padding: of the convolution.
        dilation: of the convolution.
        groups: of the convolution.
        bias: learn a bias in the convolution; None learns one if nothing normalises.
        padding_mode: of the convolution.
        normalization: "batch", a module, its class (called with out_channels, device and dtype),
            any function of a tensor, or None.
        activation: "relu", "sigmoid", "tanh", a module, its class, any function of a tensor, or
            None.
        pooling: "max", "avg", a module, its class (called with pool_size and pool_stride), any
            function of a tensor, or None.
        pool_size: height and width of the pooling window.
        pool_stride: steps from window to window; None takes the window's size.
        device: where the parameters live.
        dtype: type of the parameters.

    Raises:
        OptionError: a name is unknown, or an option of the convolution impossible.
        ShapeError: at the call, from the step that the input does not fit.

    Example:
        >>> block = ConvBlock(3, 8, 3, padding=1, pooling="max")
        >>> block(torch.randn(2, 3, 32, 32)).shape
        torch.Size([2, 8, 16, 16])

    Reference:
        Ioffe and Szegedy (2015), "Batch normalization", section 3.2 (the order, and the bias),
        https://arxiv.org/abs/1502.03167
    """

    normalization: Step | None
    activation: Step | None
    pooling: Step | None

    def __init__(  # noqa: PLR0913 - each names one thing of one step
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        *,
        stride: int | Pair = 1,
        padding: int | Pair | str = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool | None = None,
        padding_mode: str = "zeros",
        normalization: str | Step | type[nn.Module] | None = "batch",
        activation: str | Step | type[nn.Module] | None = "relu",
        pooling: str | Step | type[nn.Module] | None = None,
        pool_size: int | Pair = 2,
        pool_stride: int | Pair | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.convolution = Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            normalization is None if bias is None else bias,
            padding_mode,
            device=device,
            dtype=dtype,
        )
        self.normalization = _step(
            "normalization",
            normalization,
            {"batch": BatchNorm2d},
            out_channels,
            device=device,
            dtype=dtype,
        )
        self.activation = _step("activation", activation, ACTIVATIONS)
        self.pooling = _step("pooling", pooling, POOLINGS, pool_size, pool_stride)

    def reset_parameters(self) -> None:
        """Set the parameters of every step to their start."""
        for module in self.children():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()

    def forward(self, x: Tensor) -> Tensor:
        """Pass `x`, of shape (N, in_channels, H, W), through the steps."""
        x = self.convolution(x)
        if self.normalization is not None:
            x = self.normalization(x)
        if self.activation is not None:
            x = self.activation(x)
        if self.pooling is not None:
            x = self.pooling(x)
        return x

    def extra_repr(self) -> str:
        """Steps that are functions, which `print(layer)` does not show by itself."""
        steps = {name: getattr(self, name) for name in ("normalization", "activation", "pooling")}
        return ", ".join(
            f"{name}={getattr(step, '__name__', step)}"
            for name, step in steps.items()
            if step is not None and not isinstance(step, nn.Module)
        )


def _step(
    role: str, choice: Any, known: dict[str, Callable[..., nn.Module]], *args: Any, **kwargs: Any
) -> Step | None:
    """Build the step that `choice` names, or take it as it is."""
    if isinstance(choice, str) and choice in known:
        return known[choice](*args, **kwargs)
    if isinstance(choice, type) and issubclass(choice, nn.Module):
        return choice(*args, **kwargs)
    if choice is None or callable(choice):
        return choice
    names = ", ".join(repr(name) for name in known)
    raise OptionError(
        f"ConvBlock expected {role} to be {names}, a module, a function of a tensor or None, "
        f"received {choice!r}."
    )
