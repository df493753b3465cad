"""Learning curves as inline SVG: values appear under the pointer by style alone."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

from layerwright.reports.run_page.content import Curve, Series
from layerwright.reports.run_page.elements import safe
from layerwright.reports.run_page.scales import Scale, epochs_scale, number, scale_of, tick_text

_WIDTH, _HEIGHT = 400, 250  # as wide as a telephone's screen, so that letters keep their size
_RIGHT, _BOTTOM = 12, 38
_LETTER = 6.8  # how wide a digit is, at the most
_LINE = 15  # from one line of text to the next
_MOST_POINTS = 250

T = TypeVar("T")


def chart(curves: Sequence[tuple[str, Curve]], identifier: str) -> Iterator[str]:
    """Yield one figure with the curves of one name, of one run or of several.

    Args:
        curves: the name of the run ("" where there is only one), and its curve.
        identifier: of the figure on the page.
    """
    lines = [
        (": ".join(part for part in (run, item.label) if part), colour, item)
        for run, colour, item in _coloured(curves)
    ]
    name, as_percent = curves[0][1].name, curves[0][1].as_percent
    points = [point for _, _, item in lines for point in item.points]
    epochs = sorted({epoch for epoch, _ in points})
    known = [value for _, value in points if value is not None]
    top = 12 + _LINE * (1 + (len(curves) if len(curves) > 1 else 0))
    across, up = epochs_scale(epochs[0], epochs[-1]), scale_of(known, curves[0][1].axis)
    longest = max(len(tick_text(tick, as_percent=as_percent)) for tick in up.ticks() or [up.low])
    place = _Place(across, up, top, left=round(12 + _LETTER * max(longest, 5)))
    yield f'<figure class="chart" id="{identifier}"><figcaption><h3>{safe(name)}</h3>'
    yield '<span class="legend">'
    for label, colour, item in [line for line in lines if line[0]]:
        yield (
            f'<span class="key"><svg class="swatch" viewBox="0 0 24 8" aria-hidden="true">'
            f'<line class="{_look(colour, item)}" x1="0" y1="4" x2="24" y2="4"/></svg>'
            f"{safe(label)}</span>"
        )
    yield "</span></figcaption>"
    yield f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
    yield f'aria-label="{safe(_in_words(name, lines, as_percent=as_percent))}">'
    yield from _axes(place, epochs, as_percent=as_percent)
    for _, colour, item in lines:
        yield from _line(place, item, _look(colour, item))
    yield from _readouts(place, curves, epochs)
    yield "</svg></figure>"


class _Place:
    """Where values stand in the drawing."""

    def __init__(self, across: Scale, up: Scale, top: float, left: int) -> None:
        self.across, self.up, self.top, self.left = across, up, top, left
        self.bottom, self.right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT

    def x(self, epoch: float) -> float:
        return round(self.left + self.across.share(epoch) * (self.right - self.left), 1)

    def y(self, value: float) -> float:
        return round(self.bottom - self.up.share(value) * (self.bottom - self.top), 1)


def _coloured(curves: Sequence[tuple[str, Curve]]) -> Iterator[tuple[str, int, Series]]:
    """Yield each line with its run and colour: that of its run, or its own where there is one."""
    for run_place, (run, curve) in enumerate(curves):
        for place, item in enumerate(curve.series):
            yield run, run_place if len(curves) > 1 else place, item


def _look(colour: int, item: Series) -> str:
    """The class of a line; dashes tell validation from training without colours."""
    return f"line colour-{colour % 4} {'dashed' if item.label == 'validation' else 'solid'}"


def _axes(place: _Place, epochs: Sequence[int], *, as_percent: bool) -> Iterator[str]:
    for tick in place.up.ticks():
        y = place.y(tick)
        yield f'<line class="grid" x1="{place.left}" y1="{y}" x2="{place.right}" y2="{y}"/>'
        yield f'<text class="tick" x="{place.left - 6}" y="{y + 4}" text-anchor="end">'
        yield f"{tick_text(tick, as_percent=as_percent)}</text>"
    for tick in [tick for tick in place.across.ticks() if tick == int(tick)] or epochs[:1]:
        yield f'<text class="tick" x="{place.x(tick)}" y="{place.bottom + 16}" '
        yield f'text-anchor="middle">{int(tick)}</text>'
    label = "epoch, logarithmic axis" if place.up.is_log else "epoch"
    yield f'<text class="tick" x="{place.right}" y="{_HEIGHT - 4}" text-anchor="end">'
    yield f"{label}</text>"


def _line(place: _Place, item: Series, look: str) -> Iterator[str]:
    """Yield the line, broken where a value is not finite, and a dot where it has no neighbour."""
    pieces: list[list[str]] = [[]]
    for epoch, value in thinned(item.points):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append(f"{place.x(epoch)},{place.y(value)}")
    for piece in pieces:
        if len(piece) > 1:
            yield f'<polyline class="{look}" points="{" ".join(piece)}"/>'
        elif piece:
            x, y = piece[0].split(",")
            yield f'<circle class="dot {look}" cx="{x}" cy="{y}" r="3"/>'


def _readouts(
    place: _Place, curves: Sequence[tuple[str, Curve]], epochs: Sequence[int]
) -> Iterator[str]:
    """Yield a band for each epoch; under the pointer it shows the values."""
    shown = [epoch for epoch, _ in thinned([(epoch, None) for epoch in epochs])]
    middles = [(place.x(a) + place.x(b)) / 2 for a, b in pairwise(shown)]
    edges = [place.left, *middles, place.right]
    several = len(curves) > 1
    for epoch, left, right in zip(shown, edges, edges[1:], strict=False):
        x = place.x(epoch)
        yield f'<g class="band"><rect x="{left:.1f}" y="0" width="{right - left:.1f}" '
        yield f'height="{_HEIGHT}"/><g class="readout">'
        yield f'<line x1="{x}" y1="{place.top}" x2="{x}" y2="{place.bottom}"/>'
        rows = [] if not several else [f"epoch {epoch}"]
        for run, curve in curves:
            start = f"{run}: " if several else f"epoch {epoch}: "
            values = [
                f"{item.label} {number(value, as_percent=curve.as_percent)}".lstrip()
                for item in curve.series
                for at, value in item.points
                if at == epoch
            ]
            rows.append(start + (", ".join(values) or "no value"))
        for _, colour, item in _coloured(curves):
            for at, value in item.points:
                if at == epoch and value is not None:
                    look = _look(colour, item)
                    yield f'<circle class="dot {look}" cx="{x}" cy="{place.y(value)}" r="3.5"/>'
        for line, text in enumerate(rows):
            yield f'<text x="{place.left}" y="{_LINE * (line + 1)}">{safe(text)}</text>'
        yield "</g></g>"


def thinned(points: Sequence[T]) -> list[T]:
    """Return points as they are, or every second, third, ... of very many; the last one is kept."""
    every = max(1, -(-len(points) // _MOST_POINTS))
    found = list(points[::every])
    return found if not points or (len(points) - 1) % every == 0 else [*found, points[-1]]


def _in_words(name: str, lines: Sequence[tuple[str, int, Series]], *, as_percent: bool) -> str:
    """Say how each line begins and ends, for those who hear the page."""
    parts = []
    for label, _, item in lines:
        (first, start), (last, end) = item.points[0], item.points[-1]
        begin = f"{label or 'it goes'} from {number(start, as_percent=as_percent)} at epoch {first}"
        parts.append(f"{begin} to {number(end, as_percent=as_percent)} at epoch {last}")
    return f"{name}: {'; '.join(parts)}"
