"""A program that trains: python program.py OUTPUT SCENARIO... in each process of a launch.

Rank 0 writes OUTPUT: for each scenario the weights, rows and what else the run gave.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import layerwright as lw
from layerwright.layers.normalization.batch_norm2d import BatchNorm2d
from layerwright.training.processes import joined


class Net(nn.Module):
    """Batch norm of two kinds, and one that has a single value per channel and sample.

    No bias stands before a batch norm, which subtracts it: its gradient is rounding error and
    nothing else, and Adam makes steps of full size of that.
    """

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3, bias=False),
            BatchNorm2d(4),
            nn.ReLU(),  # without it the next batch norm would subtract this one's bias too
        )
        self.head = nn.Sequential(
            nn.Linear(4 * 16, 8, bias=False), nn.BatchNorm1d(8), nn.Linear(8, 10)
        )
        self.to(dtype)
        self.wanted = dtype

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x.to(self.wanted)).flatten(1))


class SometimesUnused(nn.Module):
    """A parameter that forward never uses."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10).double()
        self.unused = nn.Parameter(torch.ones(3, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1).double())


class Pairs(Dataset):
    """The same data as a dataset that is read sample by sample."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.images[index], self.labels[index]


class WholeBatches:
    """A user's metric: which batches it was given."""

    name = "batches"

    def __init__(self) -> None:
        self.seen = []

    def update(self, output, target) -> None:
        self.seen.append((len(output), int(target.sum())))

    def compute(self):
        return [list(entry) for entry in self.seen]


def images() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 10, (230,), generator=generator)
    noise = torch.randn(230, 1, 8, 8, generator=generator)
    return noise + 0.3 * labels[:, None, None, None], labels


MEMORY = lw.Recipe(
    epochs=2,
    batch_size=17,  # uneven on two processes; 207 samples leave a batch of 3
    accumulate=2,
    lr=0.01,
    schedule="one-cycle",
    weight_decay=0.01,
    augment=("crop", "flip"),
    checkpoint_every="3steps",
    init="by-type",
    metrics=("accuracy", "confusion-matrix", WholeBatches),
    loss="cross-entropy",
    label_smoothing=0.1,
    mixup=0.4,
    l1=1e-4,
    seed=3,
)
DATASET = lw.Recipe(
    epochs=2,
    batch_size=16,
    lr=0.05,
    optimizer="sgd",
    optimizer_options={"momentum": 0.9},
    clip_norm=1.0,
    augment=("crop",),
    loss="cross-entropy",
    seed=4,
)


def scenario(name: str):
    """Return network, data and recipe."""
    x, y = images()
    if name == "texts":
        texts = [" ".join("abcdefghij"[(i * j) % 10] for j in range(1, 3 + i % 7)) for i in y]
        options = {"dropout": 0.0}  # each process would draw its own
        return "text-cnn", (texts, y), DATASET.changed(augment=(), network_options=options)
    recipes = {
        "memory": MEMORY,
        "float32": MEMORY,
        "local-batch-norm": MEMORY.changed(sync_batch_norm=False),
        "sharded": MEMORY.changed(shard=True, l1=0.0, clip_norm=1.0),
        "dataset": DATASET,
        "unused": DATASET,
    }
    network = SometimesUnused() if name == "unused" else Net()
    if name == "float32":
        network = Net(torch.float32)
    return network, Pairs(x, y) if name == "dataset" else (x, y), recipes[name]


def whole(value: Tensor) -> Tensor:
    return value.full_tensor() if hasattr(value, "full_tensor") else value.clone()


def train(name: str, run_dir: Path | None = None) -> dict:
    torch.manual_seed(7)  # networks are built here; dropout would be drawn from the recipe's seed
    network, data, recipe = scenario(name)
    run = lw.fit(network, data, recipe, run_dir=run_dir)
    state = {key: whole(value) for key, value in run.network.state_dict().items()}
    return {"weights": state, "history": run.history, "test": run.test}


def main(output: Path, names: list[str]) -> None:
    torch.set_num_threads(1)
    results = {}
    with joined("cpu") as processes:
        for name in names:
            key = name
            while key in results:
                key += " again"
            results[key] = train(name)
        everywhere = processes.gathered(results)
    if processes.rank == 0:
        torch.save(everywhere, output)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
