"""Batch normalisation of vectors and sequences."""

from layerwright.layers.normalization.abstract_batch_norm import AbstractBatchNorm


class BatchNorm1d(AbstractBatchNorm):
    r"""Give each channel mean 0 and variance 1 over the batch, then a learned gain and bias.

    $$ y = \gamma_c \, \frac{x - \mu_c}{\sqrt{\sigma_c^2 + \epsilon}} + \beta_c $$

    In training $\mu_c$ and $\sigma_c^2$ are mean and (biased) variance of channel c over the batch
    and the positions, and the running statistics r take up a share m, the momentum, of them:
    $r \leftarrow (1 - m) \, r + m \, s$, with the unbiased variance. In eval the running
    statistics take their place. A sample's output therefore depends on the other samples in
    training, and not in eval.

    | tensor                                      | shape                   | note            |
    | ------------------------------------------- | ----------------------- | --------------- |
    | `x`, output                                 | `(N, C)` or `(N, C, L)` | floating point  |
    | `weight` (gain), `bias`                     | `(C,)`                  | start at 1 and 0 |
    | `running_mean`, `running_var`               | `(C,)`                  | start at 0 and 1 |
    | `num_batches_tracked`                       | `()`                    | int64           |

    Args:
        num_features: size of `C`, the channel dim.
        eps: added to the variance, keeps the division finite.
        momentum: share of the new batch in the running statistics; None takes the plain mean over
            all batches seen.
        affine: learn a gain and a bias per channel.
        track_running_stats: keep running statistics and use them in eval; otherwise the batch's
            own are used in eval too.
        device: where parameters and buffers are created.
        dtype: their dtype.

    Raises:
        OptionError: num_features is below 1, eps not positive, or momentum outside [0, 1].
        ShapeError: in forward, when `x` has another shape, or fewer than two values per channel
            where the batch's own statistics are needed.

    Example:
        >>> BatchNorm1d(2)(torch.tensor([[0.0, 5.0], [2.0, 9.0]])).shape
        torch.Size([2, 2])

    Reference:
        Ioffe and Szegedy (2015), "Batch normalization: accelerating deep network training by
        reducing internal covariate shift", https://arxiv.org/abs/1502.03167
    """

    accepted_dims = (2, 3)
    accepted_shapes = "(N, {0}) or (N, {0}, L)"
