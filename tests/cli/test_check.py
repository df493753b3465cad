"""`layerwright check`: every option, every kind of target, layers that die, and bad input."""

import io
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from contextlib import nullcontext
from pathlib import Path

import pytest

from layerwright.cli.app import main
from layerwright.cli.checked_layers import CheckRequest, case_of
from layerwright.contract.loading.child import Worker
from layerwright.networks import NETWORKS

LAYERS = '''
import torch
from torch import nn

import layerwright as lw


class Shift(nn.Module):
    """Writes into its input."""

    example_inputs = (torch.randn(4, 3),)

    def forward(self, x):
        return x.add_(1.0)


class Scale(nn.Module):
    def __init__(self, num_features=3, *, bias=True):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features)) if bias else None

    def forward(self, x):
        x = x * self.weight
        return x if self.bias is None else x + self.bias


class Wide(nn.Module):
    def __init__(self, width, depth):
        super().__init__()
        self.fc = nn.Linear(width, depth)

    def forward(self, x):
        return self.fc(x)


class Masked(nn.Module):
    def forward(self, x, mask=None):
        return x if mask is None else x * mask


class Tags(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(100, 4)

    def forward(self, index):
        return self.table(index)


class Spare(nn.Module):
    """Declares a layer and never uses it: a warning, no error."""

    example_inputs = (torch.randn(4, 3),)

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)
        self.spare = nn.Linear(3, 2)

    def forward(self, x):
        return self.fc(x)


number = 3
scale = Scale(4)
case = lw.Case(Scale, torch.randn(4, 3), name="scale-case")


def make():
    return Scale(5)
'''


@pytest.fixture(scope="module")
def worker():
    """One child process for all tests: starting it takes longer than most checks."""
    with Worker() as worker:
        yield worker


