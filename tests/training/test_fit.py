"""Fit, seen from its user."""

import io
import json
import re
import resource
import shutil
import signal

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

import layerwright as lw
from layerwright.errors import (
    CheckpointError,
    DataError,
    NonFiniteError,
    OptionError,
    RunFolderError,
    ShapeError,
)
from layerwright.training.checkpoints import Checkpoints


@pytest.fixture(autouse=True)
def _seeded():
    """Networks that a test builds itself start from known weights."""
    torch.manual_seed(0)


def blobs(count=120, seed=0):
    """Two classes that a line separates."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    return torch.randn(count, 2, generator=generator) + 4.0 * labels[:, None], labels


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(2, 4), nn.Linear(3, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, a, b):
        return self.head(torch.relu(self.left(a) + self.right(b)))


def test_linear_regression_reaches_the_least_squares_solution():
    """Trained to the end, weights and bias are those of the normal equations."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 3))
    y = x @ [1.0, -2.0, 0.5] + 3.0 + 0.1 * generator.normal(size=200)
    solution, *_ = np.linalg.lstsq(np.c_[x, np.ones(200)], y, rcond=None)
    run = lw.fit(
        "linear-regression",
        (x.astype(np.float32), y.astype(np.float32)),
        optimizer="sgd",
        optimizer_options={"momentum": 0.9},
        lr=0.05,
        schedule="cosine",
        epochs=400,
        batch_size=200,
        validation=0.0,
    )
    weight, bias = run.network.state_dict().values()
    np.testing.assert_allclose(weight.numpy().ravel(), solution[:3], atol=1e-5)
    np.testing.assert_allclose(bias.numpy().ravel(), solution[3:], atol=1e-5)


def test_a_plain_module_learns_from_a_pair_of_tensors():
    """Nothing of ours is needed in the network; the given instance is trained in place."""
    network = nn.Linear(2, 2)
    run = lw.fit(network, blobs(), epochs=60, lr=0.1, seed=1)
    assert run.network is network
    assert run.status == "finished"
    assert run.test is None
    assert run.best["validation"]["accuracy"] > 0.95
    assert lw.evaluate(run, blobs(seed=5))["accuracy"] > 0.95


def test_a_network_with_several_inputs_trains():
    """Inputs arrive as separate arguments."""
    x, y = blobs()
    run = lw.fit(TwoInputs(), ((x, torch.cat([x, x[:, :1]], 1)), y), epochs=15, lr=0.05)
    assert run.best["validation"]["accuracy"] > 0.9


def test_the_same_seed_gives_the_same_bits_and_leaves_the_caller_s_random_state():
    """Weights are equal bit for bit; another seed differs; nothing outside is seeded."""
    torch.manual_seed(123)
    before = torch.get_rng_state()
    runs = [lw.fit("simplenet", "digits", epochs=1, seed=seed, limit=200) for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    weights = [run.network.state_dict() for run in runs]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])
    assert runs[0].history == runs[1].history


def test_settings_of_torch_are_given_back():
    """Deterministic algorithms are asked for inside only."""
    lw.fit(nn.Linear(2, 2), blobs(), epochs=1)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory


def test_the_best_weights_on_validation_are_kept(tmp_path):
    """The network ends with the weights of its best row, not of its last."""

    class Wanders(nn.Module):
        """Validation accuracy is worst at the end: the bias runs away."""

        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.tensor(0.0))
            self.epochs_seen = 0

        def forward(self, x):
            logit = x.sum(1) - 4.0 - self.bias
            return torch.stack([-logit, logit], 1)

    x, y = blobs()
    # A loss that pushes the bias up whatever the data says.
    run = lw.fit(
        Wanders(),
        (x, y),
        loss=lambda output, target: output[:, 1].mean(),
        metrics=("accuracy",),
        optimizer="sgd",
        lr=0.5,
        epochs=6,
        run_dir=tmp_path / "run",
    )
    accuracies = [row["validation"]["accuracy"] for row in run.history]
    assert accuracies[-1] < max(accuracies)
    best = accuracies.index(max(accuracies))
    assert run.best == run.history[best]
    again = lw.evaluate(run, split="validation", loss="cross-entropy")["accuracy"]
    assert again == max(accuracies)


