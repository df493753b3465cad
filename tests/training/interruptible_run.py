"""A program that trains, for tests that kill it: python interruptible_run.py RUN_DIR KIND COUNTER.

It resumes RUN_DIR where that holds a run. Each forward pass in training mode adds a
byte to COUNTER.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import layerwright as lw


class Net(nn.Module):
    """Everything that has a state of its own: dropout, running statistics, a hidden buffer."""

    def __init__(self, counter: Path) -> None:
        super().__init__()
        self.counter = counter
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(4 * 36, 10))
        self.register_buffer("drift", torch.zeros(10), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            time.sleep(0.003)
            with self.counter.open("ab") as file:
                file.write(b".")
        y = self.head(self.features(x).flatten(1)) + self.drift
        if self.training:
            self.drift.mul_(0.9).add_(y.detach().mean(0), alpha=0.01)
        return y


class RandomlyShifted(Dataset):
    """Samples with random transforms of all three generators."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        shift = float(np.random.rand()) + float(torch.rand(()))
        return self.images[index] + 0.1 * shift, self.labels[index]


def images() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 10, (230,), generator=generator)
    noise = torch.randn(230, 1, 8, 8, generator=generator)
    return noise + 0.3 * labels[:, None, None, None], labels


def main(run_dir: Path, kind: str, counter: Path) -> None:
    torch.set_num_threads(1)
    x, y = images()
    data = RandomlyShifted(x, y) if kind == "workers" else (x, y)
    network = Net(counter)
    if (run_dir / "config.json").exists():
        run = lw.resume(run_dir, network, data)
    else:
        run = lw.fit(
            network,
            data,
            lw.Recipe(
                epochs=4,
                batch_size=16,
                accumulate=2,
                lr=0.01,
                schedule="one-cycle",
                optimizer="adam",
                weight_decay=0.01,
                augment=("crop", "flip", "rotate"),
                workers=2 if kind == "workers" else 0,
                checkpoint_every="3steps",
                init="by-type",
                metrics=("accuracy", "confusion-matrix"),
                loss="cross-entropy",
                label_smoothing=0.1,
                mixup=0.4 if kind == "memory" else 0.0,  # a dataset tells no number of classes
                l1=1e-4,
                seed=3,
                watch=True,
                watch_every=4,
            ),
            run_dir=run_dir,
        )
    print(run.status, run.step)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
