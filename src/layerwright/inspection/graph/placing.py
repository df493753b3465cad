"""Places of all items of a drawing: boxes around the layouts of what stands in them."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from layerwright.inspection.graph.columns import LANES, TURN, Column, columns_of
from layerwright.inspection.graph.items import Drawing, Edge, Item
from layerwright.inspection.graph.layers import GAP_Y, Link, Node, Row, lay_out

FONT = 10.0
SMALL = 8.0
HEADER = 18.0
_PADDING = 12.0
_CHARACTER = 0.6  # width of one, in font sizes
Point = tuple[float, float]


@dataclass(frozen=True)
class Placed:
    """An item and its rectangle."""

    item: Item
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Line:
    """A part of an edge, from one item to the next or to the border of a box.

    Attributes:
        edge: the edge.
        points: the ends of its straight runs, two for each; between runs the line curves.
        has_arrow: whether it ends at an item.
        label: text beside its start; "" for none.
    """

    edge: Edge
    points: tuple[Point, ...]
    has_arrow: bool
    label: str


@dataclass(frozen=True)
class Page:
    """A drawing with all its places, in points.

    Attributes:
        width: of the page.
        height: of the page.
        items: boxes before what stands in them.
        lines: of all edges.
    """

    width: float
    height: float
    items: tuple[Placed, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class _Port:
    """Where an item's tensor enters or leaves a box."""

    box: Item
    start: Item
    is_entry: bool


@dataclass(eq=False)
class _Layout:
    """What stands in a box, relative to its upper left corner."""

    width: float = 0.0
    height: float = 0.0
    placed: list[Placed] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    ports: dict[_Port, float] = field(default_factory=dict)  # x from the left side


def page_of(drawing: Drawing) -> Page:
    """Place all items of a drawing on a page."""
    parts: dict[Item, list[tuple[Item | _Port, Item | _Port, Edge]]] = {}
    for edge in drawing.edges:
        for box, start, end in _hops(edge):
            if (start, end) not in [(one, other) for one, other, _ in parts.get(box, [])]:
                parts.setdefault(box, []).append((start, end, edge))
    layout = _lay_out_box(drawing.root, parts)
    margin = 8.0
    return Page(
        layout.width + 2 * margin,
        layout.height + 2 * margin,
        tuple(_moved(item, margin, margin) for item in layout.placed),
        tuple(_moved_line(line, margin, margin) for line in layout.lines),
    )


def size_of(item: Item) -> tuple[float, float]:
    """Return the size of an item that is no box."""
    lines = texts_of(item)
    width = max(len(text) * (FONT if place == 0 else SMALL) for place, text in enumerate(lines))
    height = 8.0 + FONT * 1.25 + (len(lines) - 1) * SMALL * 1.35
    extra = 30.0 if item.kind == "choice" else 14.0
    return width * _CHARACTER + extra, height + (14.0 if item.kind == "choice" else 0.0)


def texts_of(item: Item) -> list[str]:
    """Return the lines of text in an item."""
    lines = [item.title]
    if item.detail and item.detail != item.title:
        lines.append(item.detail)
    if item.call:
        lines.append(f"call {item.call} of {item.num_calls}")
    if item.times > 1:
        lines.append(f"{item.times} times, in a loop")
    if item.failed:
        lines.append("failed here")
    return lines


def header_of(item: Item) -> str:
    """Return the title of a box."""
    calls = f", call {item.call} of {item.num_calls}" if item.call else ""
    detail = f" {item.detail}" if item.detail else ""
    values = ", depends on values" if item.depends_on_values else ""
    return f"{item.title}{detail}{calls}{values}"


def _hops(edge: Edge) -> Iterator[tuple[Item, Item | _Port, Item | _Port]]:
    """Cut an edge where it crosses the border of a box."""
    out, into = edge.start.boxes, edge.end.boxes
    shared = next(box for box in out if box in into)
    here: Item | _Port = edge.start
    for box in out[: out.index(shared)]:
        port = _Port(box, edge.start, is_entry=False)
        yield box, here, port
        here = port
    for box in reversed(into[: into.index(shared)]):
        port = _Port(box, edge.start, is_entry=True)
        yield box.owner or box, here, port
        here = port
    yield edge.end.owner or shared, here, edge.end


def _lay_out_box(
    box: Item, parts: dict[Item, list[tuple[Item | _Port, Item | _Port, Edge]]]
) -> _Layout:
    inner = {part: _lay_out_box(part, parts) for part in box.parts if part.kind == "box"}
    nodes: dict[Item | _Port, Node] = {}
    for part in box.parts:
        size = (inner[part].width, inner[part].height) if part in inner else size_of(part)
        nodes[part] = Node(part, *size, first=part.kind == "input", last=part.kind == "output")
    hops = parts.get(box, [])
    for ends in hops:
        for end in ends[:2]:
            if isinstance(end, _Port) and end.box is box:
                entry = end.is_entry
                nodes.setdefault(end, Node(end, 8.0, 0.0, first=entry, last=not entry))
    links = []
    for start, end, edge in hops:
        upper, upper_x = _end_of(start, box, nodes, inner)
        lower, lower_x = _end_of(end, box, nodes, inner)
        trunk = (edge.start, edge.is_mask, edge.is_skip)
        links.append(Link(upper, lower, upper_x, lower_x, trunk))
    rows = lay_out([*nodes.values()], links)
    return _boxed(box, rows, nodes, links, hops, inner)