def test_training_stops_early_when_validation_no_longer_improves():
    """Patience counts epochs without improvement."""
    run = lw.fit(
        nn.Linear(2, 2), blobs(), epochs=50, lr=1e-12, patience=2, monitor="accuracy", init="xavier"
    )
    assert run.status == "stopped early"
    assert run.epoch == run.best["epoch"] + 2


def test_without_a_run_dir_nothing_is_written(tmp_path, monkeypatch):
    """A library call writes only where it is told to."""
    monkeypatch.chdir(tmp_path)
    lw.fit(nn.Linear(2, 2), blobs(), epochs=1)
    assert list(tmp_path.iterdir()) == []


def test_a_run_folder_holds_what_was_asked_for(tmp_path):
    """Config, environment and one row an epoch, as data."""
    run = lw.fit("simplenet", "digits", epochs=2, limit=100, run_dir=tmp_path / "run")
    config = json.loads((run.dir / "config.json").read_text())
    assert config["recipe"]["network"] == "simplenet"
    assert config["recipe"]["epochs"] == 2
    assert config["resolved"]["loss"] == "cross-entropy"
    assert config["data"]["input_shape"] == [1, 28, 28]
    rows = [json.loads(line) for line in (run.dir / "metrics.jsonl").read_text().splitlines()]
    assert rows == [*run.history, {"test": run.test}]
    assert json.loads((run.dir / "environment.json").read_text())["torch"] == torch.__version__


def test_a_run_folder_is_never_overwritten(tmp_path):
    """A folder with anything in it is refused, and stays as it was."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError) as caught:
        lw.fit(nn.Linear(2, 2), blobs(), epochs=1, run_dir=tmp_path)
    assert str(caught.value) == (
        f"the run folder {tmp_path} expected nothing in it, and is not empty. "
        f"Fix: choose another --run-dir, or continue with: layerwright resume {tmp_path}"
    )
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_network_that_does_not_fit_is_refused_before_training():
    """The data's shape and torch's own words are in the message."""
    with pytest.raises(ShapeError) as caught:
        lw.fit(nn.Linear(3, 2), blobs(), epochs=1)
    assert str(caught.value) == (
        "Linear does not fit the data 'data', whose samples have the shape (2,): "
        "mat1 and mat2 shapes cannot be multiplied (2x2 and 3x2) "
        "Fix: change the network, or the data that is fed to it."
    )


def test_an_unknown_option_names_the_nearest():
    """A misspelt option is never ignored."""
    with pytest.raises(OptionError) as caught:
        lw.fit(nn.Linear(2, 2), blobs(), epoch=1)
    assert str(caught.value) == "Recipe has no option 'epoch'. Did you mean 'epochs'?"


def test_a_plain_iterator_trains_and_cannot_be_resumed(tmp_path):
    """What cannot be replayed is said at the start, and resume refuses it at its start."""
    x, y = blobs()
    stream = ((a, b) for a, b in zip(x.split(10), y.split(10), strict=True))
    run = lw.fit(nn.Linear(2, 2), stream, loss="cross-entropy", epochs=1, run_dir=tmp_path / "run")
    assert run.step == 12
    with pytest.raises(RunFolderError, match="cannot be resumed exactly"):
        lw.resume(tmp_path / "run", nn.Linear(2, 2), data=stream)


def test_resume_wants_a_user_s_own_network_again(tmp_path):
    """Nothing in a run folder is imported."""
    lw.fit(nn.Linear(2, 2), blobs(), epochs=1, run_dir=tmp_path / "run")
    with pytest.raises(OptionError) as caught:
        lw.resume(tmp_path / "run", data=blobs())
    path = tmp_path / "run"
    assert str(caught.value) == (
        f"the run in {path} used your own network (Linear), and nothing in a run folder is "
        f"imported. Fix: name it again, with --network file.py:Net, or network=... in Python."
    )


def test_resume_refuses_other_data_and_other_options(tmp_path):
    """The run's data and options are part of what makes it exact."""
    lw.fit(nn.Linear(2, 2), blobs(), epochs=1, run_dir=tmp_path / "run")
    with pytest.raises(DataError, match="first batch differs"):
        lw.resume(tmp_path / "run", nn.Linear(2, 2), blobs(seed=9))
    with pytest.raises(OptionError, match=r"optimizer expected nothing, received 'sgd'"):
        lw.resume(tmp_path / "run", nn.Linear(2, 2), blobs(), optimizer="sgd")