@pytest.fixture
def folder(tmp_path, monkeypatch, worker):
    """An empty current folder with layers in net.py; the child is in it too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr("layerwright.contract.loading.child.Worker", lambda: nullcontext(worker))
    worker.run(os.chdir, str(tmp_path), time_limit_s=60)
    (tmp_path / "net.py").write_text(LAYERS)
    return tmp_path


@pytest.fixture
def check(folder, capsys):
    """Return a function that runs `check ... --json`: the exit code and the reports."""

    def run(*words):
        code = main(["check", *words, "--json"])
        shown = capsys.readouterr()
        assert shown.err == ""
        return code, json.loads(shown.out)["reports"]

    return run


def outcomes(report):
    """Return what each rule of a report came to."""
    return {item["rule_id"]: item["outcome"] for item in report["results"]}


def found(report):
    """Return the ids of the rules that found something."""
    return [item["rule_id"] for item in report["results"] if item["findings"]]


def test_a_faulty_layer_ends_with_1_and_its_finding(folder, capsys):
    """The line of the fault, what was found, and the command that shows it again."""
    assert main(["check", "net.py:Shift"]) == 1
    shown = capsys.readouterr().out
    assert "error PUR001 input-mutated  forward, input x (net.py:14)" in shown
    assert "return x.add_(1.0)" in shown
    assert "reproduce  layerwright check net.py:Shift --select PUR001" in shown


def test_a_sound_layer_ends_with_0(folder, capsys):
    """And takes a few lines."""
    assert main(["check", "net.py:Scale", "--input", "4x3"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("ok: Scale (net.py:17) on x: (4, 3) float32\n")


def test_the_program_itself(tmp_path):
    """In a process of its own, with a child of its own."""
    (tmp_path / "net.py").write_text(LAYERS)
    words = ["check", "net.py:Shift", "--select", "PUR001"]
    done = subprocess.run(
        [sys.executable, "-m", "layerwright", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "PUR001 input-mutated" in done.stdout


@pytest.mark.parametrize(
    ("words", "inputs"),
    [
        (["net.py:Scale", "--input", "4x3"], ["x: (4, 3) float32"]),
        (["net.py:Scale", "--input", "2x5x3:float64"], ["x: (2, 5, 3) float64"]),
        (["net.py:Tags", "--input", "4x7:int64:0..100"], ["index: (4, 7) int64"]),
        (
            ["net.py:Masked", "--input", "4x7", "--input", "4x7:bool"],
            ["x: (4, 7) float32", "mask: (4, 7) bool"],
        ),
        (
            ["net.py:Masked", "--input", "mask=4x7:bool", "--input", "4x7:float32:0..1"],
            ["x: (4, 7) float32", "mask: (4, 7) bool"],
        ),
        (["net.py:Scale(5, bias=False)", "--input", "4x5"], ["x: (4, 5) float32"]),
        (["net.py:Scale(num_features=6)", "--input", "4x6"], ["x: (4, 6) float32"]),
        (["net.py:make", "--input", "4x5"], ["x: (4, 5) float32"]),
        (["net.py:scale", "--input", "2x4"], ["x: (2, 4) float32"]),
        (["net.py:case"], ["x: (4, 3) float32"]),
        (["net.py:case", "--input", "9x3"], ["x: (9, 3) float32"]),
        (["torch.nn:Linear(3, 4)", "--input", "2x3"], ["input: (2, 3) float32"]),
        (["lenet"], ["x: (4, 1, 28, 28) float32"]),
    ],
    ids=" ".join,
)
def test_targets_and_inputs(check, words, inputs):
    """A class, its arguments, a function, a layer, a Case, a built-in name; each with inputs."""
    code, (report,) = check(*words, "--select", "PUR001", "--select", "PUR002")
    assert (code, report["inputs"]) == (0, inputs)
    assert outcomes(report) == {"PUR001": "passed", "PUR002": "passed"}


def test_select_ignore_and_tier_choose_the_rules(check):
    """By id, beginning of an id, or name; a slow rule runs in the full tier."""
    scale = ["net.py:Scale", "--input", "4x3"]
    _, (purity,) = check(
        *scale, "--select", "PUR", "--ignore", "PUR001", "--ignore", "ignored-input"
    )
    assert {name[:3] for name in outcomes(purity)} == {"PUR"}
    assert {"PUR001", "PUR006"}.isdisjoint(outcomes(purity))
    _, (standard,) = check(*scale, "--select", "BAT")
    _, (full,) = check(*scale, "--select", "BAT", "--tier", "full")
    assert set(outcomes(full)) - set(outcomes(standard)) == {"BAT009"}
    assert (standard["tier"], full["tier"]) == ("standard", "full")


def test_warnings_fail_only_under_strict(check):
    """--strict is for those who want none."""
    code, (report,) = check("net.py:Spare", "--select", "unused-layer")
    assert (code, found(report)) == (0, ["NET002"])
    assert check("net.py:Spare", "--select", "unused-layer", "--strict")[0] == 1


def test_the_seed_is_that_of_the_report(check):
    """And of the inputs that are drawn: the same numbers again."""
    words = ["net.py:Shift", "--input", "4x3", "--select", "PUR001", "--seed", "7"]
    first, again = check(*words)[1][0], check(*words)[1][0]
    assert first["seed"] == 7
    (one,), (two,) = first["results"], again["results"]
    assert one["findings"][0]["found"] == two["findings"][0]["found"]
    assert "--seed 7" in one["findings"][0]["reproduce"]
    other = check(*words[:-1], "8")[1][0]
    assert other["results"][0]["findings"][0]["found"] != one["findings"][0]["found"]


@pytest.mark.parametrize("kind", ["text", "json", "sarif", "html", "junit"])
def test_formats_and_output(folder, capsys, kind):
    """Each on the terminal, and the same in a file."""
    words = ["check", "net.py:Shift", "--select", "PUR001", "--format", kind]
    assert main(words) == 1
    shown = capsys.readouterr().out
    assert "PUR001" in shown
    assert main([*words, "--output", "report.txt"]) == 1
    assert capsys.readouterr().out == ""
    written = Path("report.txt").read_text()
    if kind == "json":
        assert json.loads(written)["reports"][0]["subject"] == "Shift"
    elif kind == "sarif":
        assert json.loads(written)["version"] == "2.1.0"
    elif kind == "junit":
        assert len(ET.fromstring(written).findall(".//failure")) == 1
    elif kind == "html":
        assert written.lower().startswith("<!doctype html>")
    else:
        assert written.startswith("1 error: Shift (net.py:8)")


def test_verbose_lists_every_rule(folder, capsys):
    """With its outcome."""
    words = ["check", "net.py:Scale", "--input", "4x3", "--select", "PUR"]
    main(words)
    assert "PUR002" not in capsys.readouterr().out
    main([*words, "--verbose"])
    assert "passed  PUR002 output-overwritten" in capsys.readouterr().out


def test_a_whole_file(check):
    """Every class and Case in it; one that needs arguments is not judged, and says why."""
    code, reports = check("net.py", "--input", "4x3", "--select", "PUR001")
    by_name = {report["subject"]: report for report in reports}
    assert list(by_name) == ["Shift", "Scale", "Wide", "Masked", "Tags", "Spare", "scale-case"]
    assert code == 1
    assert found(by_name["Shift"]) == ["PUR001"]
    assert by_name["Wide"]["results"] == []
    assert by_name["Wide"]["notes"] == [
        (
            "net.py:Wide takes (width, depth), received (): missing a required argument: 'width'. "
            'Fix: give its arguments: "net.py:Wide(width=..., depth=...)".'
        )
    ]


def test_a_package(check, folder):
    """Every class of every module that can be imported; the others are named."""
    package = folder / "parts"
    (package / "more").mkdir(parents=True)
    (package / "__init__.py").write_text("from parts.first import First\n")
    body = "from torch import nn\nclass {0}(nn.Module):\n"
    body += "    def forward(self, x):\n        return {1}\n"
    (package / "first.py").write_text(body.format("First", "x + 1"))
    (package / "more" / "__init__.py").write_text("")
    (package / "more" / "second.py").write_text(body.format("Second", "x.add_(1)"))
    (package / "extra.py").write_text("import no_such_package\n")
    code, reports = check("parts", "--input", "4x3", "--select", "PUR001")
    assert [(report["subject"], found(report)) for report in reports] == [
        ("First", []),
        ("Second", ["PUR001"]),
    ]
    assert code == 1
    assert reports[0]["notes"] == [
        (
            "parts.extra was left out, it cannot be imported: "
            "ModuleNotFoundError: No module named 'no_such_package'"
        )
    ]
    code, (report,) = check("parts.more.second:Second", "--input", "4x3", "--select", "PUR001")
    assert (code, found(report)) == (1, ["PUR001"])


def test_a_script_is_not_run_unless_asked(check, folder):
    """Its work is left out, and its lines are said."""
    (folder / "script.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Net(nn.Sequential):\n    def __init__(self):\n"
        "        super().__init__(nn.Linear(3, 2))\n"
        "open('ran', 'w').close()\n"
    )
    words = ["script.py", "--input", "4x3", "--select", "PUR001"]
    code, (report,) = check(*words)
    assert (code, report["notes"]) == (
        0,
        ["the work of this script was not run (line 6); --run-script runs it"],
    )
    assert not Path("ran").exists()
    code, (report,) = check(*words, "--run-script")
    assert (code, report["notes"]) == (0, [])
    assert Path("ran").exists()


def test_an_import_that_fails_is_a_finding(check, folder):
    """A class that does not need it is judged all the same."""
    (folder / "half.py").write_text(
        "from torch import nn\nimport no_such_package\nfrom no_such_package import Base\n"
        "class Fine(nn.Module):\n    def forward(self, x):\n        return x * 2\n"
        "class Derived(Base):\n    pass\n"
    )
    code, reports = check("half.py", "--input", "4x3", "--select", "PUR001")
    assert code == 1
    imports = [item for item in reports if found(item) == ["RUN002"]]
    assert [item["line"] for item in imports] == [2, 3]
    assert "no_such_package" in imports[0]["results"][0]["findings"][0]["found"]
    assert outcomes(reports[-1]) == {"PUR001": "passed"}
    assert main(["check", "half.py:Derived", "--input", "4x3"]) == 2


def test_a_layer_that_takes_its_process_with_it(check, folder):
    """Exit, abort and hang are findings with the line, and the next layer is judged."""
    (folder / "deadly.py").write_text(
        "import os, time\nfrom torch import nn\n"
        "class Exits(nn.Module):\n    def forward(self, x):\n        os._exit(3)\n"
        "class Aborts(nn.Module):\n    def forward(self, x):\n        os.abort()\n"
        "class Hangs(nn.Module):\n    def forward(self, x):\n"
        "        while True:\n            time.sleep(0.01)\n"
        "class Fine(nn.Module):\n    def forward(self, x):\n        return x * 2\n"
    )
    words = ["--input", "2x2", "--select", "PUR001", "--time-limit", "8"]
    code, (exits, aborts, hangs, fine) = check("deadly.py", *words)
    assert code == 1
    said = [item["results"][0]["findings"][0] for item in (exits, aborts, hangs)]
    assert {item["rule_id"] for item in said} == {"RUN001"}
    assert said[0]["found"].startswith("it ended the process with exit code 3 during PUR001")
    assert said[1]["found"].startswith("it was killed by signal 6 (SIGABRT) during PUR001")
    assert said[2]["found"].startswith("it did not end within 8 s during PUR001")
    assert [(Path(item["file"]).name, item["line"]) for item in said[1:]] == [
        ("deadly.py", 8),
        ("deadly.py", 12),
    ]
    assert outcomes(fine) == {"PUR001": "passed"}


def test_memory_has_a_limit(check, folder):
    """A layer that takes more is a finding."""
    (folder / "large.py").write_text(
        "import time, torch\nfrom torch import nn\n"
        "class Large(nn.Module):\n    def forward(self, x):\n"
        "        kept = torch.ones(2**28)\n        time.sleep(5)\n        return x\n"
    )
    words = ["--input", "2x2", "--select", "PUR001", "--memory-limit", "0.9"]
    code, (report,) = check("large.py:Large", *words)
    assert code == 1
    assert " MB of memory, of 922" in report["results"][0]["findings"][0]["found"]


def test_the_project_file_is_obeyed(check, folder):
    """select, ignore, traits, expected failures and rules of one's own; options come on top."""
    (folder / "own_rules.py").write_text(
        "from layerwright.contract import Finding, rule\n"
        "@rule('OWN001', 'output-too-large', promise='outputs stay small', family='own',\n"
        "      since='1.0')\n"
        "def output_too_large(probe):\n"
        '    """Measures the output."""\n'
        "    yield Finding(where='output', expected='less', found='more', fix='shrink it')\n"
    )
    (folder / "pyproject.toml").write_text(
        "[tool.layerwright]\n"
        "select = ['PUR001', 'PUR002', 'OWN001']\n"
        "ignore = ['PUR002']\n"
        "rules = ['own_rules']\n"
        "[tool.layerwright.traits.Masked]\ninplace = true\n"
        "[tool.layerwright.expect-failures.Shift]\nPUR001 = 'a scratch tensor'\n"
    )
    code, (shift,) = check("net.py:Shift")
    assert code == 1
    assert outcomes(shift) == {"PUR001": "xfailed", "OWN001": "failed"}
    assert check("net.py:Shift", "--ignore", "OWN001")[0] == 0
    _, (masked,) = check("net.py:Masked", "--input", "4x3")
    assert outcomes(masked)["PUR001"] == "skipped"
    _, (scale,) = check("net.py:Scale", "--input", "4x3", "--select", "REG002")
    assert outcomes(scale) == {"REG002": "passed"}


