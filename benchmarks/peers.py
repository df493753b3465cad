"""Other trainers beside a bare loop: what each adds to the CPU time of a step.

    pip install "lightning!=2.6.2,!=2.6.3" accelerate skorch pytorch-ignite keras

None of them is needed: only what is installed is imported and measured. Those two releases of
Lightning are compromised (GHSA-w37p-236h-pfx3).

The figures are lower bounds of what a user of the peer sees: loggers, checkpoints, progress bars,
metrics and validation are off where the peer lets them be, starting and ending a run is left out,
and all but the articles' loop are fed with finished batches out of resident tensors, by the same
`randperm` and gather as the bare loop. Network, optimizer and loss are the bare loop's too, but for
Keras, which has optimizers and losses of its own; it gets the same options.
"""

from __future__ import annotations

import logging
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from layerwright.training import network_state

if TYPE_CHECKING:
    from layerwright.training.recipe import Recipe

WARM_UP_BLOCKS = 2
Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Work:
    """What a peer is given to train.

    Attributes:
        network: the same object as the bare loop's.
        optimizer: over that network, with the options of the bare loop's.
        recipe: the names and numbers behind the optimizer, for who has to build another.
        images: all of them, `(N, C, H, W)` float32.
        labels: their classes, `(N,)`.
        ticks: the steps to take: one for each item, until there are no more.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    recipe: Recipe
    images: Tensor
    labels: Tensor
    ticks: Iterator[None]

    def batches(self) -> Stream:
        return Stream(self)

    def loader(self) -> DataLoader[Batch]:
        """The same, for those who set up nothing but a `DataLoader`."""
        return DataLoader(Stream(self), batch_size=None)


class Stream(IterableDataset[Batch]):
    """A batch for each tick: gathered from the resident images, in the order of a permutation."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def __iter__(self) -> Iterator[Batch]:
        """Go on with the ticks; whoever peeks at a batch uses up its tick."""
        images, labels = self.work.images, self.work.labels
        indices = self._indices()
        for _ in self.work.ticks:
            index = next(indices)
            yield images[index], labels[index]

    def _indices(self) -> Iterator[Tensor]:
        while True:
            yield from torch.randperm(len(self.work.images)).split(self.work.recipe.batch_size)


def articles_loop(work: Work) -> None:
    """A `DataLoader` takes the images one by one and stacks them."""
    network, optimizer = work.network, work.optimizer
    data = TensorDataset(work.images, work.labels)
    loader = DataLoader(data, batch_size=work.recipe.batch_size, shuffle=True)
    batches = iter(loader)
    criterion = nn.CrossEntropyLoss()
    for _ in work.ticks:
        try:
            images, labels = next(batches)
        except StopIteration:
            batches = iter(loader)
            images, labels = next(batches)
        optimizer.zero_grad()
        loss = criterion(network(images), labels)
        loss.backward()
        optimizer.step()


def lightning_trainer(work: Work) -> None:
    lightning = import_module("lightning.pytorch")
    module_class: Any = lightning.LightningModule
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(module_class):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = work.network

        def training_step(self, batch: Batch, _index: int) -> Tensor:
            images, labels = batch
            return nn.functional.cross_entropy(self.network(images), labels)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return work.optimizer

    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Module(), work.batches())


def lightning_fabric(work: Work) -> None:
    fabric = import_module("lightning.fabric").Fabric(accelerator="cpu", devices=1)
    network, optimizer = fabric.setup(work.network, work.optimizer)
    for images, labels in fabric.setup_dataloaders(work.loader()):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(images), labels)
        fabric.backward(loss)
        optimizer.step()


def accelerate(work: Work) -> None:
    library = import_module("accelerate")
    # Without this, a stream of batches goes the dearer way of several processes, in one too.
    loading = import_module("accelerate.utils").DataLoaderConfiguration(dispatch_batches=False)
    accelerator = library.Accelerator(cpu=True, dataloader_config=loading)
    network, optimizer, loader = accelerator.prepare(work.network, work.optimizer, work.loader())
    for images, labels in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(images), labels)
        accelerator.backward(loss)
        optimizer.step()


def skorch(work: Work) -> None:
    net = import_module("skorch").NeuralNet(
        module=work.network,
        criterion=nn.CrossEntropyLoss,
        optimizer=lambda *_parameters, **_options: work.optimizer,
        max_epochs=1,
        train_split=None,
        iterator_train=lambda *_data, **_options: work.batches(),
        verbose=0,
        device="cpu",
    )
    net.fit(TensorDataset(work.images, work.labels), y=None)


def ignite(work: Work) -> None:
    trainer = import_module("ignite.engine").create_supervised_trainer(
        work.network, work.optimizer, nn.functional.cross_entropy, device="cpu"
    )
    trainer.run(work.batches(), max_epochs=1)


