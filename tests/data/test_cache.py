import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from layerwright.data import cache
from layerwright.data.cache import cache_folder, cached_tensors
from layerwright.errors import DataError

SOURCE = "files 123"


def tensors():
    return {
        "images": torch.arange(24, dtype=torch.uint8).view(2, 3, 4),
        "labels": torch.tensor([1, 2]),
    }


def refuse():
    raise AssertionError("the source was read")


def unavailable():
    raise DataError("the hub cannot be reached.")


def only_file():
    (path,) = cache_folder().glob("*.safetensors")
    return path


def same(found):
    return found.keys() == tensors().keys() and all(
        torch.equal(found[name], value) and found[name].dtype == value.dtype
        for name, value in tensors().items()
    )


def test_the_second_call_does_not_build():
    """What comes from the cache is what was built, and can be written to."""
    assert same(cached_tensors("toy", SOURCE, tensors).tensors)
    cached = cached_tensors("toy", SOURCE, refuse)
    assert same(cached.tensors)
    assert cached.notes == ()
    cached.tensors["labels"][0] = 9
    assert same(cached_tensors("toy", SOURCE, refuse).tensors)


def test_another_source_or_version_is_another_file(monkeypatch):
    """Changed files are decoded again; a new version of layerwright may mean something else."""
    cached_tensors("toy", SOURCE, tensors)
    assert cached_tensors("toy", "files 456", lambda: {"a": torch.ones(1)}).tensors.keys() == {"a"}
    monkeypatch.setattr(cache, "CACHE_VERSION", 2)
    assert cached_tensors("toy", SOURCE, lambda: {"b": torch.ones(1)}).tensors.keys() == {"b"}
    assert len(list(cache_folder().glob("*.safetensors"))) == 3


def test_nothing_is_left_beside_the_file():
    """The file written aside was renamed; only the lock's file stays."""
    cached_tensors("toy", SOURCE, tensors)
    names = sorted(path.name for path in cache_folder().iterdir())
    assert names == [only_file().name, only_file().name + ".lock"]


def truncate(path):
    path.write_bytes(path.read_bytes()[:-5])


def empty(path):
    path.write_bytes(b"")


def flip_one_bit(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def rename_a_tensor(path):
    content = load_file(path)
    content["other"] = content.pop("labels")
    save_file(content, path, {"sha256": "0", "source": SOURCE, "version": "1"})


def claim_another_source(path):
    content = path.read_bytes()
    path.write_bytes(content.replace(b"files 123", b"files 124"))


def write_garbage(path):
    path.write_bytes(os.urandom(500))


DAMAGES = [truncate, empty, flip_one_bit, rename_a_tensor, claim_another_source, write_garbage]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_built_anew(damage):
    """It is recognised, replaced, and the replacement is said."""
    cached_tensors("toy", SOURCE, tensors)
    damage(only_file())
    cached = cached_tensors("toy", SOURCE, tensors)
    assert same(cached.tensors)
    (note,) = cached.notes
    assert note.startswith(f"The damaged cache file {only_file()} was replaced (")
    assert same(cached_tensors("toy", SOURCE, refuse).tensors)


def test_a_damaged_file_without_its_source_is_named():
    """The message names the file, the damage, why the source is not there, and the fix."""
    cached_tensors("toy", SOURCE, tensors)
    flip_one_bit(only_file())
    with pytest.raises(DataError) as caught:
        cached_tensors("toy", SOURCE, unavailable)
    assert str(caught.value) == (
        f"the cache file {only_file()} expected intact data, received a damaged file (its checksum "
        "does not match its content), and its source cannot be read: the hub cannot be reached. "
        "Fix: make the source available, then start again; the file is replaced."
    )


def test_an_error_of_the_source_is_passed_on():
    """Without a damaged file there is nothing to add."""
    with pytest.raises(DataError, match=r"^the hub cannot be reached\.$"):
        cached_tensors("toy", SOURCE, unavailable)
    assert list(cache_folder().glob("*.safetensors")) == []


def test_a_folder_that_cannot_be_written_is_only_noted(monkeypatch, tmp_path):
    """The data is there all the same."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    cached = cached_tensors("toy", SOURCE, tensors)
    assert same(cached.tensors)
    assert cached.notes == (
        f"The decoded data could not be kept in {blocked}/layerwright (Not a directory).",
    )


def test_a_full_disk_is_only_noted(monkeypatch):
    """Nothing half-written stays behind."""

    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.os, "fsync", full)
    cached = cached_tensors("toy", SOURCE, tensors)
    assert same(cached.tensors)
    assert cached.notes == (
        f"The decoded data could not be kept in {cache_folder()} (No space left on device).",
    )
    assert [path.suffix for path in cache_folder().iterdir()] == [".lock"]


def test_the_folder_follows_the_xdg_rules(monkeypatch, tmp_path):
    """A relative XDG_CACHE_HOME does not count."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "layerwright"
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache_folder() == Path.home() / ".cache" / "layerwright"


def test_of_several_processes_one_builds(tmp_path):
    """The others wait for it and read what it wrote."""
    script = """
import sys, time, torch
from pathlib import Path
from layerwright.data.cache import cached_tensors
def build():
    with open(sys.argv[1], "a") as log: log.write("built\\n")
    time.sleep(1.0)
    return {"a": torch.arange(1000)}
Path(sys.argv[2]).touch()
while len(list(Path(sys.argv[2]).parent.glob("ready*"))) < 2: time.sleep(0.01)
print(int(cached_tensors("toy", "source", build).tensors["a"].sum()))
"""
    log = tmp_path / "log"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(log), str(tmp_path / f"ready{number}")],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    assert [process.communicate(timeout=60)[0] for process in processes] == ["499500\n"] * 2
    assert log.read_text() == "built\n"


def test_a_process_killed_while_it_writes_leaves_no_damaged_file(tmp_path):
    """The lock is free again, and the next process builds."""
    script = """
import os, sys, torch
from layerwright.data import cache
cache.os.fsync = lambda file: os.kill(os.getpid(), 9)
cache.cached_tensors("toy", "source", lambda: {"a": torch.arange(1000)})
"""
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == -9
    assert list(cache_folder().glob("*.safetensors")) == []
    built = cached_tensors("toy", "source", lambda: {"a": torch.ones(1)})
    assert built.tensors["a"].tolist() == [1.0]
    assert built.notes == ()
