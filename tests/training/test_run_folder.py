"""Run folders: new, locked, and readable as data."""

import json
import subprocess
import sys

import pytest

from layerwright.errors import RunFolderError
from layerwright.training.run_folder import RunFolder, next_run_dir, read_config


def test_folders_are_numbered_and_never_given_twice(tmp_path):
    """The first free number is taken, a gap included."""
    assert next_run_dir(tmp_path / "runs", "net").name == "net-1"
    assert next_run_dir(tmp_path / "runs", "net").name == "net-2"
    (tmp_path / "runs" / "net-1").rmdir()
    assert next_run_dir(tmp_path / "runs", "net").name == "net-1"


def test_racing_processes_get_different_folders(tmp_path):
    """Many processes at once: each name is given once."""
    code = (
        "import sys; from pathlib import Path; "
        "from layerwright.training.run_folder import next_run_dir; "
        "print(*[next_run_dir(Path(sys.argv[1]), 'net').name for _ in range(20)])"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    names = [name for process in processes for name in process.communicate()[0].split()]
    assert len(names) == 60
    assert len(set(names)) == 60


def test_rows_are_replaced_after_a_resume(tmp_path):
    """Rows beyond the checkpoint go; NaN, which JSON lacks, becomes null."""
    folder = RunFolder.create(tmp_path / "run", {})
    folder.append_row("metrics.jsonl", {"epoch": 1, "r2": float("nan")})
    folder.append_row("metrics.jsonl", {"epoch": 2})
    folder.write_rows("metrics.jsonl", [{"epoch": 1, "r2": float("nan")}])
    folder.append_row("metrics.jsonl", {"epoch": 2, "table": [[1, 2], [3, float("inf")]]})
    folder.close()
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"epoch": 1, "r2": None},
        {"epoch": 2, "table": [[1, 2], [3, None]]},
    ]


def test_the_lock_goes_with_its_process(tmp_path):
    """A killed process leaves no lock behind; a living one keeps it."""
    RunFolder.create(tmp_path / "run", {}).close()
    code = (
        "import sys, time; from pathlib import Path; "
        "from layerwright.training.run_folder import RunFolder; "
        "folder = RunFolder.open(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(RunFolderError, match="in use by another process"):
        RunFolder.open(tmp_path / "run")
    holder.kill()
    holder.wait()
    holder.stdout.close()
    RunFolder.open(tmp_path / "run").close()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1', '"text"'])
def test_a_damaged_config_is_said(tmp_path, content):
    """A config that is no config gets one sentence, whatever is wrong with it."""
    file = tmp_path / "config.json"
    file.write_text(content)
    with pytest.raises(RunFolderError) as caught:
        read_config(tmp_path)
    assert str(caught.value) == f"{file} expected a run's config, and cannot be read."


def test_a_config_of_another_version_is_refused(tmp_path):
    """Formats are compared, not guessed."""
    (tmp_path / "config.json").write_text('{"format": 99}')
    with pytest.raises(RunFolderError, match=r"expected format 1, received 99\."):
        read_config(tmp_path)


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    """A file where the folder should be."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot be made"):
        RunFolder.create(tmp_path / "file" / "run", {})
