"""Links between the repository's files, rewritten for the site's pages."""

import posixpath
import re
from collections.abc import Mapping

_LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=\))")
_FENCE = re.compile(r"\s*(```|~~~)")


def rewritten(text: str, file: str, page: str, pages: Mapping[str, str]) -> str:
    """Return a page's text with links that are right on the site.

    What has no page, such as a licence, is left as it is: the site's builder says so.

    Args:
        text: the Markdown of the file.
        file: its path in the repository.
        page: its path on the site.
        pages: path on the site by path in the repository, folders too.
    """

    def link(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(file), found[1]))
        if ":" in found[1] or target not in pages:
            return found[0]
        return posixpath.relpath(pages[target], posixpath.dirname(page) or ".") + (found[2] or "")

    lines, fenced = [], False
    for line in text.splitlines(keepends=True):
        fenced ^= _FENCE.match(line) is not None
        lines.append(line if fenced else _LINK.sub(link, line))
    return "".join(lines)
