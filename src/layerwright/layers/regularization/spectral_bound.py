"""A bound on the spectral norm of a weight, as a parametrization."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.regularization.weight_standardization import require_parameter


class SpectralBound(nn.Module):
    r"""Shrink a weight whose largest singular value exceeds a bound; leave others as they are.

    $$ \hat W = \frac{W}{\max(1, \; \sigma / c)}, \qquad \sigma = u^\top W v \approx
       \max_{\lVert h \rVert = 1} \lVert W h \rVert $$

    A linear layer then stretches no difference of inputs by more than c. The singular vectors u
    and v follow the weight by power iteration, `num_steps` in each call in training and none in
    eval mode; they are buffers, not learned, and the gradient takes them as constants. σ never
    exceeds the true norm, and comes near it while the weight changes slowly.
    (`torch.nn.utils.parametrizations.spectral_norm` instead brings every weight to norm 1, small
    ones too.)

    | tensor      | shape               | note                                                  |
    | ----------- | ------------------- | ----------------------------------------------------- |
    | `W`, output | `(out, in, ...)`    | a kernel counts as the matrix `(out, in · h · w)`, so |
    |             |                     | that for a convolution c bounds that matrix           |
    | `u`, `v`    | `(out,)`, `(in ...,)` | buffers, of length 1                                |

    Args:
        weight: the weight that will be bounded; u and v start at its singular vectors.
        bound: c.
        num_steps: power iterations in each call in training.

    Raises:
        OptionError: bound is not positive, or num_steps no whole number from 1.
        ShapeError: the weight is no matrix or kernel, or an empty one.

    Example:
        >>> bounded = SpectralBound(torch.diag(torch.tensor([4.0, 1.0])), bound=2.0)
        >>> bounded(torch.diag(torch.tensor([4.0, 1.0]))).diagonal()
        tensor([2.0000, 0.5000])

    Reference:
        Miyato et al. (2018), "Spectral normalization for generative adversarial networks",
        https://arxiv.org/abs/1802.05957; with a bound: Gouk et al. (2021), "Regularisation of
        neural networks by enforcing Lipschitz continuity", https://arxiv.org/abs/1804.04368
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, bound: float = 1.0, num_steps: int = 1) -> None:
        super().__init__()
        if not 0 < bound < float("inf"):
            raise OptionError(
                f"SpectralBound expected bound to be a positive number, received {bound!r}."
            )
        if type(num_steps) is not int or num_steps < 1:
            raise OptionError(
                f"SpectralBound expected num_steps to be a whole number from 1, "
                f"received {num_steps!r}."
            )
        if weight.dim() < 2 or weight.numel() == 0:
            raise ShapeError(
                f"SpectralBound expected a weight (out, in, ...), received {tuple(weight.shape)}. "
                f"Fix: leave this parameter as it is."
            )
        self.bound = bound
        self.num_steps = num_steps
        u, v = leading_singular_vectors(weight.detach().flatten(1))
        self.register_buffer("u", u)
        self.register_buffer("v", v)

    def forward(self, weight: Tensor) -> Tensor:
        """Bound `weight`, `(out, in, ...)`."""
        matrix = weight.flatten(1)
        if self.training:
            with torch.no_grad():
                u, v = self.u, self.v
                for _ in range(self.num_steps):
                    u, v = power_step(matrix, u, v)
                self.u.copy_(u)
                self.v.copy_(v)
        # Copies, since the next call would change what backward reads.
        u, v = (self.u.clone(), self.v.clone()) if self.training else (self.u, self.v)
        sigma = (matrix * torch.outer(u, v)).sum()  # no product that autocast would take
        return weight / (sigma / self.bound).clamp_min(1)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Take a weight that is assigned as what is learned: the layer uses it bounded."""
        return weight

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return f"bound={self.bound}, num_steps={self.num_steps}"


def bound_spectral_norm(
    module: nn.Module, bound: float = 1.0, name: str = "weight", *, num_steps: int = 1
) -> nn.Module:
    """Bound the spectral norm of a layer's weight from now on, as a parametrization.

    The learned tensor moves to `module.parametrizations.<name>.original`, under which it is saved,
    with u and v beside it. `torch.nn.utils.parametrize.remove_parametrizations(module, name)`
    makes the bounded weight an ordinary parameter.

    Args:
        module: a layer with that parameter; it is changed and returned.
        bound: see `SpectralBound`.
        name: of the parameter.
        num_steps: see `SpectralBound`.

    Raises:
        OptionError: the layer has no such parameter, or an option is impossible.
        ShapeError: the parameter is no matrix or kernel.

    Example:
        >>> layer = bound_spectral_norm(nn.Linear(20, 30), 0.1)
        >>> bool(torch.linalg.matrix_norm(layer.weight, 2) < 0.1001)
        True
    """
    require_parameter("bound_spectral_norm", module, name)
    weight = getattr(module, name)
    parametrize.register_parametrization(module, name, SpectralBound(weight, bound, num_steps))
    return module


@torch.no_grad()
def leading_singular_vectors(matrix: Tensor, num_steps: int = 100) -> tuple[Tensor, Tensor]:
    """Return about the left and right singular vector of the largest singular value.

    By power iteration from the longest row, which draws no random numbers.

    Args:
        matrix: (m, n).
        num_steps: power iterations.
    """
    wide = matrix.to(torch.promote_types(matrix.dtype, torch.float32))
    size_u, size_v = matrix.shape
    u = wide.new_full((size_u,), size_u**-0.5)
    longest = wide.index_select(0, wide.norm(dim=1).argmax().view(1)).squeeze(0)
    v = direction(longest, wide.new_full((size_v,), size_v**-0.5))
    for _ in range(num_steps):
        u, v = power_step(wide, u, v)
    return u.to(matrix.dtype), v.to(matrix.dtype)


def power_step(matrix: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Bring u and v nearer to the singular vectors of the largest singular value.

    Args:
        matrix: (m, n).
        u: (m,), of length 1.
        v: (n,), of length 1.
    """
    # Sums and not matrix products, which autocast would round to half precision.
    u = direction((matrix * v).sum(1), u)
    return u, direction((matrix * u[:, None]).sum(0), v)


def direction(vector: Tensor, otherwise: Tensor) -> Tensor:
    """Return `vector` at length 1; for a zero vector, which has no direction, `otherwise`."""
    length = vector.norm()
    return torch.where(length > 0, vector / length, otherwise)
