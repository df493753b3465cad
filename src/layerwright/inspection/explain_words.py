"""Explained words: coloured in the terminal and in a page of HTML."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from layerwright.errors import OptionError

if TYPE_CHECKING:
    from rich.text import Text

_FAINT = 0.05  # of the largest: no colour below
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --text: #111; --note: #444; --page: #fff;
         --for: 214, 53, 44; --against: 33, 102, 172; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --text: #eee; --note: #bbb; --page: #161616; --for: 235, 80, 70;
           --against: 70, 140, 230; }}
}}
body {{ font: 1.05rem/1.9 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto;
        padding: 0 1rem; color: var(--text); background: var(--page); }}
h1 {{ font-size: 1.2rem; line-height: 1.4; }}
.note {{ font-size: .85rem; line-height: 1.6; color: var(--note); }}
span {{ padding: .1em .15em; border-radius: .2em; }}
.for {{ background: rgba(var(--for), var(--share)); }}
.against {{ background: rgba(var(--against), var(--share)); }}
</style></head><body>
<h1>{title}</h1>
<p class="words">{words}</p>
<p class="note"><span class="for" style="--share:.5">red</span> speaks for it,
<span class="against" style="--share:.5">blue</span> against it; point at a word for its number.
The network does not know a word in [brackets].<br>{note}</p>
</body></html>
"""


def coloured_words(words: Sequence[str], values: Sequence[float]) -> "Text":
    """Return the words for rich's console, on red where they speak for the class, blue against.

    Args:
        words: in the order to show.
        values: an attribution for each.
    """
    from rich.text import Text  # noqa: PLC0415 - imported where it is used

    text = Text()
    for word, value, share in zip(words, values, _shares(values), strict=True):
        style = ""
        if share >= _FAINT:
            pale = round(235 - 175 * share)
            red, blue = (235, pale) if value > 0 else (pale, 235)
            style = f"{'black' if share < 0.6 else 'white'} on rgb({red},{pale},{blue})"
        text.append(word, style=style)
        text.append(" ")
    return text


def strongest_words(
    words: Sequence[str], values: Sequence[float], number: int = 5
) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """Return the words that speak most for the class, and those most against it."""
    ordered = sorted(zip(words, values, strict=True), key=lambda pair: pair[1])
    speaking = [pair for pair in reversed(ordered[-number:]) if pair[1] > 0]
    return speaking, [pair for pair in ordered[:number] if pair[1] < 0]


def save_explained_words(
    words: Sequence[str], values: Sequence[float], title: str, note: str, file: Path
) -> None:
    """Write a page that needs nothing else, light or dark as the reader likes.

    Raises:
        OptionError: the suffix is not .html, or the file cannot be written.
    """
    if file.suffix.lower() != ".html":
        raise OptionError(f"an explained text expected a file .html, received {str(file)!r}.")
    spans = []
    for word, value, share in zip(words, values, _shares(values), strict=True):
        kind = "for" if value > 0 else "against"
        style = f' class="{kind}" style="--share:{0.65 * share:.2f}"' if share >= _FAINT else ""
        spans.append(f'<span{style} title="{value:+.4f}">{escape(word)}</span>')
    page = _PAGE.format(title=escape(title), words=" ".join(spans), note=escape(note))
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise OptionError(f"{file} cannot be written: {error.strerror}.") from error


def _shares(values: Sequence[float]) -> list[float]:
    largest = max(map(abs, values), default=0.0) or 1.0
    return [abs(value) / largest for value in values]