def keras(work: Work) -> None:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    library = import_module("keras")
    if library.backend.backend() != "torch":
        raise RuntimeError("Keras runs on another backend: unset KERAS_BACKEND")
    recipe = work.recipe
    names = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "rmsprop": "RMSprop"}
    options = dict(recipe.optimizer_options)
    if recipe.optimizer in {"adam", "adamw"}:
        options["beta_1"], options["beta_2"] = options.pop("betas", (0.9, 0.999))
        options["epsilon"] = options.pop("eps", 1e-8)
    with library.device("cpu"):
        model = library.Sequential([library.layers.TorchModuleWrapper(work.network)])
        optimizer = getattr(library.optimizers, names[str(recipe.optimizer)])(
            learning_rate=recipe.lr, weight_decay=recipe.weight_decay or None, **options
        )
        if recipe.weight_decay:
            variables = model.trainable_variables
            optimizer.exclude_from_weight_decay([v for v in variables if len(v.shape) < 2])
        loss = library.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer=optimizer, loss=loss)
        model.fit(work.loader(), epochs=1, verbose=0)


@dataclass(frozen=True)
class Peer:
    """Another way to train.

    Attributes:
        name: how the table calls it.
        package: what is imported.
        distribution: what is installed, and has a version.
        train: takes steps until there are no more ticks.
    """

    name: str
    package: str
    distribution: str
    train: Callable[[Work], None] = field(repr=False)

    def available(self) -> bool:
        return find_spec(self.package) is not None

    def version(self) -> str:
        return metadata.version(self.distribution)


PEERS = (
    Peer("the articles' loop", "torch", "torch", articles_loop),
    Peer("Lightning Trainer", "lightning", "lightning", lightning_trainer),
    Peer("Lightning Fabric", "lightning", "lightning", lightning_fabric),
    Peer("Accelerate", "accelerate", "accelerate", accelerate),
    Peer("skorch", "skorch", "skorch", skorch),
    Peer("Ignite", "ignite", "pytorch-ignite", ignite),
    Peer("Keras 3 on torch", "keras", "keras", keras),
)


class Comparison:
    """Blocks of a peer's steps between blocks of the bare loop, in one thread of control.

    A peer's loop is left running all the time: it asks for the next tick when a step is over, and
    where a block is over too, the bare loop runs before that tick is given.
    """

    def __init__(
        self, network: nn.Module, bare: Callable[[int], int], pairs: int, block_steps: int
    ) -> None:
        self.network, self.bare = network, bare
        self.pairs, self.block_steps = pairs, block_steps
        self.initial = network_state.capture(network)
        self.bare_times: list[float] = []
        self.ratios: list[float] = []

    def ticks(self) -> Iterator[None]:
        before = self._bare_block()
        for block in range(WARM_UP_BLOCKS + self.pairs):
            network_state.restore(self.network, self.initial)
            started = time.process_time()
            for _ in range(self.block_steps):
                yield
            spent = (time.process_time() - started) / self.block_steps
            self._check_peer()
            after = self._bare_block()
            if block >= WARM_UP_BLOCKS:
                bare = (before + after) / 2
                self.bare_times.append(bare)
                self.ratios.append(spent / bare)
            before = after

    def _bare_block(self) -> float:
        network_state.restore(self.network, self.initial)
        started = time.process_time()
        with torch.enable_grad():
            self.bare(self.block_steps)
        return (time.process_time() - started) / self.block_steps

    def _check_peer(self) -> None:
        """A peer that trains a copy, or on more threads, is not comparable."""
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad and torch.equal(parameter, self.initial[name]):
                raise RuntimeError(f"{name} was not trained")
        if torch.get_num_threads() != 1:
            raise RuntimeError(f"torch was set to {torch.get_num_threads()} threads")


def measure_peer(
    peer: Peer, comparison: Comparison, make_work: Callable[[Iterator[None]], Work]
) -> dict[str, Any]:
    """Train with one peer against the bare loop; its median ratio, or why there is none."""
    result: dict[str, Any] = {"peer": peer.name, "version": peer.version()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice about workers, loggers and the like
            peer.train(make_work(comparison.ticks()))
        if len(comparison.ratios) != comparison.pairs:
            raise RuntimeError(f"it ended after {len(comparison.ratios)} blocks")  # noqa: TRY301
    except Exception as error:  # noqa: BLE001 - a peer that breaks must not take our rows with it
        return result | {"failed": f"{type(error).__name__}: {error}"}
    finally:
        torch.set_num_threads(1)
    return result | {
        "pairs": comparison.pairs,
        "bare_us": statistics.median(comparison.bare_times) * 1e6,
        "cpu_ratio": statistics.median(comparison.ratios),
        "cpu_ratio_quartiles": statistics.quantiles(comparison.ratios, n=4),
    }
