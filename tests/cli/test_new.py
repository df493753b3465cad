"""`layerwright new`: what it writes passes at once, and nothing is overwritten or half written."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import layerwright as lw
from layerwright.cli import new_files
from layerwright.cli.app import main
from layerwright.cli.templates import test_my_layer as template

PYPROJECT = '[project]\nname = "Cool.nets-1"\nversion = "0"\n'


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(folder):
    """Return the files below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def run(*words, cwd):
    """Run a module in a process of its own, without leaving compiled code behind."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env=environment,
    )


def test_a_new_user_gets_green_tests_and_a_green_check(tmp_path):
    """In a src project that is not installed: pytest, the printed check, and ruff are content."""
    (tmp_path / "src" / "cool_nets_1").mkdir(parents=True)
    (tmp_path / "src" / "cool_nets_1" / "__init__.py").write_text("")
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    done = run("layerwright", "new", "attention/soft_gate", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert said == {
        "written": [
            "src/cool_nets_1/layers/attention/soft_gate.py",
            "tests/layers/attention/test_soft_gate.py",
            "src/cool_nets_1/layers/__init__.py",
            "src/cool_nets_1/layers/attention/__init__.py",
            "conftest.py",
        ],
        "layer": "cool_nets_1.layers.attention.soft_gate:SoftGate",
        "next": [
            "pytest tests/layers/attention/test_soft_gate.py",
            (
                'layerwright check "src/cool_nets_1/layers/attention/soft_gate.py:SoftGate(8)" '
                "--input 4x5x8"
            ),
        ],
        "note": None,
    }
    tests = run("pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path)
    assert tests.returncode == 0, tests.stdout
    assert re.search(r"^1[5-9]\d passed, \d+ skipped in", tests.stdout, re.MULTILINE)
    check = run(
        "layerwright",
        "check",
        "src/cool_nets_1/layers/attention/soft_gate.py:SoftGate(8)",
        "--input",
        "4x5x8",
        "--select",
        "REG001",
        cwd=tmp_path,
    )
    assert check.returncode == 0, check.stdout + check.stderr
    assert check.stdout.startswith("ok: SoftGate")
    for words in (
        ("check", "--select", "E,F,W,I,B,D,RUF,UP,PT", "--ignore", "D1,D2,D4"),
        ("format", "--check"),
    ):
        ruff = run(
            "ruff",
            *words,
            "--no-cache",
            "--isolated",
            "src/cool_nets_1/layers",
            "tests",
            cwd=tmp_path,
        )
        assert ruff.returncode == 0, ruff.stdout


@pytest.mark.parametrize("case", [template.CASE, template.UNBATCHED], ids=lambda case: case.name)
@pytest.mark.slow
def test_the_template_holds_the_whole_contract(case):
    """No finding of any severity, of compilers, export and distribution neither."""
    report = lw.check(case, tier="full")
    assert report.ok
    assert report.findings == ()


@pytest.mark.parametrize(
    ("files", "layer"),
    [
        ([], "layers/pooling/widest.py"),
        (["layers/__init__.py"], "layers/pooling/widest.py"),
        (["mine/__init__.py", "tests/__init__.py"], "mine/layers/pooling/widest.py"),
        (["src/mine/__init__.py"], "src/mine/layers/pooling/widest.py"),
        (["pyproject.toml"], "cool_nets_1/layers/pooling/widest.py"),
        (["pyproject.toml", "src/.keep"], "src/cool_nets_1/layers/pooling/widest.py"),
        (
            ["pyproject.toml", "cool_nets_1/a.py", "other/__init__.py"],
            "cool_nets_1/layers/pooling/widest.py",
        ),
    ],
)
def test_files_go_where_the_project_s_code_is(here, files, layer):
    """A flat project, one with src, one of loose files, an empty folder; from a subfolder too."""
    for name in files:
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(PYPROJECT if name == "pyproject.toml" else "")
    assert main(["new", "pooling/widest"]) == 0
    found = written(here)
    assert layer in found
    assert str(Path(layer).with_name("__init__.py")) in found
    assert "tests/layers/pooling/test_widest.py" in found
    assert ("tests/layers/pooling/__init__.py" in found) == ("tests/__init__.py" in files)
    module = layer.removeprefix("src/").removesuffix(".py").replace("/", ".")
    test = (here / "tests/layers/pooling/test_widest.py").read_text()
    assert f"from {module} import Widest\n" in test
    assert "my_layer" not in test + (here / layer).read_text()


def test_a_second_layer_joins_the_first(here, capsys):
    """From a subfolder, with names relative to it; of two tests of one name the later differs."""
    (here / "pyproject.toml").write_text(PYPROJECT)
    (here / "notes").mkdir()
    assert main(["new", "pooling/widest"]) == 0
    before = {path: (here / path).read_bytes() for path in written(here)}
    os.chdir(here / "notes")
    capsys.readouterr()
    assert main(["new", "gating/widest"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "wrote ../cool_nets_1/layers/gating/widest.py",
        "wrote ../tests/layers/gating/test_gating_widest.py",
        "wrote ../cool_nets_1/layers/gating/__init__.py",
        "",
        "next: write your formula into the layer, and keep these green",
        "  pytest ../tests/layers/gating/test_gating_widest.py",
        '  layerwright check "../cool_nets_1/layers/gating/widest.py:Widest(8)" --input 4x5x8',
    ]
    assert {path: (here / path).read_bytes() for path in before} == before


def test_what_pytest_would_not_find_is_said(here, capsys):
    """A conftest.py of one's own is left alone; installed or declared, no word is needed."""
    (here / "src" / "mine").mkdir(parents=True)
    (here / "src" / "mine" / "__init__.py").write_text("")
    (here / "conftest.py").write_text("# mine\n")
    assert main(["new", "gating/a"]) == 0
    assert "note: pytest has to find src: run pip install -e ., or set" in capsys.readouterr().out
    (here / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["src"]\n')
    assert main(["new", "gating/b"]) == 0
    assert "note" not in capsys.readouterr().out
    assert (here / "conftest.py").read_text() == "# mine\n"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("attention/MyLayer", "Did you mean attention/my_layer?"),
        ("attention/my-layer", "Did you mean attention/my_layer?"),
        ("my_layer", "Fix: put a family before it, such as attention/my_layer."),
        ("a/b/c", "Fix: two names in lower case, as in: layerwright new attention/my_layer"),
        ("../x", "Fix: two names in lower case, as in: layerwright new attention/my_layer"),
        (
            "attention/class",
            "Fix: two names in lower case, as in: layerwright new attention/my_layer",
        ),
        ("attention/", "Fix: put a family before it, such as attention/attention."),
    ],
)
def test_a_bad_name_gets_a_hint(here, capsys, name, hint):
    """Nothing is written, and the exit code is that of wrong usage."""
    assert main(["new", name]) == 2
    assert (
        capsys.readouterr().err == f"error: new expected FAMILY/NAME, received {name!r}. {hint}\n"
    )
    assert written(here) == []


