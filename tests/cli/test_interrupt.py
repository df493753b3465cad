"""Ctrl-C, as a person sees it."""

import os
import signal
import subprocess
import sys

import pytest


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_ctrl_c_stops_with_130_and_says_how_to_continue(tmp_path):
    """While it runs nobody else may have the folder; afterwards the run is taken up again."""
    command = [sys.executable, "-m", "layerwright"]
    words = ["train", "softmax-classifier", "--epochs", "100000", "--run-dir", "run"]
    with subprocess.Popen(
        [*command, *words], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as process:
        lines = [process.stdout.readline() for _ in range(4)]  # the last one is of an epoch
        second = subprocess.run(
            [*command, "resume", "run"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert "run folder: run\n" in lines
    assert second.returncode == 2
    assert second.stderr.startswith("error: the run folder run is in use by another process. ")
    assert process.returncode == 130
    assert rest.splitlines()[-1].endswith("; continue with: layerwright resume run")
