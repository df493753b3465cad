"""Self-attention that hands its dropout probability to the kernel in eval mode too."""

import torch
from torch import nn
from torch.nn import functional as F

REFERENCE = "https://github.com/pytorch/pytorch/issues/11999"
TRIGGERS = {"PUR005"}


class Broken(nn.Module):
    def __init__(self, dim=8, num_heads=2, dropout=0.3):
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def dropout_p(self):
        return self.dropout

    def forward(self, x):
        batch, length, dim = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.num_heads, dim // self.num_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout_p())
        return self.proj(out.transpose(1, 2).reshape(batch, length, dim))


class Sound(Broken):
    def dropout_p(self):
        return self.dropout if self.training else 0.0


def inputs():
    return (torch.randn(3, 5, 8),)
