"""The distributions that weights are drawn from, with the fans of the layer they belong to."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn


class Fans(NamedTuple):
    """How many values one output is summed from, and how many outputs one value reaches."""

    fan_in: int
    fan_out: int


Formula = Callable[[Tensor, Fans, Generator | None], object]

NORMAL_STD = 0.02


def fans_of(owner: nn.Module, shape: tuple[int, ...]) -> Fans:
    """Return the fans of a weight with two or more dims.

    For `(out, in, *kernel)` these are torch's `in * kernel` and `out * kernel`. Where the owner's
    attributes say more, they are true where torch's are not: `groups` divides what one value
    reaches, a transposed convolution has `(in, out, *kernel)`, and so has a weight of shape
    `(in_features, out_features)`, which is multiplied from the right.
    """
    receptive = math.prod(shape[2:])
    groups = getattr(owner, "groups", 1)
    groups = groups if isinstance(groups, int) and len(shape) > 2 else 1
    fans = Fans(shape[1] * receptive, shape[0] * receptive // groups)
    features = (getattr(owner, "in_features", None), getattr(owner, "out_features", None))
    swapped = getattr(owner, "transposed", False) is True or shape == features
    return Fans(*reversed(fans)) if swapped else fans


def normal(tensor: Tensor, _fans: Fans, generator: Generator | None) -> None:
    """`N(0, 0.02²)`, whatever the fans (Radford et al., 2018, and many tutorials)."""
    tensor.normal_(0, NORMAL_STD, generator=generator)


def standard_normal(tensor: Tensor, _fans: Fans, generator: Generator | None) -> None:
    """`N(0, 1)`, as `nn.Embedding` starts: a row of a table has no fan."""
    tensor.normal_(0, 1, generator=generator)


def xavier_uniform(tensor: Tensor, fans: Fans, generator: Generator | None) -> None:
    """`U(-a, a)` with `a = sqrt(6 / (fan_in + fan_out))`.

    Reference:
        Glorot and Bengio (2010), https://proceedings.mlr.press/v9/glorot10a.html
    """
    bound = math.sqrt(3.0) * math.sqrt(2.0 / float(sum(fans)))
    tensor.uniform_(-bound, bound, generator=generator)


def kaiming_normal_fan_in(tensor: Tensor, fans: Fans, generator: Generator | None) -> None:
    """`N(0, 2 / fan_in)`: keeps the size of activations through ReLUs.

    Reference:
        He et al. (2015), "Delving Deep into Rectifiers", https://arxiv.org/abs/1502.01852
    """
    tensor.normal_(0, math.sqrt(2.0) / math.sqrt(fans.fan_in), generator=generator)


def kaiming_normal_fan_out(tensor: Tensor, fans: Fans, generator: Generator | None) -> None:
    """`N(0, 2 / fan_out)`: keeps the size of gradients through ReLUs (He et al., 2015)."""
    tensor.normal_(0, math.sqrt(2.0) / math.sqrt(fans.fan_out), generator=generator)


def orthogonal(tensor: Tensor, _fans: Fans, generator: Generator | None) -> None:
    """Draw a matrix with orthonormal rows or columns, so that a state keeps its size over time.

    Of more dims than two, all but the first are taken together, as torch does; a vector has
    norm one.

    Reference:
        Saxe, McClelland and Ganguli (2014), https://arxiv.org/abs/1312.6120
    """
    exact = tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()
    matrix = exact if exact.dim() > 1 else exact[None]
    tensor.copy_(nn.init.orthogonal_(matrix, generator=generator).view_as(tensor))


def draw(
    formula: Formula,
    tensor: Tensor,
    owner: nn.Module,
    num_blocks: int,
    generator: Generator | None,
) -> None:
    """Fill `tensor` by `formula`, each of `num_blocks` equal shares of its rows on its own.

    With a generator the numbers are drawn on the generator's device, so that they do not depend
    on where the tensor is.
    """
    if not tensor.numel():
        return
    target = tensor
    if generator is not None and generator.device.type != tensor.device.type:
        target = torch.empty_like(tensor, device=generator.device)
    for block in target.chunk(num_blocks):
        shape = tuple(block.shape)
        fans = fans_of(owner, shape) if block.dim() > 1 else Fans(block.numel(), block.numel())
        formula(block, fans, generator)
    if target is not tensor:
        tensor.copy_(target)


def num_gates(owner: nn.Module, attribute: str, shape: tuple[int, ...]) -> int:
    """Return how many matrices of its own a recurrent weight stacks: 4 for an LSTM, 3 for a GRU."""
    if not attribute.startswith(("weight_ih", "weight_hh")):
        return 1
    hidden_size = getattr(owner, "hidden_size", None)
    if not isinstance(hidden_size, int) or not hidden_size or shape[0] % hidden_size:
        return 1
    return shape[0] // hidden_size
