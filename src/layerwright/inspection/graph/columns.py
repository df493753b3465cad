"""Break a tall layout into columns that stand side by side, as text is set on a page."""

from collections.abc import Sequence
from dataclasses import dataclass

from layerwright.inspection.graph.layers import Row

PAGE = (540.0, 780.0)  # of a page inside its margins, in points; it may lie on its side
LANES = (0.0, -6.0, 6.0, -12.0, 12.0)  # of the lines that go back to the top, between columns
_GUTTER = 44.0
_TALL = 1.6  # pages: a box inside is broken only if it is taller
_FILLED = 0.6  # of a column, at least
_WIDOW = 0.25  # of the tallest column: no last column is shorter
TURN = 24.0  # above and below columns, for the same lines
_MAX_COLUMNS = 8


@dataclass(frozen=True)
class Column:
    """Some layers that follow each other.

    Attributes:
        first: index of the first layer.
        last: index of the last one.
        shift_x: to be added to the places of its nodes.
        shift_y: the same, downwards.
        gutter_x: where lines go up to the next column, on its right.
        top: upper side of all columns.
        bottom: lower side of all columns.
    """

    first: int
    last: int
    shift_x: float
    shift_y: float
    gutter_x: float
    top: float
    bottom: float


def columns_of(rows: Sequence[Row], *, is_page: bool) -> list[Column]:
    """Choose columns so that the whole is as large as possible on a page.

    What fits on a page as it is stays one column.

    Args:
        rows: the layers from the top.
        is_page: whether it is all that stands on the page, and not a box inside.
    """
    best, largest = _placed(rows, [0]), 0.0
    if not rows or (not is_page and best[0].bottom < _TALL * PAGE[1]):
        return best
    for number in range(1, min(_MAX_COLUMNS, len(rows)) + 1):
        columns = _placed(rows, _breaks(rows, number))
        last = rows[columns[-1].last]
        if last.y + last.height - rows[columns[-1].first].y < _WIDOW * columns[0].bottom:
            continue
        width, height = columns[-1].gutter_x, columns[0].bottom
        scale = scale_on_page(width, height)
        if scale > 1.1 * largest:
            best, largest = columns, scale
        if largest >= 1:
            break
    return best


def scale_on_page(width: float, height: float) -> float:
    """Return how large a picture may be on one page, upright or on its side; at most 1."""
    upright = min(PAGE[0] / width, PAGE[1] / height)
    return min(1.0, max(upright, min(PAGE[1] / width, PAGE[0] / height)))


def _breaks(rows: Sequence[Row], number: int) -> list[int]:
    """Return the first layers of so many columns, the highest of which is as low as possible."""
    low = max(row.height for row in rows)
    high = rows[-1].y + rows[-1].height
    while high - low > 1.0:
        middle = (low + high) / 2
        if len(_filled(rows, middle)) > number:
            low = middle
        else:
            high = middle
    return _filled(rows, high)


def _filled(rows: Sequence[Row], height: float) -> list[int]:
    """Fill columns up to a height; break where few lines run, near the end of a column."""
    starts = [0]
    while True:
        top = rows[starts[-1]].y
        over = [
            place
            for place in range(starts[-1] + 1, len(rows))
            if rows[place].y + rows[place].height - top > height
        ]
        if not over:
            return starts
        near = [
            place
            for place in range(starts[-1] + 1, over[0] + 1)
            if place == over[0] or rows[place].y - top > _FILLED * height
        ]
        starts.append(min(near, key=lambda place: (rows[place].num_lines, -place)))


def _placed(rows: Sequence[Row], starts: list[int]) -> list[Column]:
    ends = [*(start - 1 for start in starts[1:]), len(rows) - 1]
    turn = TURN if len(starts) > 1 else 0.0
    heights = [
        rows[last].y + rows[last].height - rows[first].y
        for first, last in zip(starts, ends, strict=True)
    ]
    bottom = max(heights) + turn
    columns, x = [], 0.0
    for first, last in zip(starts, ends, strict=True):
        nodes = [node for row in rows[first : last + 1] for node in row.nodes]
        left = min(node.x for node in nodes)
        right = max(node.x + node.width for node in nodes)
        end = x + right - left
        is_last = last == len(rows) - 1
        gutter = end if is_last else end + _GUTTER / 2
        columns.append(Column(first, last, x - left, turn - rows[first].y, gutter, turn, bottom))
        x = end + _GUTTER
    return columns
