"""The main job: `layerwright train`, with nothing else said."""

import json
import re
import subprocess
import sys


def test_without_arguments_a_network_of_custom_layers_learns_the_digits(tmp_path):
    """The real program ends with the line that its users quote, and the run can be used."""
    command = [sys.executable, "-m", "layerwright"]
    done = subprocess.run(
        [*command, "train"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300
    )
    last = done.stdout.splitlines()[-1]
    accuracy = float(re.fullmatch(r"test accuracy (\d+\.\d\d) %", last)[1])
    assert accuracy >= 97.0
    assert "run folder: runs/customnet-digits-1" in done.stdout
    again = subprocess.run(
        [*command, "evaluate", "runs/customnet-digits-1", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    values = json.loads(again.stdout)["values"]
    assert round(100 * values["accuracy"], 2) == accuracy


def test_the_same_command_gives_the_same_bits_in_another_process(tmp_path):
    """Metrics are equal to the last digit, and the next folder is taken."""
    command = [sys.executable, "-m", "layerwright", "train", "--epochs", "2", "--threads", "1"]
    for _ in range(2):
        subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, timeout=300)
    runs = tmp_path / "runs"
    first, second = runs / "customnet-digits-1", runs / "customnet-digits-2"
    assert (first / "metrics.jsonl").read_bytes() == (second / "metrics.jsonl").read_bytes()
    checkpoint = "checkpoints/step-00000042/network.safetensors"
    assert (first / checkpoint).read_bytes() == (second / checkpoint).read_bytes()
