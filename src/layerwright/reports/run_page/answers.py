"""The section of answers: values, confusion matrix, and the samples that were answered worst."""

from collections.abc import Iterator

from layerwright.reports.run_page.content import (
    Answers,
    Box,
    Confusion,
    NotMeasured,
    Picture,
    Sample,
    Samples,
    Table,
)
from layerwright.reports.run_page.elements import image, not_measured, notes, safe, scrolling, table
from layerwright.reports.run_page.png import png_of
from layerwright.reports.run_page.scales import scale_of, tick_text

_MOST_CLASSES = 20  # of a matrix that can be read
_MOST_CONFUSIONS = 25
_MOST_CLASS_ROWS = 100
_SHADES = 8
_SIZE, _LEFT, _TOP, _BOTTOM = 320, 52, 16, 36  # of the drawing of pairs


def answers(content: Answers | NotMeasured, level: int) -> Iterator[str]:
    """Yield all that is known of a network's answers, under headings of a level."""
    if isinstance(content, NotMeasured):
        yield not_measured("Answers on a split", content)
        return
    yield from table(
        Table(
            f"The {content.split} split, {content.num_samples:,} samples, evaluated again",
            ("value", "now", "recorded by the run"),
            tuple((name, now, then or "not recorded") for name, now, then in content.values),
        ),
        kind="numbers",
    )
    yield from notes(content.notes)
    if isinstance(content.confusion, NotMeasured):
        yield not_measured("Confusion matrix", content.confusion)
    elif len(content.confusion.class_names) <= _MOST_CLASSES:
        yield from _matrix(content.confusion)
    else:
        yield from _confusions(content.confusion)
    if content.pairs:
        yield from _pairs(content.pairs, level)
    if isinstance(content.worst, NotMeasured):
        yield not_measured("Worst answers", content.worst)
    else:
        yield from _samples(content.worst, level)


