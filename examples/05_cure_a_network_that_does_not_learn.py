"""A deep network that does not learn, what the init doctor says of it, and the cure.

Thirty layers with tanh, as torch starts them, and nothing is wrong with the code: shapes fit, the
loss goes through, `lw.check` has no complaint. Training stays at chance all the same. Each layer
passes on a little more than half of what distinguishes one image from another; after thirty of
them the network puts out the same scores for each image, up to rounding, and the first layers get
gradients of 1e-7.

`lw.diagnose_initialization` measures that, names the layer from which on the signal is lost, tries
recipes on copies, and says which one cures it. With that line, the same network learns.

Run it: python examples/05_cure_a_network_that_does_not_learn.py
"""

import sys

import torch
from torch import Tensor, nn

import layerwright as lw

DEPTH = 30
EPOCHS = 8


class DeepTanhNet(nn.Module):
    """Many small layers, each followed by tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(64, 64) for _ in range(DEPTH))  # 64 pixels
        self.scores = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images, `(N, 1, 8, 8)`."""
        x = x.flatten(1)
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return self.scores(x)


def test_accuracy(network: nn.Module) -> float:
    """Train on the bundled digits and return the accuracy on the test split in percent."""
    run = lw.fit(network, "digits", epochs=EPOCHS, lr=1e-3)
    return 100 * (run.test or {})["accuracy"]


def main() -> int:
    """Tell the story; return 1 if it ends differently."""
    torch.manual_seed(0)
    batch = torch.rand(32, 1, 8, 8)

    print("1. The network as torch starts it\n")
    sick = test_accuracy(DeepTanhNet())
    print(f"test accuracy {sick:.2f} % after {EPOCHS} epochs: one digit in ten, by chance")

    print("\n2. What the doctor says\n")
    diagnosis = lw.diagnose_initialization(DeepTanhNet(), batch)
    print(diagnosis.verdict)

    print("\n3. The same network, with the cure\n")
    network = lw.initialize(DeepTanhNet(), diagnosis.findings[0].recipe)
    print(lw.diagnose_initialization(network, batch).verdict)
    cured = test_accuracy(network)
    print(f"\ntest accuracy {cured:.2f} % after {EPOCHS} epochs")

    expected = not diagnosis.ok and sick < 30 and cured > 70
    if not expected:
        print("the story ended differently", file=sys.stderr)
    return 0 if expected else 1


if __name__ == "__main__":
    sys.exit(main())
