"""Residual connection around any module."""

from typing import Any

import torch
from torch import Tensor, nn

from layerwright.errors import ShapeError
from layerwright.layers.residual.stochastic_depth import StochasticDepth


class Residual(nn.Module):
    r"""Add what a branch computes to what came in.

    $$ y = x + \gamma \odot f(\operatorname{norm}(x)) \quad \text{("pre-norm")}, \qquad
       y = \operatorname{norm}(x + \gamma \odot f(x)) \quad \text{("post-norm")} $$

    Everything beside the branch $f$ is optional. Pre-norm leaves a path from end to end that
    nothing touches, so that deep networks train without warm-up. The branch's answer must have
    exactly the shape of what it is added to: torch would broadcast one that has not, silently.

    | tensor | shape | note                                                                     |
    | ------ | ----- | ------------------------------------------------------------------------ |
    | `x`    | any   | that branch, norm and shortcut take                                      |
    | output |       | the shape of `x`, or of the shortcut's answer                            |

    Args:
        branch: what is computed; one module, called with everything that the layer is called with.
        norm: normalises the branch's input, or with `norm_first=False` the sum.
        norm_first: pre-norm; otherwise post-norm.
        layer_scale: scales the branch's answer: a `LayerScale`, or any module.
        drop_probability: probability that a sample skips the branch in training; see
            `StochasticDepth`, which also says what a batch must look like then.
        shortcut: maps `x` where the branch changes the shape; None adds `x` itself.

    Raises:
        OptionError: drop_probability lies outside [0, 1].
        ShapeError: at the call, where the branch's answer is not of the shortcut's shape.

    Example:
        >>> Residual(nn.Linear(4, 4), norm=nn.LayerNorm(4))(torch.randn(2, 4)).shape
        torch.Size([2, 4])

    Reference:
        He et al. (2015), "Deep residual learning for image recognition",
        https://arxiv.org/abs/1512.03385; Xiong et al. (2020), "On layer normalization in the
        Transformer architecture", https://arxiv.org/abs/2002.04745 (pre-norm and post-norm)
    """

    def __init__(
        self,
        branch: nn.Module,
        *,
        norm: nn.Module | None = None,
        norm_first: bool = True,
        layer_scale: nn.Module | None = None,
        drop_probability: float = 0.0,
        shortcut: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.norm = norm
        self.norm_first = norm_first
        self.branch = branch
        self.layer_scale = layer_scale
        self.drop = StochasticDepth(drop_probability)
        self.shortcut = shortcut

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Add the branch's answer to `x`; the rest of the arguments goes to the branch."""
        kept = x if self.shortcut is None else self.shortcut(x)
        if self.norm is not None and self.norm_first:
            x = self.norm(x)
        y = self.branch(x, *args, **kwargs)
        check_sum(kept, y)
        if self.layer_scale is not None:
            y = self.layer_scale(y)
        y = kept + self.drop(y)
        return y if self.norm is None or self.norm_first else self.norm(y)

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return f"norm_first={self.norm_first}"


@torch.fx.wrap  # symbolic tracing records the call and leaves its decisions to the run
def check_sum(kept: Tensor, y: Any) -> None:
    """Refuse an answer of the branch that cannot be added without broadcasting.

    Raises:
        ShapeError: `y` is no tensor, or has another shape than `kept`.
    """
    if not isinstance(y, Tensor) or y.shape != kept.shape:
        received = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise ShapeError(
            f"Residual expected its branch to return a tensor of shape {tuple(kept.shape)}, as "
            f"what it is added to, received {received}. "
            f"Fix: a branch that keeps the shape, or a shortcut that changes it likewise."
        )
