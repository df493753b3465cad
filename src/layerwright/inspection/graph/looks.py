"""Colours and strokes, and the course of a line: the same in each kind of picture."""

from dataclasses import dataclass
from itertools import pairwise

from layerwright.inspection.graph.columns import TURN
from layerwright.inspection.graph.items import Edge, Item
from layerwright.inspection.graph.placing import Line, Point

COLOURS = {
    "page": "#ffffff",
    "text": "#1b1f24",
    "quiet": "#57606a",
    "line": "#8c959f",
    "skip": "#0969da",
    "values": "#bc4c00",
    "failed": "#cf222e",
    "shared": "#8250df",
}
_FILLS = {
    "module": "#ddf4ff",
    "operator": "#fff8c5",
    "choice": "#ffe7d6",
    "input": "#dafbe1",
    "output": "#dafbe1",
}
_BOXES = ("#f6f8fa", "#ffffff")  # in turn, the deeper the box
_ARROW = 5.0


@dataclass(frozen=True)
class Look:
    """How something is drawn.

    Attributes:
        fill: colour inside.
        line: colour of the line or border.
        stroke: its width.
        is_dashed: whether it is dashed.
    """

    fill: str
    line: str
    stroke: float
    is_dashed: bool


def look_of(thing: Item | Edge) -> Look:
    """Return how an item or an edge is drawn.

    Residual ways are blue, modules that are called several times have a violet border, and what
    depends on values is orange and dashed.
    """
    if isinstance(thing, Edge):
        if thing.end.kind == "choice":
            return Look("none", COLOURS["values"], 1.2, is_dashed=True)
        if thing.is_skip:
            return Look("none", COLOURS["skip"], 1.6, is_dashed=False)
        return Look("none", COLOURS["line"], 1.0, is_dashed=thing.is_mask)
    fill = _FILLS.get(thing.kind, _BOXES[len(thing.boxes) % 2])
    line, stroke = COLOURS["line"], 1.0
    if thing.failed:
        line, stroke = COLOURS["failed"], 2.2
    elif thing.depends_on_values:
        line, stroke = COLOURS["values"], 1.4
    elif thing.call or thing.times > 1:
        line, stroke = COLOURS["shared"], 1.6
    return Look(fill, line, stroke, is_dashed=thing.depends_on_values and not thing.failed)


@dataclass(frozen=True)
class Path:
    """The course of a line.

    Attributes:
        start: its first point.
        curves: of each cubic curve the two points that it bends to, and its end.
        arrow: the corners of the arrow's head.
    """

    start: Point
    curves: tuple[tuple[Point, Point, Point], ...]
    arrow: tuple[Point, Point, Point]


def path_of(line: Line) -> Path:
    """Return curves that leave and arrive vertically, and run straight beside other items."""
    points = list(line.points)
    tip = points[-1]
    if line.has_arrow:
        points[-1] = (tip[0], tip[1] - _ARROW)
    curves = []
    for place, (one, other) in enumerate(pairwise(points)):
        if place % 2 == 0:  # a straight run
            curves.append((one, other, other))
            continue
        into, out = _turn(points[place - 1], one, other)
        curves.append(((one[0], into), (other[0], out), other))
    half = _ARROW * 0.6
    arrow = (tip, (tip[0] - half, tip[1] - _ARROW), (tip[0] + half, tip[1] - _ARROW))
    return Path(points[0], tuple(curves), arrow)


def _turn(before: Point, one: Point, other: Point) -> tuple[float, float]:
    """Return how far down a curve runs on before it bends, and where it has bent."""
    goes_down = before[1] <= one[1]
    if goes_down and other[1] > one[1]:
        return ((one[1] + other[1]) / 2,) * 2
    swing = TURN if goes_down else -TURN  # down under a column and up beside it, or over the next
    return one[1] + swing, other[1] + swing
