"""`layerwright resume`: what is passed on, and what it ends with."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from layerwright.cli.app import main


@pytest.fixture
def calls(monkeypatch):
    """What resume is called with, in place of training."""
    recorded = SimpleNamespace(arguments=[], status="finished")

    def resume(*arguments, console, **options):
        recorded.arguments.append((arguments, options))
        console.print("progress")
        return SimpleNamespace(
            dir=Path("some/run"), status=recorded.status, step=3, epoch=1, history=[], best=None,
            test=None, started_from=None,
        )  # fmt: skip

    monkeypatch.setattr("layerwright.training.resume.resume", resume)
    return recorded


def test_a_run_of_built_in_parts_needs_its_folder_only(calls, capsys):
    """Progress goes to stdout."""
    assert main(["resume", "some/run"]) == 0
    assert calls.arguments == [((Path("some/run"), None, None), {"data_dir": None})]
    assert capsys.readouterr() == ("progress\n", "")


@pytest.mark.parametrize("network_words", [["--network", "own.py:net"], ["own.py:net"]])
def test_own_objects_are_named_again(network_words, calls, tmp_path, monkeypatch):
    """Each from file.py:name; nothing that was not named is passed."""
    monkeypatch.chdir(tmp_path)
    names = ["net", "data", "loss", "optimizer", "schedule", "init", "metric"]
    (tmp_path / "own.py").write_text("".join(f"def {name}(): return {name!r}\n" for name in names))
    words = [word for name in names[1:] for word in (f"--{name}", f"own.py:{name}")]
    assert main(["resume", "some/run", *network_words, *words, "--data-dir", "x"]) == 0
    ((_, network, data), options) = calls.arguments[0]
    assert (network(), data, options.pop("data_dir")) == ("net", "data", "x")
    (metric,) = options.pop("metrics")
    assert metric() == "metric"
    assert {name: value() for name, value in options.items()} == {
        name: name for name in ("loss", "optimizer", "schedule", "init")
    }


def test_an_interrupted_run_ends_with_130(calls, capsys):
    """With --json too; progress then goes to stderr."""
    calls.status = "interrupted"
    assert main(["resume", "some/run", "--json"]) == 130
    shown = capsys.readouterr()
    assert json.loads(shown.out)["status"] == "interrupted"
    assert shown.err == "progress\n"


def test_a_finished_run_is_reported_again(run, capsys):
    """Nothing is trained; the values are those of the run."""
    assert main(["resume", str(run.dir)]) == 0
    shown = capsys.readouterr().out
    assert f"test accuracy {100 * run.test['accuracy']:.2f} %" in shown
    assert main(["resume", str(run.dir), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["test"] == run.test


def test_an_own_network_must_be_named_again(own_run, capsys, monkeypatch):
    """The messages say how, one after the other; then the run is taken up."""
    monkeypatch.chdir(own_run.dir.parent)
    assert main(["resume", "run"]) == 2
    assert "with --network file.py:Net" in capsys.readouterr().err
    assert main(["resume", "run", "--network", "own.py:Net"]) == 2
    assert "--loss file.py:name" in capsys.readouterr().err
    assert (
        main(["resume", "run", "--network", "own.py:Net", "--loss", "own.py:loss", "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["test"] == own_run.test
