"""The pieces that the sections of a page are made of. Whatever is shown goes through `safe`."""

import re
from base64 import b64encode
from collections.abc import Collection, Iterable, Iterator
from html import escape

from layerwright.reports.characters import printable
from layerwright.reports.run_page.content import NotMeasured, Table

_NUMBER = re.compile(r"[-+]?[\d.,]+(e[-+]?\d+)?( %)?")
_WORDS = {"not finite", "not recorded", "(shared)", "no sample", "nan", "inf", "-inf"}


def safe(text: object) -> str:
    """Return a text as HTML shows it literally, in elements and in attributes."""
    return escape(printable(text))


def section(identifier: str, title: str, body: Iterable[str]) -> Iterator[str]:
    """Yield a section with its heading of level 2."""
    yield f'<section id="{identifier}" aria-labelledby="{identifier}-title">'
    yield f'<h2 id="{identifier}-title">{safe(title)}</h2>'
    yield from body
    yield "</section>"


def not_measured(what: str, missing: NotMeasured) -> str:
    """Return the line that stands where something is missing."""
    return (
        f'<p class="remark skipped"><strong>{safe(what)}: not measured.</strong> '
        f"{safe(missing.reason)}</p>"
    )


def notes(texts: Iterable[str]) -> Iterator[str]:
    """Yield one remark a text."""
    yield from (f'<p class="remark note">{safe(text)}</p>' for text in texts)


def table(content: Table, marked: Collection[int] = (), kind: str = "") -> Iterator[str]:
    """Yield a table that scrolls by itself where it is too wide, and its notes.

    Args:
        content: the texts.
        marked: numbers of the rows that are marked, from 0.
        kind: a class of the style.
    """
    yield scrolling(content.caption)
    yield f'<table class="{safe(kind)}"><caption><span>{safe(content.caption)}</span></caption>'
    yield "<thead><tr>"
    columns = zip(*content.rows, strict=True) if content.rows else ((),) * len(content.columns)
    look = [' class="number"' if _is_numeric(column) else "" for column in columns]
    heads = zip(content.columns, look, strict=True)
    yield "".join(f'<th scope="col"{kind}>{safe(name)}</th>' for name, kind in heads)
    yield "</tr></thead><tbody>"
    for number, (name, *cells) in enumerate(content.rows):
        row = '<tr class="marked">' if number in marked else "<tr>"
        level = len(name) - len(name.lstrip(" "))
        indent = f' class="level-{min(level // 2, 8)}"' if level else ""
        yield f'{row}<th scope="row"{indent}>{safe(name.lstrip(" "))}</th>'
        kinds = zip(cells, look[1:], strict=True)
        yield "".join(f"<td{kind}>{safe(cell)}</td>" for cell, kind in kinds) + "</tr>"
    yield "</tbody></table></div>"
    yield from notes(content.notes)


def _is_numeric(cells: Iterable[str]) -> bool:
    """Tell a column of numbers, which stand under each other; words may stand for some."""
    known = [cell for cell in cells if cell and cell not in _WORDS]
    return bool(known) and all(_NUMBER.fullmatch(cell) for cell in known)


def scrolling(label: str) -> str:
    """Return the start of a box that scrolls sideways, by keyboard too; its end is `</div>`."""
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{safe(label)}">'


def image(data: bytes, alt: str, kind: str = "png", style: str = "") -> str:
    """Return a picture that is part of the page.

    Args:
        data: of the file.
        alt: what it shows, in words.
        kind: "png" or "svg+xml".
        style: a class of the style.
    """
    source = f"data:image/{kind};base64,{b64encode(data).decode('ascii')}"
    return f'<img class="{safe(style)}" alt="{safe(alt)}" src="{source}">'
