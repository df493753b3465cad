"""Checkpoints: complete or absent, verified, and never a way to run code."""

import json
import os
import resource
import signal
import subprocess
import sys

import pytest
import torch

from layerwright.errors import CheckpointError
from layerwright.training.checkpoints import Checkpoints, load


def state(step: int) -> dict:
    weight = torch.arange(6.0).reshape(2, 3) + step
    return {
        "network": {"weight": weight, "tied": weight, "count": torch.tensor(step)},
        "best": {"weight": weight * 2, "tied": weight * 2, "count": torch.tensor(step)},
        "training": {"step": step, "optimizer": {"state": {0: {"m": weight + 1}}}, "note": "x"},
    }


def test_what_is_saved_comes_back(tmp_path):
    """Tensors, tied names, best weights and plain values survive the way to disk."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(state(7))
    loaded = checkpoints.newest_intact()
    assert torch.equal(loaded["network"]["weight"], torch.arange(6.0).reshape(2, 3) + 7)
    assert torch.equal(loaded["network"]["tied"], loaded["network"]["weight"])
    assert torch.equal(loaded["best"]["weight"], (torch.arange(6.0).reshape(2, 3) + 7) * 2)
    assert loaded["training"]["note"] == "x"
    expected = torch.arange(6.0).reshape(2, 3) + 8
    assert torch.equal(loaded["training"]["optimizer"]["state"][0]["m"], expected)


def test_only_the_newest_two_are_kept(tmp_path):
    """Old checkpoints are dropped, by step and not by name or time."""
    checkpoints = Checkpoints(tmp_path)
    for step in (5, 100, 20):
        checkpoints.save(state(step))
    assert checkpoints.steps() == [20, 100]


@pytest.mark.parametrize("name", ["network.safetensors", "training.pt", "best.safetensors"])
@pytest.mark.parametrize("damage", ["truncate", "flip", "remove"])
def test_a_damaged_file_is_recognised_and_the_older_checkpoint_is_used(tmp_path, name, damage):
    """Truncated, altered and missing files are named; the newest intact checkpoint is loaded."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(state(1))
    newest = checkpoints.save(state(2))
    path = newest / name
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        path.write_bytes(content[:-1])
    elif damage == "flip":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.unlink()
    assert checkpoints.newest_intact()["training"]["step"] == 1
    what = f"{name} is missing." if damage == "remove" else f"{name} is truncated or was altered."
    assert checkpoints.problems == [f"{newest} is damaged: {what}"]


def test_an_altered_manifest_is_recognised(tmp_path):
    """A manifest whose own hash disagrees is not believed."""
    checkpoints = Checkpoints(tmp_path)
    path = checkpoints.save(state(3)) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["step"] = 4
    path.write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError) as caught:
        checkpoints.newest_intact()
    folder = tmp_path / "step-00000003"
    assert str(caught.value) == (
        f"{tmp_path} expected an intact checkpoint. {folder} is damaged: manifest.json was altered."
    )


def test_an_empty_folder_says_that_it_holds_none(tmp_path):
    """Without any checkpoint the message says so."""
    with pytest.raises(CheckpointError) as caught:
        Checkpoints(tmp_path / "nothing").newest_intact()
    folder = tmp_path / "nothing"
    assert str(caught.value) == f"{folder} expected an intact checkpoint. It holds none."


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.system, (f"touch {self.path}",))


def test_a_malicious_pickle_is_refused_even_with_matching_hashes(tmp_path):
    """Somebody who rewrites the manifest too cannot make loading run code."""
    checkpoints = Checkpoints(tmp_path)
    folder = checkpoints.save(state(3))
    proof = tmp_path / "executed"
    torch.save({"step": 3, "payload": Malicious(proof)}, folder / "training.pt")
    script = (
        "import sys, json, pathlib\n"
        "from layerwright.training import checkpoints as c\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "manifest = json.loads((folder / 'manifest.json').read_text())\n"
        "manifest.pop('self')\n"
        "manifest['sha256']['training.pt'] = c._sha256(folder / 'training.pt')\n"
        "manifest['self'] = c._digest(manifest)\n"
        "(folder / 'manifest.json').write_text(json.dumps(manifest))\n"
    )
    subprocess.run([sys.executable, "-c", script, str(folder)], check=True)
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    assert str(caught.value) == (
        f"{folder} is refused: training.pt holds more than tensors and plain values, "
        "and loading it could run code."
    )
    assert not proof.exists()


def test_a_manifest_cannot_point_outside_the_folder(tmp_path):
    """A file name with a path in it is not followed."""
    checkpoints = Checkpoints(tmp_path)
    folder = checkpoints.save(state(3))
    from layerwright.training.checkpoints import _digest

    manifest = json.loads((folder / "manifest.json").read_text())
    manifest.pop("self")
    manifest["sha256"] = {"../../etc/passwd": "0"}
    (folder / "manifest.json").write_text(json.dumps({**manifest, "self": _digest(manifest)}))
    with pytest.raises(CheckpointError, match=r"passwd is missing\."):
        load(folder)


def test_a_full_disk_leaves_the_previous_checkpoint_intact(tmp_path):
    """A write that the system refuses ends in a clear error, without leftovers."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(state(1))
    big = state(2)
    big["network"]["large"] = torch.zeros(1_000_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(CheckpointError) as caught:
            checkpoints.save(big)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    message = str(caught.value)
    assert message.startswith(f"the checkpoint of step 2 could not be written to {tmp_path}: ")
    assert message.endswith(
        "The checkpoint of step 1 is intact. "
        "Fix: free disk space or mend the folder, then resume the run."
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000001"]
    assert checkpoints.newest_intact()["training"]["step"] == 1


def test_leftovers_of_a_killed_writer_are_removed(tmp_path):
    """A half-written folder is never taken for a checkpoint, and goes at the next write."""
    leftover = tmp_path / ".writing-00000009-1"
    leftover.mkdir(parents=True)
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps() == []
    checkpoints.save(state(1))
    assert not leftover.exists()
