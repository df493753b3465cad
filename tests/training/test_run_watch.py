"""A watched run: the same weights, rows that are true, and the first layer that dies is named."""

import copy
import io
import json
import random
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import nn

import layerwright as lw
from layerwright.errors import NonFiniteError, OptionError
from layerwright.training.run_folder import RunFolder


def data(num_samples=100, num_features=8):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(num_samples, num_features, generator=generator)
    return x, (x.sum(1) > 0).long() + (x[:, 0] > 1).long()


class Restless(nn.Module):
    """All that a second call, or one more random number, would change."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Linear(8, 16), nn.BatchNorm1d(16)
        self.noise, self.count, self.last = Noise(), Counting(), nn.Linear(16, 3)
        self.random = nn.RReLU(inplace=True)

    def forward(self, x):
        x = self.random(self.norm(self.first(x)))
        x = nn.functional.dropout(self.count(self.noise(x)), 0.3, training=self.training)
        return self.last(torch.tanh(x))


class Noise(nn.Module):
    """Draws from all three generators."""

    def forward(self, x):
        return x * (
            1 + 0.1 * float(np.random.rand()) + 0.1 * random.random() + 0.1 * torch.rand(())
        )


class Counting(nn.Module):
    """An activation that changes with each call."""

    def __init__(self):
        super().__init__()
        self.num_calls = 0

    def forward(self, x):
        self.num_calls += 1
        return nn.functional.softplus(x, beta=1 + 0.01 * self.num_calls)


def trained(folder=None, network=Restless, **options):
    recipe = {"epochs": 3, "batch_size": 16, "clip_norm": 1.0, "l1": 1e-4, "lr": 0.05, **options}
    torch.manual_seed(0)
    return lw.fit(network(), data(), recipe.pop("recipe", None), run_dir=folder, **recipe)


@pytest.mark.parametrize(
    "options",
    [{}, {"accumulate": 2}, {"precision": "bfloat16"}, {"optimizer": "sgd", "mixup": 0.3}],
    ids=str,
)
def test_watching_changes_no_bit(options, tmp_path):
    """Weights, statistics and metrics are those of the run that nobody watched."""
    plain = trained(tmp_path / "plain", **options)
    watched = trained(tmp_path / "watched", watch=True, watch_every=1, **options)
    for (name, one), two in zip(
        plain.network.state_dict().items(), watched.network.state_dict().values(), strict=True
    ):
        assert one.equal(two), name
    assert plain.network.count.num_calls == watched.network.count.num_calls
    metrics = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("plain", "watched")]
    assert metrics[0] == metrics[1]
    assert len(watched.watched) == watched.step


def test_off_by_default_and_then_without_a_trace(tmp_path, monkeypatch):
    """No hook, no file, no row: the recorder is never built."""
    monkeypatch.setattr("layerwright.training.run_watch.Recorder", None)
    run = trained(tmp_path / "run")
    assert run.watched is None
    assert not list((tmp_path / "run").glob("watch*"))


def test_hooks_hang_on_the_network_for_the_watched_steps_only():
    """And none is left at the end, nor while the network is evaluated."""
    seen = []

    class Seeing(nn.Linear):
        def __init__(self):
            super().__init__(8, 3)

        def forward(self, x):
            seen.append((self.training, bool(self._forward_hooks)))
            return super().forward(x)

    run = trained(network=Seeing, watch=True, watch_every=3)
    training = [hooked for is_training, hooked in seen if is_training]
    assert training[-run.step :] == [step % 3 == 0 for step in range(run.step)]
    assert not any(hooked for is_training, hooked in seen if not is_training)
    assert not run.network._forward_hooks


def test_rows_are_true(tmp_path):
    """For SGD the update is lr times the gradient; steps and epochs are as said."""
    torch.manual_seed(0)
    net, (x, y) = nn.Linear(8, 3), data()
    start = copy.deepcopy(net)
    run = lw.fit(
        net, (x, y), run_dir=tmp_path / "run", epochs=2, batch_size=128, validation=0.0,
        optimizer="sgd", lr=0.1, watch=True, watch_every=1, weight_decay=0.0,
    )  # fmt: skip
    rows = [json.loads(line) for line in (tmp_path / "run/watch.jsonl").read_text().splitlines()]
    assert rows == run.watched
    assert [(row["step"], row["epoch"]) for row in rows] == [(0, 1), (1, 2)]
    scores, row = start(x), rows[0]["layers"]["(network)"]
    nn.functional.cross_entropy(scores, y).backward()
    with torch.no_grad():
        assert row["num_values"] == 300
        assert row["mean"] == pytest.approx(float(scores.mean()), abs=1e-6)
        expected = 0.1 * start.weight.grad.norm() / start.weight.norm()
        assert row["update"] == pytest.approx(float(expected), rel=1e-4)
        assert row["weight"] == pytest.approx(float(start.weight.square().mean().sqrt()), rel=1e-5)


def test_about_a_hundred_records_where_nobody_says_how_many():
    """And at least one of each step in a short run."""
    long = trained(network=lambda: nn.Linear(8, 3), epochs=50, batch_size=16, watch=True)
    assert 100 <= len(long.watched) <= 150
    short = trained(network=lambda: nn.Linear(8, 3), epochs=1, watch=True)
    assert len(short.watched) == short.step


class Dying(nn.Module):
    """Its activation is switched off from the tenth training step on."""

    def __init__(self):
        super().__init__()
        self.first, self.act, self.last = nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)
        self.num_steps = 0

    def forward(self, x):
        if self.training and torch.is_grad_enabled():
            self.num_steps += 1
        return self.last(self.act(self.first(x) - (100 if self.num_steps > 10 else 0)))


def printed(folder, network=Dying, **options):
    console = Console(file=io.StringIO(), width=200)
    torch.manual_seed(0)
    lw.fit(
        network(), data(), run_dir=folder, console=console, epochs=5, batch_size=16, watch=True,
        **options,
    )  # fmt: skip
    return console.file.getvalue()


def test_the_first_layer_that_dies_is_named(tmp_path):
    """Once, when it was seen in two records; the heat map and the rows are where it says."""
    said = printed(tmp_path / "run", watch_every=2)
    lines = [line for line in said.splitlines() if "is dead" in line]
    assert len(lines) == 1
    assert "act (ReLU), called after first (Linear), is dead" in lines[0]
    step = int(lines[0].split()[2].strip(":"))
    rows = [json.loads(line) for line in (tmp_path / "run/watch.jsonl").read_text().splitlines()]
    dead = [row["step"] for row in rows if row["layers"]["act"].get("dead") == 1.0]
    assert step == dead[1]
    assert f"records in {tmp_path / 'run/watch.jsonl'}, heat map in" in said
    with Image.open(tmp_path / "run/watch.png") as picture:
        assert len(picture.convert("RGB").getcolors(10**6)) > 50


def test_a_sound_run_is_not_accused(tmp_path):
    """It says so, at the end."""
    said = printed(tmp_path / "run", network=lambda: nn.Sequential(nn.Linear(8, 3)))
    assert "watch: no layer died or exploded in" in said


def test_a_run_that_ends_in_nan_keeps_its_records(tmp_path):
    """What passed the layers before is what one wants to see then."""

    class Exploding(nn.Linear):
        def __init__(self):
            super().__init__(8, 3)
            self.num_calls = 0

        def forward(self, x):
            self.num_calls += self.training
            return super().forward(x) * (torch.nan if self.num_calls > 20 else 1)

    with pytest.raises(NonFiniteError):
        trained(tmp_path / "run", network=Exploding, epochs=9, watch=True, watch_every=4)
    rows = (tmp_path / "run/watch.jsonl").read_text().splitlines()
    assert json.loads(rows[-1])["step"] >= 8
    assert (tmp_path / "run/watch.png").stat().st_size > 1000


def test_without_matplotlib_the_records_are_written_and_the_extra_is_named(tmp_path, monkeypatch):
    """Before training starts, and the run goes on."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    said = printed(tmp_path / "run")
    assert "no heat map will be drawn" in said
    assert "layerwright[plot]" in said
    assert (tmp_path / "run/watch.jsonl").exists()
    assert not (tmp_path / "run/watch.png").exists()


