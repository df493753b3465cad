"""Importing layerwright, and asking for help, loads nothing heavy and leaves nothing behind."""

import json
import os
import subprocess
import sys

import pytest

# Watches a piece of code: what Python's audit hooks report, and the process before and after.
WATCH = """
import json, logging, os, signal, sys, threading, warnings

acts = []

def note(event, arguments):
    if event == "open":
        mode, flags = arguments[1], arguments[2]
        if isinstance(mode, str) and set(mode) & set("wax+"):
            acts.append(f"opens {arguments[0]} for writing")
        elif mode is None and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            acts.append(f"opens {arguments[0]} for writing")
    elif event.split(".")[0] in {"socket", "subprocess"} or event in {
        "os.system", "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.mkdir",
        "os.putenv", "os.unsetenv", "os.chdir",
    }:
        acts.append(event)

def start(thread, original=threading.Thread.start):
    acts.append("starts a thread")
    original(thread)

threading.Thread.start = start  # no audit event tells of threads before Python 3.13

def state():
    return {
        "threads": threading.active_count(),
        "environment": dict(os.environ),
        "path": list(sys.path),
        "folder": os.getcwd(),
        "handlers": len(logging.getLogger().handlers),
        "warnings": len(warnings.filters),
        "interrupt": repr(signal.getsignal(signal.SIGINT)),
        "hooks": [repr(sys.excepthook), repr(sys.displayhook)],
    }

before = state()
sys.addaudithook(note)
code = 0
try:
    exec(sys.argv[1])
except SystemExit as end:
    code = end.code or 0
during = list(acts)
after = state()
report = {
    "code": code,
    "acts": during,
    "changed": [name for name in before if before[name] != after[name]],
    "heavy": sorted({"torch", "numpy", "datasets", "PIL", "sklearn"} & set(sys.modules)),
}
sys.stderr.write("REPORT" + json.dumps(report))
"""


def watched(code, folder):
    """Run code in a process of its own, in an empty home; return what it did, and its output."""
    for name in ("home", "cache", "config", "data", "state", "temporary", "current"):
        (folder / name).mkdir()
    environment = {
        **os.environ,
        "HOME": str(folder / "home"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_STATE_HOME": str(folder / "state"),
        "TMPDIR": str(folder / "temporary"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", WATCH, code],
        cwd=folder / "current",
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    said, _, report = done.stderr.partition("REPORT")
    written = [str(path) for path in folder.rglob("*") if not path.is_dir()]
    return json.loads(report), done.stdout, said, written


HELP = "import sys; from layerwright.cli.app import main; sys.exit(main({}))"


def test_importing_loads_nothing_heavy_and_does_nothing(tmp_path):
    """No torch, no output, no file, thread, process, connection, or change to the process."""
    report, output, errors, written = watched("import layerwright; dir(layerwright)", tmp_path)
    assert report == {"code": 0, "acts": [], "changed": [], "heavy": []}
    assert (output, errors, written) == ("", "", [])


@pytest.mark.parametrize(
    "arguments",
    [["--help"], [], ["--version"], ["train", "--help"], ["predict", "--help"]],
    ids=" ".join,
)
def test_help_loads_nothing_heavy_and_only_prints(arguments, tmp_path):
    """The same of `layerwright --help`, and of each verb's own."""
    report, output, errors, written = watched(HELP.format(arguments), tmp_path)
    assert report == {"code": 0, "acts": [], "changed": [], "heavy": []}
    assert output
    assert (errors, written) == ("", [])


@pytest.mark.parametrize(
    ("code", "act"),
    [
        ("import torch", "heavy"),
        ("import os; os.environ['A_NEW_NAME'] = '1'", "changed"),
        ("import threading; threading.Thread(target=lambda: None).start()", "acts"),
        ("open('left_behind', 'w').close()", "acts"),
        ("import subprocess; subprocess.run(['true'])", "acts"),
    ],
)
def test_the_watcher_sees_what_is_forbidden(code, act, tmp_path):
    """The tests above can fail."""
    report, _, _, _ = watched(code, tmp_path)
    assert report[act]
