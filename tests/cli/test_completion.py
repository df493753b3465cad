"""Completion with the tab key: a script that a real shell reads."""

import shutil
import subprocess

import pytest

from layerwright.cli.app import VERBS, main

BASH = shutil.which("bash")


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """The script for bash, written where --output says and nowhere else."""
    file = tmp_path_factory.mktemp("completion") / "layerwright"
    assert main(["--install-completion", "--shell", "bash", "--output", str(file)]) == 0
    return file


def complete(script, *words):
    """Return what bash offers for the last of these words."""
    code = (
        'source "$1"; shift; COMP_WORDS=(layerwright "$@"); COMP_CWORD=$#; '
        '_layerwright; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        [BASH, "--norc", "-c", code, "bash", str(script), *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["ev"], {"evaluate"}),
        (["ru"], {"rule", "rules"}),
        (["train", "--epo"], {"--epochs"}),
        (["check", "--tier", ""], {"standard", "full"}),
    ],
)
def test_bash_completes_verbs_options_and_choices(script, words, offered):
    """As a person who presses the tab key sees it."""
    assert complete(script, *words) == offered


def test_all_verbs_are_offered(script):
    """Each of them, from nothing typed."""
    assert set(VERBS) <= complete(script, "")


def test_no_start_file_is_changed(tmp_path, monkeypatch, capsys):
    """The script goes where the shell looks; what is left to do is said."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ZSH", raising=False)
    monkeypatch.delenv("ZSH_CUSTOM", raising=False)
    (tmp_path / ".zshrc").write_text("mine\n")
    assert main(["--install-completion", "--shell", "zsh"]) == 0
    written = {file.name for file in tmp_path.rglob("*") if file.is_file()}
    assert written == {".zshrc", "_cyclopts_layerwright"}
    assert (tmp_path / ".zshrc").read_text() == "mine\n"
    assert "fpath" in capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_that_its_shell_accepts(shell, tmp_path):
    """Where that shell is installed, it finds no error of syntax."""
    file = tmp_path / shell
    assert main(["--install-completion", "--shell", shell, "--output", str(file)]) == 0
    assert all(verb in file.read_text() for verb in VERBS)
    if program := shutil.which(shell):
        subprocess.run([program, "-n", str(file)], check=True, timeout=20)
