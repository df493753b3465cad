"""`layerwright env`: what a bug report needs."""

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from layerwright import __version__
from layerwright.cli.app import main


def facts_of(capsys):
    """Return the JSON object that env prints."""
    assert main(["env", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_versions_and_hardware_are_the_real_ones(capsys):
    """Compared with what the packages say themselves."""
    facts = facts_of(capsys)
    assert facts["python"] == platform.python_version()
    assert facts["layerwright"] == __version__
    assert facts["core"]["numpy"] == np.__version__
    assert facts["core"]["torch"] == version("torch")
    assert facts["extra data"]["scikit-learn"] == version("scikit-learn")
    assert set(facts["extra tensorboard"]) == {"tensorboard"}
    assert facts["torch"]["threads"] == torch.get_num_threads()
    assert len(facts["torch"]["cuda devices"]) == torch.cuda.device_count()
    assert "extra dev" not in facts


def test_folders_follow_the_environment(capsys, monkeypatch, tmp_path):
    """Where data is looked for, and where it is cached."""
    monkeypatch.setenv("LAYERWRIGHT_DATA_DIR", "/some/data")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folders = facts_of(capsys)["folders"]
    assert folders["data dir"] == "/some/data"
    assert Path(folders["cache"]) == tmp_path / "layerwright"


def test_the_table_says_the_same(capsys):
    """One line for each value of the JSON object; what is unknown is called none."""
    facts = facts_of(capsys)
    assert main(["env"]) == 0
    lines = capsys.readouterr().out.splitlines()
    values = [value if isinstance(value, dict) else {"": value} for value in facts.values()]
    assert len(lines) == sum(map(len, values))
    assert f"core torch {version('torch')}" in [" ".join(line.split()) for line in lines]


def test_a_torch_that_cannot_be_imported_is_reported(capsys, monkeypatch):
    """That is what such a report is for."""
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "layerwright.data.cache", raising=False)
    facts = facts_of(capsys)
    assert facts["torch"]["import"].startswith("ModuleNotFoundError: import of torch halted")
    assert facts["core"]["torch"] == version("torch")


def test_a_missing_package_is_null(capsys, monkeypatch):
    """An extra that is not installed shows as such."""
    from importlib.metadata import PackageNotFoundError

    from layerwright.cli import env

    def version_of(package):
        if package == "datasets":
            raise PackageNotFoundError(package)
        return "1"

    monkeypatch.setattr(env, "version", version_of)
    assert facts_of(capsys)["extra data"]["datasets"] is None
    assert main(["env"]) == 0
    assert "extra data datasets none" in [
        " ".join(line.split()) for line in capsys.readouterr().out.splitlines()
    ]
