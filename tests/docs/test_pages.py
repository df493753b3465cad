"""Every code block of the README, the guide and the tutorial runs, and prints what stands there."""

import ast
import shlex
import sys
from pathlib import Path

import pytest
from page_runner import blocks_of, missing_line, run_page

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs" / "guide").glob("*.md")),
    *sorted((ROOT / "docs" / "tutorial").glob("*.md")),
]
TRANSLATED = [ROOT / "README.zh.md", *sorted((ROOT / "docs" / "zh").rglob("*.md"))]


def name(page):
    """Return a page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Stand in an empty folder that Python imports from, and forget what was imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for module in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[module], "__file__", "")):
            del sys.modules[module]


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")  # a page shows it
@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_blocks_of_a_page_run(page, project):
    """In order, in an empty folder, and the output is the one that the page shows."""
    run_page(page)


@pytest.mark.parametrize("page", TRANSLATED, ids=name)
def test_a_translation_shows_the_same_code(page):
    """Block by block, comments aside: what runs in English is what a Chinese reader types."""
    original = ROOT / name(page).replace("docs/zh/", "docs/").replace(".zh.md", ".md")
    ours, theirs = (list(blocks_of(file)) for file in (page, original))
    for mine, block in zip(ours, theirs, strict=False):
        assert code_of(mine) == code_of(block), f"{name(page)}:{mine.line}, line {block.line} there"
    assert len(ours) == len(theirs)


def code_of(block):
    """Return what a block does, without its comments."""
    head = block.language, block.title, bool(block.not_run)
    if block.language == "python":
        return *head, ast.dump(ast.parse(block.text))
    if block.language == "sh":
        return *head, shlex.split(block.text, comments=True)
    return *head, block.text if block.language else ""


def test_every_page_has_its_translation():
    """The tutorial and the README, page by page."""
    pages = {name(page) for page in PAGES if "guide" not in name(page)}
    translated = {
        name(page).replace("docs/zh/", "docs/").replace(".zh.md", ".md") for page in TRANSLATED
    }
    assert pages == translated


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("```python\nprint(1 + 1)\n```\n```text\n3\n```\n", "not printed: 3"),
        ("```python\nx = 1\n```\n```python\nassert x == 2, f'x is {x}'\n```\n", "x is 1"),
        ("```sh\nlayerwright rule REG001\nlayerwright rule NO\n```\n", "ended with 2"),
        ("```sh\nrm -r somewhere\n```\n", "is not run by this test"),
        ("```\nwhat is this\n```\n", "python, sh or text?"),
    ],
)
def test_a_page_that_is_wrong_fails(page, message, project):
    """Output, assertion, exit code, unknown commands, and blocks that do not say what they are."""
    (project / "page.md").write_text(page)
    with pytest.raises(AssertionError, match=message):
        run_page(project / "page.md")


def test_a_page_that_is_right_passes(project):
    """Files are saved and imported, names are kept, what is not shown runs first."""
    (project / "page.md").write_text(
        '```python title="own.py"\ndef double(x):\n    return 2 * x\n```\n'
        "<!-- first: y = 4 -->\n```python\nfrom own import double\nprint(double(y))\n```\n"
        "```text\n8\n```\n<!-- not run: it needs a network -->\n```sh\nmake all\n```\n"
        "```sh\nlayerwright rule NO # exit code 2\n```\n"
    )
    assert run_page(project / "page.md")[:2] == ["", "8\n"]


def test_lines_are_compared_in_order():
    """Decimals and spaces do not count, integers do; three dots stand for the rest."""
    printed = "error  BAT001\n  found  7 of 8, 0.25 s\nend of it\n"
    assert missing_line("error BAT001\nfound 7 of 8, 0.31 s", printed) is None
    assert missing_line("error BAT001\n...\nend ...", printed) is None
    assert missing_line("found 6 of 8, 0.25 s", printed) == "found 6 of 8, 0.25 s"
    assert missing_line("end of it\nerror BAT001", printed) == "error BAT001"
