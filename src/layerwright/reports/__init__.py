"""Reports as people and machines read them: one renderer a file, each imported when it is used."""

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from layerwright.names import look_up

if TYPE_CHECKING:
    from layerwright.contract.finding import Report

__all__ = ["RENDERERS", "render"]

RENDERERS = {
    "text": "layerwright.reports.text:render_text",
    "json": "layerwright.reports.json:render_json",
    "sarif": "layerwright.reports.sarif:render_sarif",
    "html": "layerwright.reports.html:render_html",
    "junit": "layerwright.reports.junit:render_junit",
}


def render(reports: Sequence["Report"], format: str, **options: Any) -> str:  # noqa: A002 - the option's name
    """Return reports as one text in the format that is named.

    Args:
        reports: one for each layer that was checked.
        format: "text", "json", "sarif", "html" or "junit".
        options: the renderer's own: `colour`, `width` and `verbose` of text, `strict` of junit.

    Returns:
        The text; it ends in a newline where it is a file's content, so in all formats but "text".

    Raises:
        OptionError: there is no such format.
    """
    module, function = look_up("report format", format, RENDERERS).split(":")
    text: str = getattr(import_module(module), function)(reports, **options)
    return text
