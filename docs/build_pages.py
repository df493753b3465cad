"""Builds the documentation site: the committed pages, and the reference from docstrings.

    python docs/build_pages.py build/docs

The Markdown goes to build/docs/pages, the site to build/docs/site; nothing of it is committed. The
build stops at any warning: a link or anchor that leads nowhere, a page that no section of
mkdocs.yml names, a rule's page that is incomplete, a formula that cannot be drawn.
"""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from reference import layer_pages, rule_pages, verb_pages
from reference.repository_links import rewritten

ROOT = Path(__file__).parents[1]

# Files with a place of their own on the site, and folders whose list is their first page.
PLACES = {
    "README.md": "index.md",
    "README.zh.md": "zh/index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "LICENSE.txt",
    "src/layerwright/data/digits.LICENSE.txt": "digits.LICENSE.txt",
    "docs/decisions": "decisions/index.md",
    "docs/tutorial": "tutorial/index.md",
    "docs/zh/tutorial": "zh/tutorial/index.md",
    "examples": "examples/index.md",
}
LISTED = ("decisions/", "examples/", "layers/", "networks/", "rules/")  # by their first pages


class BuildError(Exception):
    """The site cannot be built; the message says why."""


def build(folder: Path) -> int:
    """Write the pages and the site into a folder and return the number of pages.

    Raises:
        BuildError: there is something to warn of.
    """
    pages = write_pages(folder / "pages")
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    require_in_nav(pages, config["nav"])
    file = folder / "mkdocs.yml"
    config |= {"docs_dir": "pages", "site_dir": "site"}
    file.write_text(yaml.safe_dump(config, allow_unicode=True, sort_keys=False), encoding="utf-8")
    shutil.rmtree(folder / "site", ignore_errors=True)
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "-f", file.name],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    said = re.sub(r"\x1b\[[\d;]*m", "", done.stdout + done.stderr)
    if done.returncode or "Warning" in said:
        raise BuildError(said.partition("Traceback")[0].strip())
    for page in (folder / "site" / "zh").rglob("*.html"):  # the builder knows one language a site
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace('<html lang="en"', '<html lang="zh-CN"'), encoding="utf-8")
    return len(pages)


def write_pages(folder: Path) -> set[str]:
    """Write the Markdown of all pages into a folder, anew, and return their paths."""
    shutil.rmtree(folder, ignore_errors=True)
    places = PLACES | {file: page for file, page in committed_pages() if file not in PLACES}
    generated = rule_pages.rule_pages() | layer_pages.layer_pages() | verb_pages.verb_pages()
    generated["decisions/index.md"] = list_of_pages("Decisions", "decisions", places)
    generated["examples/index.md"] = list_of_pages("Examples", "examples", places)
    lookup = places | rule_pages.sources() | layer_pages.sources()
    pages = {}
    for file, page in places.items():
        path = ROOT / file
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            text = example_in_markdown(text) if path.suffix == ".py" else text
            pages[page] = rewritten(text, file, page, lookup) if page.endswith(".md") else text
    for page, text in (pages | generated).items():
        (folder / page).parent.mkdir(parents=True, exist_ok=True)
        (folder / page).write_text(text, encoding="utf-8")
    return {page for page in pages | generated if page.endswith(".md")}


def committed_pages() -> Iterator[tuple[str, str]]:
    """Yield file and page of what is committed in docs and examples."""
    for file in sorted((ROOT / "docs").rglob("*.md")):
        yield file.relative_to(ROOT).as_posix(), file.relative_to(ROOT / "docs").as_posix()
    for file in sorted((ROOT / "examples").glob("*.py")):
        yield file.relative_to(ROOT).as_posix(), f"examples/{file.stem}.md"


def example_in_markdown(code: str) -> str:
    """Return an example's page: its story, then its code."""
    first, _, story = (ast.get_docstring(ast.parse(code)) or "").partition("\n")
    body = code.split('"""', maxsplit=2)[2].strip()
    return f"# {first.rstrip('.')}\n{story}\n\n```python\n{body}\n```\n"


def list_of_pages(title: str, folder: str, places: dict[str, str]) -> str:
    """Return the list of a folder's pages, by their headings."""
    rows = []
    for file, page in places.items():
        if page.startswith(f"{folder}/") and (ROOT / file).is_file():
            text = (ROOT / file).read_text(encoding="utf-8")
            text = example_in_markdown(text) if file.endswith(".py") else text
            heading = text.partition("\n")[0].lstrip("# ")
            rows.append(f"- [{heading}]({page.rpartition('/')[2]})")
    return "\n".join([f"# {title}", "", *rows]) + "\n"


def require_in_nav(pages: set[str], nav: Any) -> None:
    """Demand that each page is named by a section, and each name is a page.

    Raises:
        BuildError: one is not.
    """
    named = set(names(nav))
    lost = {page for page in pages - named if not page.startswith(LISTED)}
    for kind, paths in (("in no section of mkdocs.yml", lost), ("no page", named - pages)):
        if paths:
            raise BuildError(f"{', '.join(sorted(paths))}: {kind}.")


def names(nav: Any) -> Iterator[str]:
    """Yield the pages that a nav names, at any depth."""
    if isinstance(nav, str):
        yield nav
    for item in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from names(item)


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "build/docs").resolve()
    try:
        print(f"{build(target)} pages in {target / 'site'}")
    except BuildError as error:
        sys.exit(f"error: {error}")
