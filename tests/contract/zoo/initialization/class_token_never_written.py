"""The class token of a vision transformer is empty memory."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"INI001"}


class TinyViT(nn.Module):
    batch_first = False

    def __init__(self, d=8):
        super().__init__()
        self.patch = nn.Conv2d(3, d, 4, 4)
        self.cls = nn.Parameter(torch.randn(1, 1, d) * 0.02)
        self.pos = nn.Parameter(torch.randn(1, 5, d) * 0.02)
        self.enc = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(d, 2, 16, batch_first=self.batch_first),
            1,
            enable_nested_tensor=False,
        )
        self.head = nn.Linear(d, 4)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1) + self.pos
        return self.head(self.enc(x)[:, 0])


class Broken(TinyViT):
    batch_first = True

    def __init__(self):
        super().__init__()
        self.cls = nn.Parameter(torch.empty(1, 1, 8))


class Sound(TinyViT):
    batch_first = True

    def __init__(self):
        super().__init__()
        self.cls = nn.Parameter(torch.empty(1, 1, 8))
        nn.init.normal_(self.cls, std=0.02)


def inputs():
    return (torch.randn(2, 3, 8, 8),)
