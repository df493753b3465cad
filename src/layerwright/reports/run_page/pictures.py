"""Curves, confusion matrix and mistakes as PNG files, drawn by matplotlib."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from layerwright.errors import MissingExtraError, OptionError
from layerwright.reports.run_page.content import (
    Answers,
    Confusion,
    Curve,
    NotMeasured,
    Picture,
    RunContent,
    Samples,
)
from layerwright.reports.run_page.curves import overlaid, run_letter

_COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:purple")
_MOST_CLASSES = 40


def check_pictures() -> type[Any]:
    """Return what draws.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra, imported where it is used
    except ImportError as error:
        raise MissingExtraError("drawing pictures", "matplotlib", "plot") from error
    return Figure


def save_pictures(runs: Sequence[RunContent], folder: Path) -> list[Path]:
    """Write curves.png, and for each run confusion.png and mistakes.png where it has them.

    Returns:
        The files.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OptionError: the folder or a file cannot be written.
    """
    figure_class = check_pictures()
    drawings: dict[str, Callable[[], Any]] = {}
    if charts := overlaid(runs):
        drawings["curves.png"] = partial(_curves, figure_class, charts)
    for place, run in enumerate(runs):
        if not isinstance(run.answers, Answers):
            continue
        end = f"-{run_letter(place).lower()}" if len(runs) > 1 else ""
        confusion, worst = run.answers.confusion, run.answers.worst
        if not isinstance(confusion, NotMeasured) and len(confusion.counts) <= _MOST_CLASSES:
            drawings[f"confusion{end}.png"] = partial(_confusion, figure_class, confusion)
        if not isinstance(worst, NotMeasured) and worst.samples[0].picture is not None:
            drawings[f"mistakes{end}.png"] = partial(_samples, figure_class, worst)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, draw in drawings.items():
            draw().savefig(folder / name, dpi=120)
    except OSError as error:
        raise OptionError(f"--png {folder} cannot be written: {error.strerror}.") from error
    return [folder / name for name in drawings]


def _curves(figure_class: type[Any], charts: list[list[tuple[str, Curve]]]) -> Any:
    columns = min(3, len(charts))
    rows = -(-len(charts) // columns)
    figure = figure_class(figsize=(5 * columns, 3.4 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.flat[len(charts) :]:
        panel.set_axis_off()
    for panel, curves in zip(panels.flat, charts, strict=False):
        for run_place, (run, curve) in enumerate(curves):
            for place, item in enumerate(curve.series):
                colour = _COLOURS[(run_place if len(curves) > 1 else place) % len(_COLOURS)]
                factor = 100 if curve.as_percent else 1
                panel.plot(
                    [epoch for epoch, _ in item.points],
                    [float("nan") if value is None else factor * value for _, value in item.points],
                    color=colour, linestyle="--" if item.label == "validation" else "-",
                    marker="." if len(item.points) < 30 else "",
                    label=": ".join(part for part in (run, item.label) if part),
                )  # fmt: skip
        name, as_percent = curves[0][1].name, curves[0][1].as_percent
        panel.set_title(_plain(name) + (" (%)" if as_percent else ""), fontsize=10)
        panel.set_xlabel("epoch")
        panel.grid(visible=True, alpha=0.3)
        if any(run or item.label for run, curve in curves for item in curve.series):
            panel.legend(fontsize=8)
    return figure


def _confusion(figure_class: type[Any], confusion: Confusion) -> Any:
    number = len(confusion.counts)
    size = max(4.0, 0.45 * number + 1.5)
    figure = figure_class(figsize=(size, size), layout="constrained")
    panel = figure.subplots()
    shares = [[count / max(sum(row), 1) for count in row] for row in confusion.counts]
    panel.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for truth, row in enumerate(confusion.counts):
        for said, count in enumerate(row):
            if count:
                colour = "white" if shares[truth][said] > 0.5 else "black"
                panel.text(said, truth, count, ha="center", va="center", color=colour, fontsize=8)
    names = [_plain(name) for name in confusion.class_names]
    panel.set_xticks(range(number), names, rotation=90)
    panel.set_yticks(range(number), names)
    panel.set_xlabel("the network said")
    panel.set_ylabel("true class")
    return figure


def _samples(figure_class: type[Any], content: Samples) -> Any:
    shown = [(item, item.picture) for item in content.samples]
    columns = min(6, len(shown))
    rows = -(-len(shown) // columns)
    figure = figure_class(figsize=(1.9 * columns, 2.5 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.flat:
        panel.set_axis_off()
    for panel, (sample, picture) in zip(panels.flat, shown, strict=False):
        if picture is None:
            continue
        panel.imshow(_array(picture), cmap="gray", vmin=0, vmax=255)
        panel.set_title(_plain(f"said {sample.said}\ntrue {sample.truth}"), fontsize=7)
        for box in sample.boxes:
            left, top, right, bottom = box.sides
            xs = [share * picture.width - 0.5 for share in (left, right, right, left, left)]
            ys = [share * picture.height - 0.5 for share in (top, top, bottom, bottom, top)]
            panel.plot(
                xs, ys, color="tab:green" if box.is_truth else "tab:red",
                linestyle="-" if box.is_truth else "--", linewidth=1,
            )  # fmt: skip
    figure.suptitle(content.title, fontsize=10)
    return figure


def _array(picture: Picture) -> Any:
    import numpy as np  # noqa: PLC0415 - drawing only

    values = np.frombuffer(picture.pixels, dtype=np.uint8)
    values = values.reshape(picture.height, picture.width, picture.channels)
    return values[:, :, 0] if picture.channels == 1 else values


def _plain(text: str) -> str:
    """Return a text that matplotlib draws as it is: it reads what stands between dollars."""
    return text.replace("$", r"\$")