def test_a_damaged_file_of_rows_costs_those_rows_only(tmp_path):
    """A kill may cut a line, a person may edit one; what comes after the checkpoint comes again."""
    folder = tmp_path / "run"
    with monkeypatched_interrupt():
        lw.fit(Restless(), data(), run_dir=folder, epochs=4, batch_size=16, watch=True,
               watch_every=2, checkpoint_every="1steps")  # fmt: skip
    assert [row["step"] for row in rows_of(folder)] == [0, 2, 4, 6]
    text = (folder / "watch.jsonl").read_text().splitlines()
    (folder / "watch.jsonl").write_text("\n".join([*text[:2], '{"step": 4}', text[3][:50]]))
    run = lw.resume(folder, Restless(), data())
    assert run.status == "finished"
    steps = [row["step"] for row in rows_of(folder)]
    assert steps[:2] == [0, 2]
    assert steps[2:] == list(range(8, run.step, 2))


def test_rows_beyond_the_checkpoint_are_dropped_and_come_again(tmp_path):
    """A run that was killed after its last checkpoint has written rows of steps it takes again."""
    folder = tmp_path / "run"
    with monkeypatched_interrupt():
        lw.fit(Restless(), data(), run_dir=folder, epochs=2, batch_size=16, watch=True,
               watch_every=7)  # fmt: skip
    with (folder / "watch.jsonl").open("a") as file:
        file.writelines(json.dumps({**rows_of(folder)[0], "step": step}) + "\n" for step in (7, 8))
    run = lw.resume(folder, Restless(), data())
    steps = [row["step"] for row in rows_of(folder)]
    assert steps == list(range(0, run.step, 7))


def rows_of(folder):
    return RunFolder(folder).read_rows("watch.jsonl")


class monkeypatched_interrupt:  # noqa: N801 - reads as a statement
    """Asks a session to stop after seven steps, as Ctrl-C does."""

    def __enter__(self):
        from layerwright.training.session import Session

        self.before = Session._on_due

        def on_due(session):
            session._interrupts.requested |= session.assembly.steps.step >= 7
            return self.before(session)

        Session._on_due = on_due

    def __exit__(self, *_):
        from layerwright.training.session import Session

        Session._on_due = self.before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"watch": True, "compile": True}, "watch expected a network that runs layer by layer"),
        ({"watch_every": 5}, "watch_every expected watch with it"),
        ({"watch": True, "watch_every": 0}, "a whole number from 1"),
    ],
)
def test_impossible_options_are_refused(options, message):
    """Before anything is built."""
    with pytest.raises(OptionError, match=message):
        lw.Recipe(**options)