def test_a_finished_run_is_returned_as_it_is(tmp_path):
    """Resuming it repeats nothing and gives the best weights."""
    run = lw.fit("simplenet", "digits", epochs=2, limit=100, run_dir=tmp_path / "run")
    again = lw.resume(tmp_path / "run")
    assert (again.status, again.step, again.test) == ("finished", run.step, run.test)
    mine, theirs = run.network.state_dict(), again.network.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_two_processes_cannot_train_into_one_folder(tmp_path):
    """While one holds the folder the other is refused."""
    from layerwright.training.run_folder import RunFolder

    lw.fit(nn.Linear(2, 2), blobs(), epochs=1, run_dir=tmp_path / "run")
    holder = RunFolder.open(tmp_path / "run")
    with pytest.raises(RunFolderError) as caught:
        lw.resume(tmp_path / "run", nn.Linear(2, 2), blobs())
    holder.close()
    assert str(caught.value) == (
        f"the run folder {tmp_path / 'run'} is in use by another process. "
        "Fix: wait for it, or train into another folder with --run-dir."
    )


class Poison(nn.Module):
    """Finite at 0, with an infinite slope, for the samples whose first value is marked."""

    def forward(self, x):
        marked = (x[:, :1] > 90).any()
        return x + torch.sqrt((x * 0).sum()) if marked else x


@pytest.mark.parametrize("with_folder", [False, True])
def test_a_non_finite_gradient_stops_the_run_and_names_module_step_and_samples(
    tmp_path, with_folder
):
    """The loss is finite; the weights never become otherwise; the cause is found by replay."""
    x, y = blobs()
    x[37, 0] = 99.0
    network = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Identity(), Poison()))
    nn.init.eye_(network[0].weight)
    with pytest.raises(NonFiniteError) as caught:
        lw.fit(
            network,
            (x, y),
            epochs=3,
            batch_size=10,
            lr=1e-6,
            validation=0.0,
            run_dir=tmp_path / "run" if with_folder else None,
        )
    message = str(caught.value)
    assert re.match(
        r"training stopped at step (\d+) \(epoch 1, batch \1\): the first non-finite value is the "
        r"gradient with respect to the input of `1\.1` \(Poison\): 20 NaN and 0 infinite of 20 "
        r"values\. The batch holds the training samples (\d+, )+\.\.\. Fix: ",
        message,
    ), message
    if with_folder:
        assert "The checkpoint of step 0 is intact" in message
        state = Checkpoints(tmp_path / "run" / "checkpoints")
        assert all(torch.isfinite(v).all() for v in state.newest_intact()["network"].values())
    assert all(torch.isfinite(p).all() for p in network.parameters())


def test_an_update_that_overflows_never_reaches_a_checkpoint(tmp_path):
    """Finite gradients, infinite weights: noticed before the next checkpoint is written."""
    with pytest.raises(NonFiniteError):
        lw.fit(
            nn.Linear(2, 1),
            (torch.full((64, 2), 1e10), torch.zeros(64)),
            optimizer="sgd",
            lr=1e30,
            epochs=2,
            batch_size=8,
            run_dir=tmp_path / "run",
            checkpoint_every="1steps",
        )
    state = Checkpoints(tmp_path / "run" / "checkpoints").newest_intact()
    assert all(torch.isfinite(value).all() for value in state["network"].values())