def test_layer_and_loss_are_looked_at_together(check, folder):
    """A built-in loss or one's own; log-probabilities for a loss that wants logits are found."""
    (folder / "classifier.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.fc = nn.Linear(6, 10)\n"
        "    def forward(self, x):\n        return torch.softmax(self.fc(x), dim=1)\n"
        "def loss(output, target):\n    return nn.functional.cross_entropy(output, target)\n"
    )
    words = ["classifier.py:Net", "--input", "8x6", "--select", "NET005"]
    target = ["--loss-target", "8:int64:0..10"]
    assert outcomes(check(*words)[1][0]) == {"NET005": "skipped"}
    for loss in ("cross-entropy", "classifier.py:loss"):
        _, (report,) = check(*words, "--loss", loss, *target)
        assert found(report) == ["NET005"]
        assert f"--loss {loss}" in report["results"][0]["findings"][0]["reproduce"]


def test_nothing_judged_is_no_success(folder, capsys):
    """Without inputs the rules that call the layer cannot judge; the report says what to give."""
    assert main(["check", "net.py:Scale", "--select", "PUR001"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "not judged: Scale" in shown
    assert "Fix: --input 4x3x32x32, or example_inputs on the class" in shown


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["nte.py:Scale"], ["nte.py", "does not exist", "Did you mean 'net.py'?"]),
        (["net.py:Sacle"], ["'Sacle'", "Did you mean 'scale'?"]),
        (["net.py:number"], ["a layer, a class or a Case", "received int"]),
        (["net.py:Scale(5"], ["the form file.py:name or pkg.mod:name"]),
        (["net.py:Scale(width)"], ["literals such as (3, bias=False)", "(width)"]),
        (["net.py:Scale(1, 2)"], ["takes (num_features=3, *, bias=True)", "too many positional"]),
        (["net.py:scale(3)"], ["no arguments", "a layer already"]),
        (
            ["net.py:Wide"],
            ["missing", "'width'", 'Fix: give its arguments: "net.py:Wide(width=..., depth=...)"'],
        ),
        (["no_such.module"], ["'no_such.module'", "Fix:"]),
        (["lennet"], ["'lennet'", "built-in network 'lenet'"]),
        (["script.py"], ["defines none", "script.py:model"]),
        (["script.py:model"], ["num_classes", "line 2"]),
        (["net.py:Scale", "--input", "4by3"], ["SHAPE[:DTYPE[:LOW..HIGH]]", "'4by3'"]),
        (["net.py:Scale", "--tier", "fast"], ["fast", '"standard", "full"']),
        (["net.py:Scale", "--format", "pdf"], ["pdf", "sarif"]),
        (["net.py:Scale", "--select", "GRD999"], ["'GRD999'"]),
        (["net.py:Scale", "--ignore", "wrong-gradeint"], ["'wrong-gradeint'"]),
        (["net.py:Scale", "--time-limit", "0"], ["--time-limit", "positive"]),
        (["net.py:Scale", "--loss", "mze", "--loss-target", "4x3"], ["'mze'", "'mse'"]),
        (["net.py:Scale", "--loss", "mse"], ["--loss mse expected a --loss-target"]),
        (["net.py:Scale", "--loss-target", "4x3"], ["--loss-target expected a --loss"]),
        (
            ["net.py:case", "--output", "nowhere/report.txt", "--select", "PUR001"],
            ["--output nowhere/report.txt cannot be written", "No such file"],
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_wrong_usage_is_explained(folder, capsys, words, parts):
    """Exit code 2, one message, no traceback."""
    (folder / "script.py").write_text(
        "from torch import nn\nmodel = nn.Sequential(nn.Linear(84, num_classes))\n"
    )
    assert main(["check", *words]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err[:7]) == ("", "error: ")
    assert [part for part in parts if part not in shown.err] == []
    assert "Traceback" not in shown.err


def test_pdb_stops_at_the_line_of_the_finding(tmp_path):
    """The user's variables are there; the report and the end of the passes are said."""
    (tmp_path / "net.py").write_text(LAYERS)
    words = ["check", "net.py:Shift", "--select", "PUR001", "--pdb"]
    done = subprocess.run(
        [sys.executable, "-m", "layerwright", *words],
        input="p tuple(x.shape)\nc\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},  # no .pdbrc of the person who runs the tests
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "PUR001 input-mutated" in done.stdout
    assert "net.py(14)forward()\n-> return x.add_(1.0)\n(Pdb) (4, 3)\n" in done.stdout
    assert done.stdout.endswith("(Pdb) forward and backward have ended\n")


@pytest.mark.parametrize(
    ("words", "typed", "shown"),
    [
        (
            ["net.py:Shift", "--select", "PUR001"],
            "q\n",
            ["net.py(14)forward()", "(Pdb) quit\n"],
        ),
        (  # the finding is at the head of the class: forward's first line is stopped at
            ["net.py:Meets", "--input", "4x3", "--select", "BAT"],
            "p len(x)\nc\n",
            ["x = x + 1\n(Pdb) 4\n", "(Pdb) forward and backward have ended\n"],
        ),
        (  # it raises: once at the breakpoint, once where torch raised
            ["net.py:Wide(5, 2)", "--input", "4x3", "--select", "NET001"],
            "p tuple(x.shape)\nc\nw\nq\n",
            ["return self.fc(x)\n(Pdb) (4, 3)\n", "(Pdb) RuntimeError: ", "F.linear"],
        ),
        (["net.py:Scale", "--input", "4x3"], "", ["ok: Scale", "nothing to stop at\n"]),
    ],
    ids=["quit", "class", "raises", "sound"],
)
def test_pdb_in_other_situations(folder, capsys, monkeypatch, words, typed, shown):
    """What was typed is done at the right place; the exit code is that of the report."""
    with (folder / "net.py").open("a") as file:
        file.write(
            "\n\nclass Meets(nn.Module):\n    def forward(self, x):\n"
            "        x = x + 1\n        return x - x.mean(0)\n"
        )
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    code = main(["check", *words, "--pdb"])
    out = capsys.readouterr().out
    assert [part for part in shown if part not in out] == []
    assert code == (1 if "error" in out.split()[1] else 0)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_built_in_network_brings_inputs(name):
    """Images, texts or trees, whatever it takes."""
    case = case_of(CheckRequest(target=name), name)
    network = case.factory()
    network(*(case.inputs or network.example_inputs()))