def _matrix(confusion: Confusion) -> Iterator[str]:
    names = confusion.class_names
    caption = "Confusion matrix: a row for each true class, a column for each answer"
    yield scrolling("Confusion matrix")
    yield f'<table class="matrix"><caption><span>{caption}</span></caption><thead><tr><td></td>'
    yield "".join(f'<th scope="col"><span>{safe(name)}</span></th>' for name in names)
    yield '<th scope="col">right</th></tr></thead><tbody>'
    for place, (name, row) in enumerate(zip(names, confusion.counts, strict=True)):
        total = sum(row)
        yield f'<tr><th scope="row">{safe(name)}</th>'
        for column, count in enumerate(row):
            shade = -(-_SHADES * count // total) if total else 0  # a single one is visible
            kind = "hit" if place == column else "miss"
            yield f'<td class="{kind} shade-{shade}">{count or "<i>0</i>"}</td>'
        yield f"<td>{_share(row[place], total)}</td></tr>"
    yield "</tbody></table></div>"


def _confusions(confusion: Confusion) -> Iterator[str]:
    """Yield what a large matrix says: the classes, and what is mistaken for what most often."""
    names, counts = confusion.class_names, confusion.counts
    rows = [
        (name, str(sum(row)), _share(row[place], sum(row)))
        for place, (name, row) in enumerate(zip(names, counts, strict=True))
    ]
    worst = sorted(
        range(len(rows)), key=lambda place: counts[place][place] / max(sum(counts[place]), 1)
    )[:_MOST_CLASS_ROWS]
    shown = f", the worst {len(worst)} of them" if len(worst) < len(rows) else ""
    yield from table(
        Table(
            f"The {len(rows)} classes{shown}, the worst one first",
            ("class", "samples", "right"),
            tuple(rows[place] for place in worst),
        ),
        kind="numbers",
    )
    found = sorted(
        (
            (-count, names[truth], names[said])
            for truth, row in enumerate(counts)
            for said, count in enumerate(row)
            if count and truth != said
        ),
    )[:_MOST_CONFUSIONS]
    yield from table(
        Table(
            f"The most frequent confusions, from a matrix of {len(rows)} x {len(rows)}",
            ("true class", "the network said", "samples"),
            tuple((truth, said, str(-count)) for count, truth, said in found),
        ),
        kind="numbers",
    )


def _share(part: int, total: int) -> str:
    return f"{100 * part / total:.1f} %" if total else "no sample"


def _pairs(pairs: tuple[tuple[float, float], ...], level: int) -> Iterator[str]:
    """Yield truth against answer; on the line both are equal."""
    scale = scale_of(value for pair in pairs for value in pair)
    bottom, right = _SIZE - _BOTTOM, _SIZE - 12

    def x(value: float) -> float:
        return round(_LEFT + scale.share(value) * (right - _LEFT), 1)

    def y(value: float) -> float:
        return round(bottom - scale.share(value) * (bottom - _TOP), 1)

    yield '<figure class="chart pairs"><figcaption>'
    yield f"<h{level}>Answer against truth</h{level}>"
    yield f"{len(pairs)} samples; on the line both are equal</figcaption>"
    yield f'<svg class="plot" viewBox="0 0 {_SIZE} {_SIZE}" role="img" '
    yield f'aria-label="The network&#x27;s answer against the truth, {len(pairs)} samples">'
    for tick in scale.ticks():
        yield f'<line class="grid" x1="{_LEFT}" y1="{y(tick)}" x2="{right}" y2="{y(tick)}"/>'
        yield f'<text class="tick" x="{_LEFT - 6}" y="{y(tick) + 4}" text-anchor="end">'
        yield f'{tick_text(tick)}</text><text class="tick" x="{x(tick)}" y="{bottom + 16}" '
        yield f'text-anchor="middle">{tick_text(tick)}</text>'
    low, high = scale.low, scale.high
    yield f'<line class="equal" x1="{x(low)}" y1="{y(low)}" x2="{x(high)}" y2="{y(high)}"/>'
    for truth, said in pairs:
        yield f'<circle class="pair" cx="{x(truth)}" cy="{y(said)}" r="3"><title>truth '
        yield f"{truth:.4g}, answer {said:.4g}</title></circle>"
    yield f'<text class="tick" x="{right}" y="{_SIZE - 4}" text-anchor="end">truth</text>'
    yield f'<text class="tick" x="{_LEFT}" y="{_TOP}">answer</text>'
    yield "</svg></figure>"


def _samples(content: Samples, level: int) -> Iterator[str]:
    yield f"<h{level}>{safe(content.title)}</h{level}><p>{safe(content.order)}</p>"
    yield '<ul class="samples">'
    for sample in content.samples:
        yield '<li><figure class="sample">'
        if sample.picture is not None:
            yield from _picture(sample, sample.picture)
        else:
            yield f'<p class="words">{safe(sample.words)}</p>'
        yield f'<figcaption><span class="said">said <b>{safe(sample.said)}</b></span> '
        yield f'<span class="truth">true <b>{safe(sample.truth)}</b></span> '
        yield f'<span class="quiet">{safe(sample.how_bad)}</span> '
        yield f'<span class="quiet">{safe(sample.name)}</span></figcaption></figure></li>'
    yield "</ul>"


def _picture(sample: Sample, picture: Picture) -> Iterator[str]:
    alt = f"{sample.name}: true {sample.truth}, the network said {sample.said}"
    coarse = "coarse" if picture.width < 64 else ""
    yield '<div class="picture">'
    yield image(png_of(picture), alt, style=coarse)
    if sample.boxes:
        yield '<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">'
        yield from (_box(box) for box in sample.boxes)
        yield "</svg>"
    yield "</div>"


def _box(box: Box) -> str:
    left, top, right, bottom = (round(100 * min(max(side, 0.0), 1.0), 1) for side in box.sides)
    return (
        f'<rect class="{"true-box" if box.is_truth else "said-box"}" x="{left}" y="{top}" '
        f'width="{max(right - left, 0):.1f}" height="{max(bottom - top, 0):.1f}">'
        f"<title>{safe(box.label)}</title></rect>"
    )
