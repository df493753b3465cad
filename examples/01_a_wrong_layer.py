"""A wrong layer of the tutorials, what check says of it, and the cured one, which learns.

CustomNet and CustomReLU are as the tutorials write them; only the number of channels is that of
our images, 8x8 digits in one channel. Two things are wrong:

1. `torch.max(x, 0)` is no rectifier: with a dimension it returns the largest values over the
   samples, and where they stood. `torch.relu(x)` was meant.
2. `64 * 7 * 7` features are what two poolings leave of 28x28 images; 8x8 images leave 64 * 2 * 2.

`lw.check` names one after the other, with what to write instead. The network that follows its
advice holds the contract, and learns the digits in a few epochs.

Run it: python examples/01_a_wrong_layer.py
"""

import sys

import torch
from torch import Tensor, nn

import layerwright as lw


class CustomReLU(nn.Module):
    """The activation of the tutorials."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the positive part of x, or so the tutorials say."""
        return torch.max(x, 0)


class CustomNet(nn.Module):
    """The network of the tutorials."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.pool = nn.MaxPool2d(2, 2)
        self.relu = CustomReLU()
        self.fc1 = nn.Linear(64 * 7 * 7, 128)
        self.fc2 = nn.Linear(128, 10)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images, `(N, 1, 8, 8)`."""
        x = self.pool(self.relu(self.conv1(x)))
        x = self.pool(self.relu(self.conv2(x)))
        x = x.view(-1, 64 * 7 * 7)
        x = self.dropout(self.relu(self.fc1(x)))
        return self.fc2(x)


class CuredNet(nn.Module):
    """The same network with what check said: a rectifier, and the numbers of 8x8 images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.pool = nn.MaxPool2d(2, 2)
        self.relu = nn.ReLU()
        self.fc1 = nn.Linear(64 * 2 * 2, 128)
        self.fc2 = nn.Linear(128, 10)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images, `(N, 1, 8, 8)`."""
        x = self.pool(self.relu(self.conv1(x)))
        x = self.pool(self.relu(self.conv2(x)))
        x = x.flatten(1)
        x = self.dropout(self.relu(self.fc1(x)))
        return self.fc2(x)


def main() -> int:
    """Tell the story; return 1 if a verdict is not the expected one."""
    images = torch.rand(8, 1, 8, 8)

    print("1. The network of the tutorials\n")
    first = lw.check(CustomNet(), images)
    print(first)

    print("\n2. With a true rectifier\n")
    network = CustomNet()
    network.relu = nn.ReLU()
    second = lw.check(network, images)
    print(second)

    print("\n3. With the numbers that check named\n")
    third = lw.check(CuredNet(), images)
    print(third)

    print("\n4. The cured network learns the digits\n")
    run = lw.fit(CuredNet(), "digits", epochs=10, lr=3e-3)
    for row in run.history[::3]:
        accuracy = row["validation"]["accuracy"]
        print(f"epoch {row['epoch']:2d}  validation accuracy {100 * accuracy:.2f} %")
    print(f"test accuracy {100 * (run.test or {})['accuracy']:.2f} %")

    expected = not first.ok and not second.ok and third.ok and not third.findings
    if not expected:
        print("check did not say what this example tells", file=sys.stderr)
    return 0 if expected else 1


if __name__ == "__main__":
    sys.exit(main())
