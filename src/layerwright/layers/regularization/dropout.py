"""Dropout."""

import torch
from torch import Tensor, nn

from layerwright.errors import OptionError


class Dropout(nn.Module):
    r"""Set each value to zero with probability p, in training only.

    $$ y = \frac{m \odot x}{1 - p}, \qquad m \sim \operatorname{Bernoulli}(1 - p)
       \text{ independently for each value} $$

    The division keeps the expected value, so that eval mode is the identity: there the input
    itself is returned. With p = 0 it is returned in training too; with p = 1 all is zero.

    Random numbers come from torch's default generator of the device of `x`. A forward pass in
    training with p > 0 makes exactly one draw from it, a `rand_like` of `x` in float32 whatever
    the dtype of `x`; every other pass makes none. Whoever restores that generator's state
    therefore repeats the masks exactly. A value is kept where its number is below 1 - p; drawn
    like that, the mask costs a third of `bernoulli_` on a CPU.

    | tensor      | shape | note                                     |
    | ----------- | ----- | ---------------------------------------- |
    | `x`, output | any   | floating point; output keeps dtype, device |

    Args:
        p: the probability that a value is set to zero, in [0, 1].

    Raises:
        OptionError: p lies outside [0, 1].

    Example:
        >>> Dropout(0.5).eval()(torch.ones(3))
        tensor([1., 1., 1.])

    Reference:
        Srivastava et al. (2014), "Dropout: a simple way to prevent neural networks from
        overfitting", JMLR 15. The scaling is in training ("inverted dropout").
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise OptionError(f"Dropout expected p to be a probability in [0, 1], received {p!r}.")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Drop values of `x`, of any shape, in training; return `x` in eval."""
        if not self.training or self.p == 0:
            return x
        return x * scaled_mask_like(x, 1 - self.p)

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return f"p={self.p}"


def scaled_mask_like(x: Tensor, keep: float) -> Tensor:
    """Return 1 / keep or 0 for each value of `x`, kept with the probability `keep`."""
    # float32: in half precision the numbers would be too coarse to hit it
    mask = (torch.rand_like(x, dtype=torch.float32) < keep).to(x.dtype)
    if keep:  # otherwise nothing is kept, and nothing needs scaling
        mask.div_(keep)
    return mask
