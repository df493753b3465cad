"""An embedding that renames an old key and copies the weight itself."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/104187"
TRIGGERS = {"SER006"}


class Broken(nn.Module):
    def __init__(self, num_embeddings=10, dim=4):
        super().__init__()
        self.num_embeddings, self.dim = num_embeddings, dim
        self.weight = nn.Parameter(torch.randn(num_embeddings, dim))

    def _load_from_state_dict(self, state_dict, prefix, *args):
        for name in ("weight", "table"):
            if prefix + name in state_dict:
                self.weight.data.copy_(state_dict[prefix + name])

    def forward(self, ids):
        return nn.functional.embedding(ids, self.weight)


class Sound(Broken):
    def _load_from_state_dict(self, state_dict, prefix, *args):
        if prefix + "table" in state_dict:
            state_dict[prefix + "weight"] = state_dict.pop(prefix + "table")
        nn.Module._load_from_state_dict(self, state_dict, prefix, *args)


def inputs():
    return (torch.arange(10).reshape(5, 2),)