class Scaled(nn.Module):
    """Gradients of 1e25: finite, with squares that are not."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x):
        return self.layer(x) * 1e25


@pytest.mark.parametrize("checkpoint_every", ["3steps", "30s"])
def test_an_optimizer_state_that_overflows_never_reaches_a_checkpoint(tmp_path, checkpoint_every):
    """Adam's squares become infinite while weights stay finite; the last checkpoint counts too."""
    with pytest.raises(NonFiniteError) as caught:
        lw.fit(
            Scaled(),
            (torch.ones(64, 2), torch.zeros(64)),
            loss=lambda output, target: output.sum(),
            metrics=("mae",),
            epochs=1,
            batch_size=8,
            validation=0.0,
            run_dir=tmp_path / "run",
            checkpoint_every=checkpoint_every,
        )
    assert str(caught.value).startswith(
        "training stopped: the optimizer's exp_avg_sq of layer.weight became non-finite in the "
        "update of step 1 (epoch 1); loss and gradients were finite. "
        "Fix: lower --lr, or clip gradients with --clip-norm."
    )
    assert Checkpoints(tmp_path / "run" / "checkpoints").steps() == [0]


def test_bfloat16_autocast_trains():
    """Lower precision changes the arithmetic, not the interface."""
    run = lw.fit(nn.Linear(2, 2), blobs(), epochs=60, lr=0.1, precision="bfloat16")
    assert run.best["validation"]["accuracy"] > 0.9
    assert run.network.weight.dtype == torch.float32


def test_weight_decay_spares_biases():
    """With a gradient of zero, weights shrink and biases stay."""
    network = nn.Linear(2, 1)
    before = network.bias.detach().clone()
    weights = network.weight.detach().clone()
    lw.fit(
        network,
        (torch.randn(32, 2), torch.zeros(32)),
        loss=lambda output, target: output.sum() * 0.0,
        metrics=("mae",),
        optimizer="sgd",
        lr=0.1,
        weight_decay=0.5,
        epochs=1,
        batch_size=32,
        validation=0.0,
    )
    torch.testing.assert_close(network.weight.detach(), weights * (1 - 0.1 * 0.5))
    assert torch.equal(network.bias.detach(), before)


def test_tensorboard_events_are_written_on_request(tmp_path):
    """The event file is where TensorBoard looks for it, and holds the rows' numbers."""
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is an extra"
    )
    run = lw.fit(nn.Linear(2, 2), blobs(), epochs=2, run_dir=tmp_path / "run", tensorboard=True)
    events = event_accumulator.EventAccumulator(str(run.dir / "tensorboard")).Reload()
    values = [event.value for event in events.Scalars("validation/accuracy")]
    assert values == pytest.approx([row["validation"]["accuracy"] for row in run.history])


class FlattensWithView(nn.Module):
    """Works on contiguous maps only, as the articles' networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4 * 36, 10)

    def forward(self, x):
        return self.head(self.conv(x).view(-1, 4 * 36))


class ReadsStrides(nn.Module):
    """Gives other answers, without an error, when its maps lie otherwise in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4 * 36, 10)

    def forward(self, x):
        maps = self.conv(x)
        return self.head(maps.as_strided((len(x), 4 * 36), (4 * 36, 1)))


@pytest.mark.parametrize("network", [FlattensWithView, ReadsStrides])
def test_a_network_that_depends_on_its_memory_layout_is_left_alone(network):
    """The faster layout is taken only where it changes nothing."""
    run = lw.fit(network(), "digits", epochs=1, limit=64)
    assert run.network.conv.weight.is_contiguous()


def test_convolutions_are_laid_out_channels_last_on_the_cpu():
    """Where the answers are the same, the faster layout is the default."""
    run = lw.fit("customnet", "digits", epochs=1, limit=64)
    weights = [p for p in run.network.parameters() if p.dim() == 4 and p.shape[1] > 1]
    assert weights
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)


