"""Convolution layer for images."""

import math
from collections.abc import Iterable
from operator import index

import torch
from torch import Tensor, nn

from layerwright.errors import OptionError
from layerwright.layers.convolution.conv2d_function import conv2d
from layerwright.layers.convolution.padding import Pair

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")

torch.fx.wrap("conv2d")  # symbolic tracing records the call and leaves its decisions to the run


class Conv2d(nn.Module):
    r"""Slide small kernels over an image: each output map is what one kernel found, and where.

    $$ y_{n o i j} = b_o + \sum_{c, k, l} w_{o c k l} \,
       x_{n, c, \; s_1 i + d_1 k - p_1, \; s_2 j + d_2 l - p_2} $$

    with stride s, dilation d and padding p (a cross-correlation: the kernel is not turned). The
    gradients are written by hand and computed only where they are needed,

    $$ \frac{\partial L}{\partial w_{ockl}} = \sum_{n, i, j} g_{noij} \,
       x_{n, c, \; s_1 i + d_1 k - p_1, \; s_2 j + d_2 l - p_2}, \qquad
       \frac{\partial L}{\partial b_o} = \sum_{n, i, j} g_{noij}, $$

    and the input's is the same sum turned round, a transposed convolution. The input is kept for
    backward only if the weight learns.

    | tensor   | shape                                          | note                    |
    | -------- | ---------------------------------------------- | ----------------------- |
    | `x`      | `(N, in_channels, H, W)`, or without `N`       | `N` may be 0            |
    | output   | `(N, out_channels, H', W')`, or without `N`    | memory format: as torch |
    | `weight` | `(out_channels, in_channels / groups, K1, K2)` | starts uniform          |
    | `bias`   | `(out_channels,)`                              | starts uniform, or None |

    H' = floor((H + 2 padding - dilation (K1 - 1) - 1) / stride) + 1, and W' likewise.
    Weight and bias start in ±1/sqrt(fan-in), where the fan-in is in_channels / groups · K1 · K2.

    Args:
        in_channels: number of maps that come in.
        out_channels: number of maps that go out.
        kernel_size: height and width of the kernel; one number stands for both, here as below.
        stride: steps from one place of the kernel to the next.
        padding: what is added on each side; "same" adds as much as keeps H and W at stride 1,
            "valid" adds nothing.
        dilation: steps between the points of the kernel.
        groups: into how many blocks the channels are divided; a block out sees its block in.
        bias: learn `b`.
        padding_mode: what is added: "zeros", "reflect" (mirrored without the edge), "replicate"
            (the edge repeated) or "circular" (the other side).
        device: where the parameters live.
        dtype: type of the parameters.

    Raises:
        OptionError: an option is impossible; the message says what is possible.
        ShapeError: at the call, where the input has other channels or is smaller than the kernel
            (while `torch.compile` traces, its own error tells instead).

    Example:
        >>> Conv2d(3, 8, 5, padding="same")(torch.randn(2, 3, 32, 32)).shape
        torch.Size([2, 8, 32, 32])

    Reference:
        LeCun, Bottou, Bengio and Haffner (1998), "Gradient-based learning applied to document
        recognition"; Dumoulin and Visin (2016), "A guide to convolution arithmetic for deep
        learning", https://arxiv.org/abs/1603.07285
    """

    bias: nn.Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair | str = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        padding_mode: str = "zeros",
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = _whole("in_channels", in_channels, 0)
        self.out_channels = _whole("out_channels", out_channels, 0)
        self.kernel_size = _pair("kernel_size", kernel_size, 1)
        self.stride = _pair("stride", stride, 1)
        self.padding = padding if isinstance(padding, str) else _pair("padding", padding, 0)
        self.dilation = _pair("dilation", dilation, 1)
        self.groups = _whole("groups", groups, 1)
        self.padding_mode = padding_mode
        self._check_options()
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self.weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        if bias:
            self.bias = nn.Parameter(torch.empty(self.out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _check_options(self) -> None:
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise OptionError(
                    f"Conv2d expected {name} to be a multiple of groups={self.groups}, "
                    f"received {getattr(self, name)}."
                )
        if isinstance(self.padding, str) and self.padding not in {"same", "valid"}:
            raise OptionError(
                f"Conv2d expected padding to be a number, a pair, 'same' or 'valid', "
                f"received {self.padding!r}."
            )
        if self.padding == "same" and self.stride != (1, 1):
            raise OptionError(
                f"Conv2d expected stride 1 with padding 'same', received {self.stride}. "
                f"Fix: give the padding in numbers."
            )
        if self.padding_mode not in PADDING_MODES:
            raise OptionError(
                f"Conv2d expected padding_mode to be one of {', '.join(PADDING_MODES)}, "
                f"received {self.padding_mode!r}."
            )

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw weight and bias from the uniform distribution in ±1/sqrt(fan-in)."""
        fresh = torch.empty_like(self.weight, memory_format=torch.contiguous_format)
        nn.init.kaiming_uniform_(fresh, a=math.sqrt(5))  # torch's way to say 1/sqrt(fan-in)
        self.weight.copy_(fresh)  # so that a seed means the same in every memory format
        if self.bias is not None:
            fan_in = self.weight.shape[1:].numel()
            bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve `x`, of shape (N, in_channels, H, W) or (in_channels, H, W)."""
        return conv2d(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            self.padding_mode,
        )

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        if self.padding != (0, 0):
            text += f", padding={self.padding}"
        if self.dilation != (1, 1):
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


def _whole(name: str, value: int, least: int) -> int:
    try:
        number = index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise OptionError(
            f"Conv2d expected {name} to be a whole number from {least}, received {value!r}."
        )
    return number


def _pair(name: str, value: int | Pair, least: int) -> Pair:
    try:
        numbers = [index(item) for item in (value if isinstance(value, Iterable) else (value,) * 2)]
    except TypeError:
        numbers = []
    if len(numbers) != 2 or min(numbers) < least:
        raise OptionError(
            f"Conv2d expected {name} to be a whole number from {least} or a pair of them, "
            f"received {value!r}."
        )
    return numbers[0], numbers[1]
