"""A placed drawing as PNG, painted by matplotlib."""

from io import BytesIO
from typing import Any

from layerwright.errors import MissingExtraError
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

_DOTS_PER_INCH = 144  # two dots for a point
_LARGEST = 20_000  # dots of a side


def check_png() -> None:
    """Refuse early where nothing could be painted.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401, PLC0415 - the plot extra
    except ImportError as error:
        raise MissingExtraError("drawing a PNG", "matplotlib", "plot") from error


def png_of(page: Page) -> bytes:
    """Paint a page, two dots for a point, or fewer if it is very large; return the PNG file.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    check_png()
    from matplotlib.figure import Figure  # noqa: PLC0415 - the plot extra

    dots = min(_DOTS_PER_INCH, 72 * _LARGEST / max(page.width, page.height))
    figure = Figure(figsize=(page.width / 72, page.height / 72), facecolor=COLOURS["page"])
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, page.width)
    axes.set_ylim(page.height, 0)
    axes.axis("off")
    boxes = [item for item in page.items if item.item.kind == "box"]
    for box in boxes:
        _paint_shape(axes, box, 5.0)
        axes.text(
            box.x + 6, box.y + 12, header_of(box.item), size=SMALL * 1.1, color=COLOURS["quiet"]
        )
    for line in page.lines:
        _paint_line(axes, line)
    for item in page.items:
        if item.item.kind != "box":
            is_round = item.item.kind in {"input", "output", "operator"}
            _paint_shape(axes, item, item.height / 2 if is_round else 4.0)
            _paint_texts(axes, item)
    for line in page.lines:
        if line.label:
            x, y = line.points[1]
            axes.text(x + 4, y + SMALL + 2, line.label, size=SMALL, color=COLOURS["quiet"])
    content = BytesIO()
    figure.savefig(content, dpi=dots, format="png")
    return content.getvalue()


def _paint_shape(axes: Any, placed: Placed, rounding: float) -> None:
    from matplotlib.patches import FancyBboxPatch, Polygon  # noqa: PLC0415 - the plot extra

    look, x, y = look_of(placed.item), placed.x, placed.y
    width, height = placed.width, placed.height
    style: dict[str, Any] = {
        "facecolor": look.fill,
        "edgecolor": look.line,
        "linewidth": look.stroke,
        "linestyle": (0, (5, 3)) if look.is_dashed else "solid",
    }
    if placed.item.kind == "choice":
        corners = [
            (x + width / 2, y), (x + width, y + height / 2),
            (x + width / 2, y + height), (x, y + height / 2),
        ]  # fmt: skip
        axes.add_patch(Polygon(corners, closed=True, **style))
        return
    shape = f"round,pad=0,rounding_size={min(rounding, width / 2, height / 2):.2f}"
    axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=shape, **style))


def _paint_texts(axes: Any, placed: Placed) -> None:
    lines = texts_of(placed.item)
    baseline = placed.y + placed.height / 2 - (len(lines) - 1) * SMALL * 1.35 / 2 + FONT * 0.35
    for place, text in enumerate(lines):
        axes.text(
            placed.x + placed.width / 2,
            baseline + place * SMALL * 1.35,
            text,
            size=FONT if place == 0 else SMALL,
            color=COLOURS["text"] if place == 0 else COLOURS["quiet"],
            horizontalalignment="center",
        )


def _paint_line(axes: Any, line: Line) -> None:
    from matplotlib.patches import PathPatch, Polygon  # noqa: PLC0415 - the plot extra
    from matplotlib.path import Path as Course  # noqa: PLC0415 - the plot extra

    look, path = look_of(line.edge), path_of(line)
    points = [path.start, *(point for curve in path.curves for point in curve)]
    codes = [Course.MOVETO, *[Course.CURVE4] * (len(points) - 1)]
    axes.add_patch(
        PathPatch(
            Course(points, codes),
            facecolor="none",
            edgecolor=look.line,
            linewidth=look.stroke,
            linestyle=(0, (3, 3)) if look.is_dashed else "solid",
            capstyle="butt",
        )
    )
    if line.has_arrow:
        axes.add_patch(Polygon(path.arrow, closed=True, facecolor=look.line, edgecolor="none"))
