"""Audio divided by its loudness in an operator whose rule for vmap mixes dimensions up."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"CMP006"}
TIER = "full"


def gain_of(x):
    """Return one over the loudness of each clip, over channels and time."""
    return (x.square().mean((1, 2), keepdim=True) + 1e-4).rsqrt()


@torch.library.custom_op("layerwright_zoo::by_loudness", mutates_args=())
def by_loudness_misread(x: torch.Tensor) -> torch.Tensor:
    return x * gain_of(x)


@torch.library.custom_op("layerwright_zoo::by_loudness_merged", mutates_args=())
def by_loudness_merged(x: torch.Tensor) -> torch.Tensor:
    return x * gain_of(x)


@by_loudness_misread.register_vmap
def _(info, in_dims, x):
    return by_loudness_misread(x.movedim(in_dims[0], 0)), 0


@by_loudness_merged.register_vmap
def _(info, in_dims, x):
    x = x.movedim(in_dims[0], 0)
    return by_loudness_merged(x.flatten(0, 1)).view(x.shape), 0


def setup_context(ctx, inputs, output):
    ctx.save_for_backward(inputs[0])


def backward(ctx, grad):
    x = ctx.saved_tensors[0]
    gain = gain_of(x)
    return grad * gain - x * gain**3 * (grad * x).mean((1, 2), keepdim=True)


for operator in (by_loudness_misread, by_loudness_merged):
    operator.register_fake(torch.empty_like)
    operator.register_autograd(backward, setup_context=setup_context)


class Broken(nn.Module):
    normalize = staticmethod(by_loudness_misread)

    def __init__(self, channels=2):
        super().__init__()
        self.mix = nn.Conv1d(channels, 4, 3)

    def forward(self, x):
        return self.mix(self.normalize(x))


class Sound(Broken):
    normalize = staticmethod(by_loudness_merged)


def inputs():
    return (torch.randn(3, 2, 8),)