def test_a_name_that_hides_another_module_is_refused(here, capsys):
    """`layerwright check` imports a file's neighbours, as `python file.py` does."""
    assert main(["new", "attention/torch"]) == 2
    assert capsys.readouterr().err == (
        "error: new expected a name of its own, received 'attention/torch', which would hide "
        "'torch'. Did you mean attention/torch_layer?\n"
    )
    (here / "layers.py").write_text("")
    assert main(["new", "attention/mine"]) == 2
    assert "would hide it; nothing was written. Fix: rename it" in capsys.readouterr().err
    assert written(here) == ["layers.py"]


@pytest.mark.parametrize("taken", ["layers/gating/a.py", "tests/layers/gating/test_a.py"])
def test_nothing_is_overwritten(here, capsys, taken):
    """Neither a layer nor a test, and nothing else is written then."""
    (here / taken).parent.mkdir(parents=True)
    (here / taken).write_text("mine")
    assert main(["new", "gating/a"]) == 2
    assert capsys.readouterr().err == (
        f"error: {here / taken} expected no file, and exists; nothing was written. "
        "Fix: choose another name, or move it away.\n"
    )
    assert written(here) == [taken]
    assert (here / taken).read_text() == "mine"


def test_a_failed_write_leaves_nothing(here, capsys, monkeypatch):
    """A disk that is full at the third file: files and folders are taken back, others stay."""
    (here / "tests").mkdir()
    plan = new_files.plan_files

    def with_a_failing_file(*arguments):
        files = plan(*arguments)
        items = list(files.items())
        items.insert(2, (here / ("x" * 300), ""))  # no file system takes that name
        return dict(items)

    monkeypatch.setattr("layerwright.cli.new.plan_files", with_a_failing_file)
    assert main(["new", "gating/a"]) == 2
    assert "error: the layer could not be written: " in capsys.readouterr().err
    assert [path.name for path in here.rglob("*")] == ["tests"]


def test_several_packages_need_a_choice(here, capsys):
    """The message has the option that chooses; a place outside of the project is none."""
    for name in ("one", "two"):
        (here / "src" / name).mkdir(parents=True)
        (here / "src" / name / "__init__.py").write_text("")
    assert main(["new", "gating/a"]) == 2
    assert capsys.readouterr().err == (
        f"error: new expected one package in {here / 'src'}, found one, two. "
        "Fix: --package src/one\n"
    )
    assert main(["new", "gating/a", "--package", "../elsewhere"]) == 2
    assert "--package expected a folder in" in capsys.readouterr().err
    assert main(["new", "gating/a", "--package", "src/two"]) == 0
    assert (here / "src/two/layers/gating/a.py").is_file()
