"""A program whose rank 1 does something at its tenth pass: python stopped.py RUN_DIR ACT [OUTPUT].

ACT is nothing, kill, hang, raise, interrupt, explode or resume. Under torchrun it acts in the first
attempt alone. With OUTPUT, rank 0 writes weights and rows there.
"""

import os
import signal
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

import layerwright as lw
from layerwright.errors import LayerwrightError
from layerwright.training.processes import joined


class Net(nn.Module):
    """Acts once; with dropout, so that each process has a random state that matters."""

    def __init__(self, act: str, dropout: float) -> None:
        super().__init__()
        self.act, self.passes = act, 0
        self.body = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU()
        )
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(8, 10))
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        self.passes += self.training
        y = self.head(self.body(x.double()))
        if self.training and self.passes == 10 and os.environ.get("RANK") == "1":
            y = self.perform(y)
        return y

    def perform(self, y: Tensor) -> Tensor:
        if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0":
            return y
        if self.act == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.act == "hang":
            os.kill(os.getpid(), signal.SIGSTOP)
        if self.act == "interrupt":
            os.kill(os.getpid(), signal.SIGTERM)
        if self.act == "raise":
            raise ValueError("this layer has a fault")
        return y


def loss(output: Tensor, target: Tensor) -> Tensor:
    return nn.functional.cross_entropy(output, target)


def loss_that_explodes(output: Tensor, target: Tensor) -> Tensor:
    """Infinite for one sample, whose gradient is finite all the same."""
    return loss(output, target) + torch.where(target == 9, torch.inf, 0.0).sum()


def data(act: str) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 9, (110,), generator=generator)
    if act == "explode":
        labels[70] = 9
    return torch.randn(110, 1, 8, 8, generator=generator) + 0.3 * labels[
        :, None, None, None
    ], labels


def train(run_dir: Path | None, act: str, dropout: float = 0.0) -> lw.Run:
    torch.manual_seed(7)
    network = Net(act, dropout)
    if act == "resume":
        return lw.resume(run_dir, network, data(act), loss=loss)
    recipe = lw.Recipe(
        epochs=3,
        batch_size=16,
        lr=0.01,
        checkpoint_every="4steps",
        validation=0.1,
        seed=3,
        shard="SHARD" in os.environ,
    )
    function = loss_that_explodes if act == "explode" else loss
    return lw.fit(network, data(act), recipe, loss=function, run_dir=run_dir)


def results(run: lw.Run) -> dict:
    weights = {
        name: value.full_tensor() if hasattr(value, "full_tensor") else value
        for name, value in run.network.state_dict().items()
    }
    return {"weights": weights, "history": run.history, "status": run.status}


def main(run_dir: Path, act: str, output: Path | None, dropout: float) -> None:
    torch.set_num_threads(1)
    try:
        with joined("cpu") as processes:
            found = results(train(run_dir, act, dropout))  # sharded weights, put together by all
    except LayerwrightError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    if output is not None and processes.rank == 0:
        torch.save(found, output)


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    main(
        Path(given[1]),
        given[2],
        Path(given[3]) if 3 in given else None,
        float(given.get(4, 0.0)),
    )
