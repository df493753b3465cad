"""Stochastic depth."""

import torch
from torch import Tensor, nn

from layerwright.errors import OptionError


class StochasticDepth(nn.Module):
    r"""Set whole samples to zero with probability p, in training only ("drop path").

    $$ y_n = \frac{m_n}{1 - p} \, x_n, \qquad m_n \sim \operatorname{Bernoulli}(1 - p)
       \text{ independently for each sample } n $$

    At the end of a residual branch it skips the branch, for some samples. The division keeps the
    expected value, so that eval mode is the identity; there, and with p = 0, the input itself is
    returned.

    Random numbers come from torch's default generator of the device of `x`: one `rand` of N
    float32 numbers at each call in training with p > 0. A sample is kept where its number is below
    1 - p.

    | tensor      | shape      | note                                                       |
    | ----------- | ---------- | ---------------------------------------------------------- |
    | `x`, output | `(N, ...)` | the first dim counts samples: an input without a batch dim |
    |             |            | needs x.unsqueeze(0)                                       |

    Args:
        p: the probability that a sample is set to zero, in [0, 1].

    Raises:
        OptionError: p lies outside [0, 1].

    Example:
        >>> StochasticDepth(0.5).eval()(torch.ones(3))
        tensor([1., 1., 1.])

    Reference:
        Huang et al. (2016), "Deep networks with stochastic depth",
        https://arxiv.org/abs/1603.09382. The scaling is in training, and per sample.
    """

    def __init__(self, p: float = 0.1) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise OptionError(
                f"StochasticDepth expected p to be a probability in [0, 1], received {p!r}."
            )
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Drop samples of `x`, of shape (N, ...), in training; return `x` in eval."""
        if not self.training or self.p == 0:
            return x
        return x * scaled_mask(x, 1 - self.p)

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return f"p={self.p}"


@torch.fx.wrap  # symbolic tracing records the call and leaves its decisions to the run
def scaled_mask(x: Tensor, keep: float) -> Tensor:
    """Return 1 / keep or 0 for each sample of `x`, of shape (N, 1, ...)."""
    shape = (*x.shape[:1], *[1] * (x.dim() - 1))
    # float32: in half precision the numbers would be too coarse to hit p
    mask = torch.rand(shape, device=x.device, dtype=torch.float32) < keep
    return mask.to(x.dtype) / (keep or 1)  # with p = 1 nothing is kept, so nothing needs scaling
