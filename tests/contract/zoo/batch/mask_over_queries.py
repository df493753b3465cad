"""Self-attention that hides the queries of the padding, and lets its keys through."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"BAT006"}


class Broken(nn.Module):
    dim = 2

    def __init__(self, num_embeddings=20, embed_dim=6):
        super().__init__()
        self.embedding = nn.Embedding(num_embeddings, embed_dim)
        self.query = nn.Linear(embed_dim, embed_dim)

    def forward(self, tokens, padding):
        x = self.embedding(tokens)
        scores = self.query(x) @ x.transpose(1, 2)
        scores = scores - 2e4 * padding.to(x.dtype).unsqueeze(self.dim)
        return torch.softmax(scores, dim=-1) @ x


class Sound(Broken):
    dim = 1


def inputs():
    padding = torch.arange(5) >= torch.tensor([[5], [3], [2]])
    return torch.randint(0, 20, (3, 5)), padding
