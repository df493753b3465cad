"""A process that ends ends the run everywhere, with a reason; what was done is not lost."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

PROGRAM = Path(__file__).with_name("stopped.py")


def load_program():
    specification = importlib.util.spec_from_file_location("stopped_program", PROGRAM)
    program = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(program)
    return program


def largest_difference(one, other):
    """The largest difference of two sets of weights, in shares of each tensor's largest value."""
    return max(
        float((one[name] - other[name]).abs().max() / one[name].abs().max().clamp(min=1e-30))
        for name in one
        if one[name].is_floating_point()
    )


def test_a_killed_process_ends_the_run_with_a_reason(launch, tmp_path):
    """The other one says within a minute who has gone, and where to go on."""
    started = time.monotonic()
    codes, said = launch(2, [PROGRAM, tmp_path / "run", "kill"])
    assert time.monotonic() - started < 60
    assert codes == [1, -signal.SIGKILL]
    message = said[0][1]
    assert "ProcessError: training stopped on rank 0: rank 1 (process " in message
    assert ") has not answered for " in message
    assert f"-m layerwright resume {tmp_path / 'run'}; torchrun --max-restarts" in message
    assert "rank 1 (process " in (tmp_path / "run" / "logs" / "rank-0.log").read_text()


def test_an_error_in_one_process_is_told_in_all(launch, tmp_path):
    """Rank 1 shows its traceback, rank 0 its message."""
    codes, said = launch(2, [PROGRAM, tmp_path / "run", "raise"])
    assert codes == [1, 1]
    assert "rank 1 failed: ValueError: this layer has a fault" in said[0][1]
    assert "Traceback" in said[1][1]
    assert "this layer has a fault" in (tmp_path / "run" / "logs" / "rank-1.log").read_text()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows cannot stop a process")
def test_a_process_that_hangs_ends_the_run(start_program, tmp_path):
    """It keeps its connections, so that nothing but its silence tells: 30 s of it."""
    first, second = start_program(2, [PROGRAM, tmp_path / "run", "hang"])
    try:
        _, said = first.communicate(timeout=120)
    finally:
        second.kill()
        second.communicate()
    assert first.returncode == 1
    assert "training stopped on rank 0: rank 1 (process " in said


@pytest.mark.slow
def test_torchrun_takes_up_a_killed_run_exactly(launch, tmp_path):
    """The restarted run ends with the bits of the undisturbed one: no sample lost or repeated."""
    disturbed, undisturbed = tmp_path / "disturbed", tmp_path / "undisturbed"
    torchrun = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
        *("--max-restarts", "1", "--master-port", "0", "--standalone"),
    ]
    done = subprocess.run(
        [*torchrun, PROGRAM, disturbed, "kill", tmp_path / "a.pt", "0.3"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    codes, said = launch(2, [PROGRAM, undisturbed, "nothing", tmp_path / "b.pt", "0.3"])
    assert codes == [0, 0], said
    a, b = (torch.load(tmp_path / name, weights_only=True) for name in ("a.pt", "b.pt"))
    assert all(a["weights"][name].equal(b["weights"][name]) for name in b["weights"])
    assert (disturbed / "metrics.jsonl").read_bytes() == (
        undisturbed / "metrics.jsonl"
    ).read_bytes()
    restarts = (disturbed / "logs" / "rank-0.log").read_text().count("rank 0 of 2: process ")
    assert restarts == 2


@pytest.mark.slow
@pytest.mark.parametrize("environment", [{}, {"SHARD": "1"}], ids=["replicas", "shards"])
def test_a_run_of_two_processes_goes_on_with_one_and_with_three(launch, tmp_path, environment):
    """A SIGTERM to one of them stops both after the same step; the rest gives the same weights."""
    program = load_program()
    arguments = [PROGRAM, tmp_path / "two", "interrupt", tmp_path / "two.pt"]
    codes, said = launch(2, arguments, **environment)
    assert codes == [0, 0], said
    assert torch.load(tmp_path / "two.pt", weights_only=True)["status"] == "interrupted"
    subprocess.run(["cp", "-r", tmp_path / "two", tmp_path / "three"], check=True)
    whole = program.results(program.train(tmp_path / "whole", "nothing"))
    one = program.results(program.train(tmp_path / "two", "resume"))
    codes, said = launch(3, [PROGRAM, tmp_path / "three", "resume", tmp_path / "three.pt"])
    assert codes == [0, 0, 0], said
    three = torch.load(tmp_path / "three.pt", weights_only=True)
    for resumed in (one, three):
        assert resumed["status"] == "finished"
        assert largest_difference(whole["weights"], resumed["weights"]) < 100 * 2**-53
        rows = zip(resumed["history"], whole["history"], strict=True)
        for mine, theirs in rows:
            assert mine["train"]["loss"] == pytest.approx(theirs["train"]["loss"], rel=1e-12)


def test_a_loss_that_is_infinite_in_one_process_stops_all_at_one_step(launch, tmp_path):
    """Its gradients are finite, and another process would know nothing of it."""
    codes, said = launch(2, [PROGRAM, tmp_path / "run", "explode"])
    assert codes == [1, 1]
    first, second = ([line for line in err.splitlines() if "Error:" in line] for _, err in said)
    assert "NonFiniteError: training stopped at step " in first[-1]
    assert "loss; every module's output is finite" in first[-1]
    assert second[-1].split(" The checkpoint")[0] == first[-1].split(" The checkpoint")[0]
