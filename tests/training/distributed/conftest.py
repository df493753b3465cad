"""Starts programs in several processes on loopback, as torchrun does."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("program.py")


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start(size, arguments, **environment):
    """Start `size` processes of a Python program; return them."""
    shared = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": str(size),
        "OMP_NUM_THREADS": "1",
        **environment,
    }
    return [
        subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]


def finish(processes, timeout=240):
    """Wait for all; return exit codes, and what each wrote to stdout and stderr."""
    said = [process.communicate(timeout=timeout) for process in processes]
    return [process.returncode for process in processes], said


@pytest.fixture(scope="session")
def launch():
    """Run a program on several processes: `launch(2, [file, argument])`."""

    def run(size, arguments, **environment):
        return finish(start(size, arguments, **environment))

    return run


@pytest.fixture(scope="session")
def start_program():
    """Start a program on several processes and leave them to the test."""
    return start


@pytest.fixture(scope="session")
def trained(tmp_path_factory, launch):
    """Train scenarios of `program.py` on several processes: `trained(2, "memory")`, by rank."""
    import torch

    def train(size, *names):
        output = tmp_path_factory.mktemp("trained") / "results.pt"
        codes, said = launch(size, [PROGRAM, output, *names])
        assert codes == [0] * size, "\n".join(err for _, err in said)
        return torch.load(output, weights_only=True)

    return train
