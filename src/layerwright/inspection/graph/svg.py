"""A placed drawing as SVG, with names to read when the pointer rests on something."""

from collections.abc import Iterator
from html import escape

from layerwright.inspection.graph.looks import COLOURS, look_of, path_of
from layerwright.inspection.graph.placing import (
    FONT,
    SMALL,
    Line,
    Page,
    Placed,
    header_of,
    texts_of,
)

_FONTS = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif"


def svg_of(page: Page, title: str) -> str:
    """Return the text of an SVG file.

    Args:
        page: a placed drawing.
        title: of the picture, for readers who do not see it.
    """
    size = f'width="{page.width:.0f}" height="{page.height:.0f}"'
    view = f'viewBox="0 0 {page.width:.1f} {page.height:.1f}"'
    fonts = f'font-family="{_FONTS}" font-size="{FONT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size} {view} {fonts}>',
        f"<title>{escape(title)}</title>",
        f'<rect width="100%" height="100%" fill="{COLOURS["page"]}"/>',
    ]
    parts += [text for item in page.items if item.item.kind == "box" for text in _box(item)]
    parts += [text for line in page.lines for text in _line(line)]
    parts += [text for item in page.items if item.item.kind != "box" for text in _item(item)]
    parts += [text for line in page.lines for text in _label(line)]
    return "\n".join([*parts, "</svg>", ""])


def _box(placed: Placed) -> Iterator[str]:
    look, title = look_of(placed.item), header_of(placed.item)
    dashes = ' stroke-dasharray="5 3"' if look.is_dashed else ""
    yield (
        f'<rect x="{placed.x:.1f}" y="{placed.y:.1f}" width="{placed.width:.1f}" '
        f'height="{placed.height:.1f}" rx="5" fill="{look.fill}" stroke="{look.line}"{dashes}>'
        f"<title>{escape(title)}</title></rect>"
    )
    yield (
        f'<text x="{placed.x + 6:.1f}" y="{placed.y + 12:.1f}" font-size="{SMALL * 1.1:.1f}" '
        f'fill="{COLOURS["quiet"]}">{escape(title)}</text>'
    )


def _item(placed: Placed) -> Iterator[str]:
    look, x, y = look_of(placed.item), placed.x, placed.y
    width, height = placed.width, placed.height
    dashes = ' stroke-dasharray="5 3"' if look.is_dashed else ""
    style = f'fill="{look.fill}" stroke="{look.line}" stroke-width="{look.stroke}"{dashes}'
    title = f"<title>{escape(' '.join(texts_of(placed.item)))}</title>"
    if placed.item.kind == "choice":
        corners = (
            f"{x + width / 2:.1f},{y:.1f} {x + width:.1f},{y + height / 2:.1f} "
            f"{x + width / 2:.1f},{y + height:.1f} {x:.1f},{y + height / 2:.1f}"
        )
        yield f'<polygon points="{corners}" {style}>{title}</polygon>'
    else:
        round_x = height / 2 if placed.item.kind in {"input", "output", "operator"} else 4
        yield (
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'rx="{round_x:.1f}" {style}>{title}</rect>'
        )
    lines = texts_of(placed.item)
    baseline = y + height / 2 - (len(lines) - 1) * SMALL * 1.35 / 2 + FONT * 0.35
    for place, text in enumerate(lines):
        size = FONT if place == 0 else SMALL
        colour = COLOURS["text"] if place == 0 else COLOURS["quiet"]
        yield (
            f'<text x="{x + width / 2:.1f}" y="{baseline + place * SMALL * 1.35:.1f}" '
            f'font-size="{size}" text-anchor="middle" fill="{colour}">{escape(text)}</text>'
        )


def _line(line: Line) -> Iterator[str]:
    look = look_of(line.edge)
    dashes = ' stroke-dasharray="3 3"' if look.is_dashed else ""
    path = path_of(line)
    steps = [f"M {path.start[0]:.1f} {path.start[1]:.1f}"]
    for one, other, end in path.curves:
        steps.append(
            f"C {one[0]:.1f} {one[1]:.1f} {other[0]:.1f} {other[1]:.1f} {end[0]:.1f} {end[1]:.1f}"
        )
    text = f"{line.edge.start.title} to {line.edge.end.title}: {line.edge.label}"
    yield (
        f'<path d="{" ".join(steps)}" fill="none" stroke="{look.line}" '
        f'stroke-width="{look.stroke}"{dashes}><title>{escape(text)}</title></path>'
    )
    if line.has_arrow:
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in path.arrow)
        yield f'<polygon points="{corners}" fill="{look.line}"/>'


def _label(line: Line) -> Iterator[str]:
    if line.label:
        x, y = line.points[1]
        yield (
            f'<text x="{x + 4:.1f}" y="{y + SMALL + 2:.1f}" font-size="{SMALL}" '
            f'fill="{COLOURS["quiet"]}" stroke="{COLOURS["page"]}" stroke-width="2" '
            f'paint-order="stroke">{escape(line.label)}</text>'
        )
