"""Runs the code blocks of a page in order, in the current folder, and compares what they print.

What a reader does is what is done here:

- `python`: the block runs, all blocks of a page in one namespace; with a title, such as
  `python title="net.py"`, it is saved as that file and imported, as `python net.py` or
  `from net import *` would.
- `sh`: each line is a `layerwright` command (or `python -m layerwright`, the same), which runs in
  this process, or `pytest` or `torchrun`, which run in their own. Its exit code is 0, or what a
  comment behind it says: `# exit code 1`.
- with a title, any other language is saved as that file; `toml` can be read.
- `text`: its lines stand in this order in what the last block printed. Spaces do not count, nor do
  decimals (times, measured values); `...` stands for anything.

A comment before a block says what a page does not show: `<!-- not run: the reason -->` leaves the
block out, and `<!-- first: code -->` is Python that runs before it.
"""

import contextlib
import importlib
import io
import linecache
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from layerwright.cli.app import main

_BLOCK = re.compile(
    r"^(?:<!--\s*(?P<mark>not run|first):\s*(?P<said>(?:(?!-->).)*?)\s*-->\n+)?"
    r"^(?P<indent>[ ]*)```(?P<language>[^\s`]*)(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```\s*$",
    re.MULTILINE | re.DOTALL,
)
_TITLE = re.compile(r'title="([^"]+)"')
_DECIMAL = re.compile(r"-?\d+(\.\d+(e[+-]?\d+)?|e[+-]?\d+)")
_EXIT = re.compile(r"# exit code (\d+)")
_MODULES = {"pytest": "pytest", "torchrun": "torch.distributed.run"}
_COMMANDS = (["layerwright"], ["python", "-m", "layerwright"])


@dataclass(frozen=True)
class Block:
    """A code block of a page.

    Attributes:
        language: of the fence.
        title: the file that it is saved as, or "".
        text: what stands in it.
        line: where it begins on the page.
        not_run: why it is not run; "" if it is.
        first: Python that runs before it.
    """

    language: str
    title: str
    text: str
    line: int
    not_run: str
    first: str


def blocks_of(page: Path) -> Iterator[Block]:
    """Yield the code blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        title = _TITLE.search(found["info"])
        indent = len(found["indent"])
        yield Block(
            language=found["language"],
            title=title[1] if title else "",
            text="".join(line[indent:] or "\n" for line in found["text"].splitlines(keepends=True)),
            line=text.count("\n", 0, found.start("language")) + 1,
            not_run=found["said"] if found["mark"] == "not run" else "",
            first=found["said"] if found["mark"] == "first" else "",
        )


def run_page(page: Path) -> list[str]:
    """Run a page's blocks and return what each printed; AssertionError names block and line."""
    names = {"__name__": "page"}
    printed: list[str] = []
    for block in blocks_of(page):
        place = f"{page.name}:{block.line}"
        if block.not_run:
            continue
        if block.language == "text":
            missing = missing_line(block.text, printed[-1] if printed else "")
            assert missing is None, f"{place}: not printed: {missing}\nbut:\n{printed[-1:]}"
            continue
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
            if block.first:
                exec(compile(block.first, f"{place} first", "exec"), names)
            run_block(block, names, place)
        if block.language in ("python", "sh"):
            printed.append(out.getvalue())
    return printed


def run_block(block: Block, names: dict[str, object], place: str) -> None:
    """Do what a reader does with a block that is not output."""
    if block.title:
        file = Path(block.title)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.text, encoding="utf-8")
        if file.suffix == ".py":
            sys.modules.pop(file.stem, None)
            importlib.invalidate_caches()
            names.update(vars(importlib.import_module(file.stem)))
            names["__name__"] = "page"
    elif block.language == "python":
        linecache.cache[place] = (len(block.text), None, block.text.splitlines(True), place)
        exec(compile(block.text, place, "exec"), names)
    elif block.language == "toml":
        tomllib.loads(block.text)
    elif block.language == "sh":
        for line in block.text.replace("\\\n", " ").splitlines():
            run_command(line, place)
    else:
        assert block.language not in ("", "console", "bash", "pycon"), (
            f"{place}: python, sh or text?"
        )


def run_command(line: str, place: str) -> None:
    """Run a line of a shell and look at its exit code."""
    words = shlex.split(line, comments=True)
    expected = int(found[1]) if (found := _EXIT.search(line)) else 0
    for command in _COMMANDS:
        if words[: len(command)] == command:
            code = main(words[len(command) :])
            assert code == expected, f"{place}: {line} ended with {code}"
            return
    if words and words[0] in _MODULES:
        command = [sys.executable, "-m", _MODULES[words[0]], *words[1:]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        print(done.stdout, done.stderr)
        assert done.returncode == expected, f"{place}: {done.stdout}{done.stderr}"
    else:
        assert not words, f"{place}: {line} is not run by this test; mark the block"


def missing_line(text: str, printed: str) -> str | None:
    """Return the first line of a text block that was not printed in its place, or None."""
    rest = iter([_plain(line) for line in printed.splitlines()])
    for line in text.splitlines():
        begins = line.rstrip().endswith(" ...")
        wanted = _plain(line.rstrip().removesuffix("..."))
        if wanted and not any(
            candidate.startswith(wanted) if begins else candidate == wanted for candidate in rest
        ):
            return line
    return None


def _plain(line: str) -> str:
    return " ".join(_DECIMAL.sub("#", line).split())