@pytest.mark.parametrize("labels", [torch.int64, torch.bool])
def test_logistic_regression_learns_two_classes_however_they_are_written(labels, tmp_path):
    """One logit a sample and two classes are a binary task, in the run and after it."""
    x, y = blobs()
    run = lw.fit(
        "logistic-regression", (x, y.to(labels)), epochs=20, lr=0.1, run_dir=tmp_path / "run"
    )
    assert run.best["validation"]["accuracy"] > 0.95
    again = lw.evaluate(tmp_path / "run", (x, y.to(labels)))
    assert again["accuracy"] > 0.95
    assert lw.predict(tmp_path / "run", x).classes.eq(y).float().mean() > 0.95


class FillsTheDisk(nn.Module):
    """After some steps, no file may grow any more: what a full disk looks like to a process."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.calls = nn.Linear(2, 2), 0

    def forward(self, x):
        self.calls += 1
        if self.calls == 12:
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        return self.layer(x)


def test_a_full_disk_ends_the_run_and_keeps_the_previous_checkpoint(tmp_path):
    """The message says what to do; resumed with space, the run ends like the undisturbed one."""
    options = {"epochs": 3, "batch_size": 10, "checkpoint_every": "4steps", "seed": 1}
    network = FillsTheDisk()
    fresh = {name: value.clone() for name, value in network.layer.state_dict().items()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(CheckpointError, match="Fix: free disk space"):
            lw.fit(network, blobs(), run_dir=tmp_path / "run", **options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)

    def healthy():
        again = FillsTheDisk()
        again.calls = 10**6
        again.layer.load_state_dict(fresh)
        return again

    resumed = lw.resume(tmp_path / "run", healthy(), blobs())
    undisturbed = lw.fit(healthy(), blobs(), **options)
    assert resumed.history == undisturbed.history
    assert torch.equal(resumed.network.layer.weight, undisturbed.network.layer.weight)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler warns of itself
def test_compiled_training_learns_and_saves_plain_names(tmp_path):
    """torch.compile changes the speed, not the interface: the folder loads without it."""
    if shutil.which("c++") is None and shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler on the CPU, and there is none")
    run = lw.fit("simplenet", "digits", epochs=5, compile=True, run_dir=tmp_path / "run")
    assert run.test["accuracy"] > 0.85
    assert lw.evaluate(tmp_path / "run")["accuracy"] == pytest.approx(
        run.test["accuracy"], abs=0.01
    )


def test_a_folder_of_images_of_mixed_sizes_trains_and_predicts(tmp_path):
    """Two classes told apart by brightness; scaled to one size, in training and afterwards."""
    image = pytest.importorskip("PIL.Image", reason="pillow is an extra")
    generator = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 200)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(24):
            size = (10 + index % 5, 12)
            noise = generator.integers(0, 40, size=(*size, 3))
            pixels = (level + noise).astype(np.uint8)
            image.fromarray(pixels).save(tmp_path / "photos" / name / f"{index}.png")
    with pytest.raises(DataError, match="image_size"):
        lw.fit("customnet", str(tmp_path / "photos"), epochs=1)
    run = lw.fit(
        "customnet",
        str(tmp_path / "photos"),
        image_size=8,
        epochs=8,
        lr=3e-3,
        batch_size=8,
        run_dir=tmp_path / "run",
    )
    assert run.best["validation"]["accuracy"] == 1.0
    files = [tmp_path / "photos" / name / "3.png" for name in ("light", "dark", "light")]
    assert lw.predict(tmp_path / "run", files).labels() == ["light", "dark", "light"]
    assert lw.evaluate(tmp_path / "run", split="validation")["accuracy"] == 1.0


def test_the_last_line_is_the_metric_whatever_selects_the_weights():
    """Selected by loss, quoted by accuracy."""
    file = io.StringIO()
    console = Console(file=file, width=120)
    run = lw.fit("simplenet", "digits", epochs=2, limit=100, monitor="loss", console=console)
    lines = file.getvalue().splitlines()
    losses = [row["validation"]["loss"] for row in run.history]
    assert run.best["validation"]["loss"] == min(losses)
    assert lines[-1] == f"test accuracy {100 * run.test['accuracy']:.2f} %"
    assert lines[-3] == (f"best epoch {run.best['epoch']} (validation loss {min(losses):.4f})")