def _end_of(
    end: Item | _Port,
    box: Item,
    nodes: dict[Item | _Port, Node],
    inner: dict[Item, _Layout],
) -> tuple[Node, float]:
    """Return the node that a link ends at, and where on it."""
    if isinstance(end, _Port) and end.box is not box:
        return nodes[end.box], inner[end.box].ports[end]
    return nodes[end], nodes[end].width / 2


def _boxed(
    box: Item,
    rows: list[Row],
    nodes: dict[Item | _Port, Node],
    links: list[Link],
    hops: list[tuple[Item | _Port, Item | _Port, Edge]],
    inner: dict[Item, _Layout],
) -> _Layout:
    """Draw a frame around a layout, which stands in columns if it is tall."""
    columns = columns_of(rows, is_page=box.owner is None)
    column_of = {
        place: column for column in columns for place in range(column.first, column.last + 1)
    }
    has_entries = any(isinstance(key, _Port) and key.is_entry for key in nodes)
    has_exits = any(isinstance(key, _Port) and not key.is_entry for key in nodes)
    title = len(header_of(box)) * SMALL * 1.1 * _CHARACTER + 12.0
    right, bottom = columns[-1].gutter_x, columns[0].bottom
    width = max(right + 2 * _PADDING, title)
    shift_x = (width - right) / 2
    top = HEADER + (-GAP_Y * 0.45 if has_entries and len(columns) == 1 else _PADDING / 2)
    height = bottom + top + _PADDING
    if has_exits and len(columns) == 1:
        height -= _PADDING + GAP_Y * 0.45  # what leaves stands on the border
    elif len(columns) > 1:
        height += TURN
    layout = _Layout(width, height)
    for key, node in nodes.items():
        column = column_of[node.layer]
        x, y = node.x + column.shift_x + shift_x, node.y + column.shift_y + top
        if isinstance(key, _Port):
            layout.ports[key] = x + node.width / 2
        elif key in inner:
            layout.placed += [_moved(item, x, y) for item in inner[key].placed]
            layout.lines += [_moved_line(line, x, y) for line in inner[key].lines]
        else:
            layout.placed.append(Placed(key, x, y, node.width, node.height))
    for line in _lines(box, rows, column_of, links, hops, (HEADER - top, height - top)):
        layout.lines.append(_moved_line(line, shift_x, top))
    layout.width = max([width, *(_label_end(line) for line in layout.lines)])
    layout.placed.insert(0, Placed(box, 0.0, 0.0, layout.width, height))
    return layout


def _lines(
    box: Item,
    rows: list[Row],
    column_of: dict[int, Column],
    links: list[Link],
    hops: list[tuple[Item | _Port, Item | _Port, Edge]],
    borders: tuple[float, float],
) -> Iterator[Line]:
    """Yield the lines in a box, each tensor labelled once where it starts.

    `borders` are the lower side of the box's header and its own lower side.
    """
    labelled: set[tuple[Item, str]] = set()
    lanes: dict[Hashable, float] = {}
    for (start, end, edge), link in zip(hops, links, strict=True):
        from_entry = isinstance(start, _Port) and start.box is box
        to_exit = isinstance(end, _Port) and end.box is box
        lane = 0.0
        if column_of[link.start.layer] is not column_of[link.end.layer]:
            lane = lanes.setdefault(link.trunk, LANES[len(lanes) % len(LANES)])
        label = ""
        says_it = edge.start.kind != "input" and not from_entry and not to_exit
        if says_it and (edge.start, edge.label) not in labelled:
            labelled.add((edge.start, edge.label))
            label = edge.label
        points = _runs(link, rows, column_of, lane)
        if from_entry:
            points[:2] = [(x, max(y, borders[0])) for x, y in points[:2]]
        if to_exit:
            x = points[-1][0]
            points[-2:] = [(x, min(points[-2][1], borders[1])), (x, borders[1])]
        yield Line(edge, tuple(points), not to_exit, label)


def _label_end(line: Line) -> float:
    if not line.label:
        return 0.0
    return line.points[1][0] + 4.0 + len(line.label) * SMALL * _CHARACTER + 6.0


def _runs(link: Link, rows: list[Row], column_of: dict[int, Column], lane: float) -> list[Point]:
    """Return the ends of a link's straight runs: one in each layer, and one between columns."""
    points: list[Point] = []
    for node in (link.start, *link.bends, link.end):
        row, column = rows[node.layer], column_of[node.layer]
        own_x, first, last = node.width / 2, row.y, row.y + row.height
        if node is link.start:
            own_x, first = link.start_x, node.y + node.height
        elif node is link.end:
            own_x, last = link.end_x, node.y
        if points and column is not (before := column_of[node.layer - 1]):
            points[-1] = (points[-1][0], before.bottom)
            points += [
                (before.gutter_x + lane, before.bottom),
                (before.gutter_x + lane, column.top),
            ]
        x = node.x + own_x + column.shift_x
        points += [(x, first + column.shift_y), (x, last + column.shift_y)]
    return points


def _moved(item: Placed, x: float, y: float) -> Placed:
    return Placed(item.item, item.x + x, item.y + y, item.width, item.height)


def _moved_line(line: Line, x: float, y: float) -> Line:
    return Line(
        line.edge,
        tuple((one + x, other + y) for one, other in line.points),
        line.has_arrow,
        line.label,
    )
