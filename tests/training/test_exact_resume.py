"""A run that is stopped anywhere ends as if it never had been: bit for bit."""

import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from layerwright.training.checkpoints import Checkpoints

PROGRAM = Path(__file__).with_name("interruptible_run.py")
CHECKPOINT_EVERY = 3  # steps, as in the program
ACCUMULATE = 2
TRIALS = 1  # forward passes by which each start finds out which memory layout the network bears


def start(run_dir, kind, counter):
    command = [sys.executable, str(PROGRAM), str(run_dir), kind, str(counter)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.split()


def passes(counter):
    return counter.stat().st_size if counter.exists() else 0


def stop_after(process, counter, count, number):
    """Send a signal once `count` more forward passes were begun; say whether it was in time."""
    target = passes(counter) + count
    while passes(counter) < target and process.poll() is None:
        time.sleep(0.0005)
    if process.poll() is None:
        process.send_signal(number)
    process.communicate(timeout=120)


@pytest.fixture(scope="module", params=["memory", "workers"])
def uninterrupted(request, tmp_path_factory):
    """The run that nothing disturbs: what it leaves is what each other one must leave."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    status, steps = finish(start(folder / "run", request.param, folder / "counter"))
    assert status == "finished"
    return request.param, folder / "run", int(steps)


def assert_same_bits(run_dir, reference):
    mine = Checkpoints(run_dir / "checkpoints").newest_intact()
    theirs = Checkpoints(reference / "checkpoints").newest_intact()
    assert differences(mine, theirs) == []
    for name in ("metrics.jsonl", "watch.jsonl"):
        assert (run_dir / name).read_bytes() == (reference / name).read_bytes()


def differences(a, b, path="state"):
    if isinstance(a, torch.Tensor):
        same = a.dtype == b.dtype and a.shape == b.shape
        same = same and a.contiguous().view(-1).view(torch.uint8).equal(
            b.contiguous().view(-1).view(torch.uint8)
        )
        return [] if same else [path]
    if isinstance(a, dict):
        if set(a) != set(b):
            return [path]
        return [d for key in a for d in differences(a[key], b[key], f"{path}.{key}")]
    if isinstance(a, list | tuple):
        if len(a) != len(b):
            return [path]
        pairs = enumerate(zip(a, b, strict=True))
        return [d for i, (x, y) in pairs for d in differences(x, y, f"{path}[{i}]")]
    return [] if a == b else [path]


def interrupt_until_done(tmp_path, kind, seed, stops):
    """Kill and resume a run several times at random moments, then let it finish."""
    generator = random.Random(seed)
    run_dir, counter = tmp_path / "run", tmp_path / "counter"
    for _ in range(stops):
        number = generator.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT])
        stop_after(start(run_dir, kind, counter), counter, generator.randint(1, 30), number)
    status, steps = finish(start(run_dir, kind, counter))
    assert status == "finished"
    return run_dir, int(steps), passes(counter)


def test_killed_and_resumed_runs_end_with_the_same_bits(uninterrupted, tmp_path):
    """Weights, best weights, optimizer, random state, history and both files of rows."""
    kind, reference, steps = uninterrupted
    run_dir, resumed_steps, _ = interrupt_until_done(tmp_path, kind, seed=1, stops=3)
    assert resumed_steps == steps
    assert_same_bits(run_dir, reference)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_many_kills_at_random_moments(uninterrupted, tmp_path, seed):
    """The same with more kills, for `make proof`."""
    kind, reference, _ = uninterrupted
    run_dir, _, _ = interrupt_until_done(tmp_path, kind, seed=100 + seed, stops=5)
    assert_same_bits(run_dir, reference)


def test_a_resume_repeats_no_more_than_the_checkpoint_interval(uninterrupted, tmp_path):
    """Forward passes are counted in a file: killed once, the run repeats at most 3 steps."""
    kind, reference, _ = uninterrupted
    full = passes(reference.parent / "counter")
    run_dir, counter = tmp_path / "run", tmp_path / "counter"
    stop_after(start(run_dir, kind, counter), counter, 23, signal.SIGKILL)
    status, _ = finish(start(run_dir, kind, counter))
    assert status == "finished"
    repeated = passes(counter) - full - TRIALS
    # Killed while a checkpoint is written: the one before it is 3 steps older.
    assert 0 <= repeated <= (CHECKPOINT_EVERY + 1) * ACCUMULATE
    assert_same_bits(run_dir, reference)


def test_ctrl_c_repeats_nothing(uninterrupted, tmp_path):
    """The first Ctrl-C ends the run between two steps with a checkpoint of that very step."""
    kind, reference, _ = uninterrupted
    full = passes(reference.parent / "counter")
    run_dir, counter = tmp_path / "run", tmp_path / "counter"
    process = start(run_dir, kind, counter)
    target = 21
    while passes(counter) < target:
        time.sleep(0.0005)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert re.fullmatch(r"interrupted \d+", out.strip())
    status, _ = finish(start(run_dir, kind, counter))
    assert status == "finished"
    assert passes(counter) == full + TRIALS
    assert_same_bits(run_dir, reference)


def test_the_same_seed_gives_the_same_bits_in_another_process(uninterrupted, tmp_path):
    """Two undisturbed runs are identical; another seed is not."""
    kind, reference, _ = uninterrupted
    finish(start(tmp_path / "run", kind, tmp_path / "counter"))
    assert_same_bits(tmp_path / "run", reference)
