"""The entry point: help, wrong usage, and what every error becomes."""

import importlib
import inspect
import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from layerwright import __version__
from layerwright.cli import env
from layerwright.cli.app import VERBS, build_app, main
from layerwright.cli.help_examples import EXAMPLES, EXIT_CODES
from layerwright.errors import CheckpointError, DataError


def layerwright(*arguments, **options):
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "layerwright", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "COLUMNS": "100"},
        **options,
    )


def test_help_lists_every_verb_with_its_summary():
    """In the promised order, each with the first sentence of its docstring."""
    done = layerwright("--help")
    assert (done.returncode, done.stderr) == (0, "")
    rows = re.findall(r"│ ([a-z]+) +(\S.*?)\s*│", done.stdout)
    assert tuple(verb for verb, _ in rows) == VERBS
    assert dict(rows)["train"] == (
        "Train a network; without arguments: CustomNet on the bundled digits."
    )


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help_from_its_docstring(verb, capsys):
    """The whole description, and a line for each option."""
    assert main([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"Usage: layerwright {verb}" in shown
    assert "--json" in shown


@pytest.mark.parametrize("verb", VERBS)
def test_help_says_every_word_of_the_docstring(verb, capsys):
    """Lines are filled anew, and no markup swallows a placeholder."""
    main([verb, "--help"])
    shown = re.sub(r"[│\s]+", "", capsys.readouterr().out)
    function = getattr(importlib.import_module(f"layerwright.cli.{verb}"), verb)
    said, _, options = inspect.getdoc(function).partition("\n\nArgs:\n")
    texts = dict(re.findall(r"^    (\w+): ((?:.|\n {8})+)", options, re.MULTILINE))
    texts.pop("options", "")  # of train: the fields of the recipe, each an option of its own
    for text in (said, *texts.values()):
        assert re.sub(r"\s+", "", text) in shown


@pytest.mark.parametrize("verb", VERBS)
def test_help_ends_with_examples_and_exit_codes(verb, capsys):
    """As a man page does; each example is a command line that the verb takes."""
    main([verb, "--help"])
    end = capsys.readouterr().out.rpartition("╯")[2]
    assert EXIT_CODES in " ".join(end.split())
    for line, _ in EXAMPLES[verb]:
        assert f"layerwright {line}\n" in re.sub(r" +\n", "\n", end)
        command, *_ = build_app().parse_args(shlex.split(line), exit_on_error=False)
        assert command.__name__ == verb


def test_listing_verbs_imports_none_of_them():
    """A verb's module is imported when it runs."""
    code = (
        "import sys; from layerwright.cli.app import build_app; build_app();"
        "print(sorted(m for m in sys.modules if m.startswith('layerwright')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(
        [
            "layerwright",
            "layerwright.cli",
            "layerwright.cli.app",
            "layerwright.cli.help_examples",
            "layerwright.errors",
        ]
    )


def test_version():
    """The number alone."""
    done = layerwright("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{__version__}\n", "")


def test_the_console_script_is_the_entry_point():
    """`layerwright` calls main."""
    from importlib.metadata import entry_points

    (script,) = entry_points(group="console_scripts", name="layerwright")
    assert script.load() is main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["trian"],
            (
                'error: Unknown command "trian". Did you mean "train"? Available commands: '
                "check, rule, rules, new, init, summary, graph, train, ... "
                "See: layerwright --help\n"
            ),
        ),
        (
            ["train", "--epoch", "3"],
            (
                "error: Unknown option: --epoch. Did you mean --epochs? "
                "See: layerwright train --help\n"
            ),
        ),
        (
            ["train", "--epochs", "few"],
            (
                "error: Invalid value for --epochs: unable to convert "
                '"few" into int. See: layerwright train --help\n'
            ),
        ),
        (
            ["train", "lenet", "mnist"],
            ("error: Unused Tokens: ['mnist']. See: layerwright train --help\n"),
        ),
        (
            ["evaluate"],
            (
                'error: Command "evaluate" parameter RUN requires an argument. '
                "See: layerwright evaluate --help\n"
            ),
        ),
    ],
)
def test_wrong_usage_is_explained_and_ends_with_2(arguments, message, capsys):
    """With the nearest name, and without a traceback."""
    assert main(arguments) == 2
    assert capsys.readouterr() == ("", message)


def test_wrong_usage_of_a_process_ends_with_2():
    """The exit code reaches the shell."""
    done = layerwright("env", "--jsn")
    assert done.returncode == 2
    assert done.stderr == (
        "error: Unknown option: --jsn. Did you mean --json? See: layerwright env --help\n"
    )


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (DataError("no data."), 2, "error: no data.\n"),
        (CheckpointError("disk full."), 1, "error: disk full.\n"),
        (KeyboardInterrupt(), 130, "error: interrupted.\n"),
    ],
)
def test_errors_become_a_message_and_an_exit_code(error, code, message, monkeypatch, capsys):
    """Our own errors and Ctrl-C have no traceback."""

    def fail():
        raise error

    monkeypatch.setattr(env, "environment", fail)
    assert main(["env"]) == code
    assert capsys.readouterr() == ("", message)


def test_a_bug_keeps_its_traceback(monkeypatch):
    """What is not ours to explain is not hidden."""

    def fail():
        raise ValueError("a bug")

    monkeypatch.setattr(env, "environment", fail)
    with pytest.raises(ValueError, match="a bug"):
        main(["env"])


def test_a_reader_that_has_gone_is_met_quietly():
    """`layerwright env | head -0` says nothing about broken pipes."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "layerwright", "env"],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_every_verb_is_registered_lazily():
    """All verbs resolve to a function of their own name."""
    app = build_app()
    assert [app[verb].default_command.__name__ for verb in VERBS] == list(VERBS)


def test_env_as_json_is_one_object():
    """Versions, hardware and folders; nothing else on stdout."""
    done = layerwright("env", "--json", cwd="/")
    assert (done.returncode, done.stderr) == (0, "")
    facts = json.loads(done.stdout)
    assert facts["layerwright"] == __version__
