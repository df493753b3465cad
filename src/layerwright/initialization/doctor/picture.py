"""The doctor's picture: signal and gradient along the layers, before and after a recipe."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from layerwright.errors import MissingExtraError, OptionError
from layerwright.initialization.doctor.signals import NetworkSignal

if TYPE_CHECKING:
    from layerwright.initialization.doctor.diagnosis import InitializationDiagnosis

_MOST_NAMES = 40
_FLOOR = 1e-12  # where zeros are drawn


def check_picture(file: Path) -> type[Any]:
    """Return what draws a picture, if `file` can be one.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OptionError: the suffix is neither .png nor .svg.
    """
    if file.suffix.lower() not in (".png", ".svg"):
        raise OptionError(f"a picture expected a file .png or .svg, received {str(file)!r}.")
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra, imported where it is used
    except ImportError as error:
        raise MissingExtraError("drawing a picture", "matplotlib", "plot") from error
    return Figure


def save_picture(diagnosis: "InitializationDiagnosis", file: Path) -> None:
    """Write a picture as PNG or SVG, by the file's suffix.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OptionError: the suffix is another one, or the file cannot be written.
    """
    figure_class = check_picture(file)
    layers = diagnosis.before.layers
    figure = figure_class(
        figsize=(max(7.0, min(24.0, 2 + 0.25 * len(layers))), 8), layout="constrained"
    )
    panels: Any = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 2))
    titles = ("share of the output that depends on the input", "gradient, 1 at the output")
    states = [("before", "tab:red", diagnosis.before)]
    if diagnosis.after is not None:
        states.append((f"after {diagnosis.recipe}", "tab:blue", diagnosis.after))
    for panel, title, field in zip(panels, titles, ("dependence", "gradient"), strict=False):
        for label, colour, signal in states:
            values = _values(diagnosis, signal, field)
            panel.semilogy(
                range(len(values)),
                [None if value is None else max(value, _FLOOR) for value in values],
                marker="o", markersize=3, color=colour, label=label,
            )  # fmt: skip
        panel.set_title(title, fontsize=10)
        panel.grid(visible=True, alpha=0.3)
    panels[0].legend(fontsize=8)
    for shift, (label, colour, signal) in enumerate(states):
        for field, hatch in (("dead", ""), ("saturated", "//")):
            values = _values(diagnosis, signal, field)
            panels[2].bar(
                [place + 0.4 * shift for place in range(len(values))],
                [value or 0.0 for value in values],
                width=0.35, color=colour, hatch=hatch, alpha=0.6, label=f"{field}, {label}",
            )  # fmt: skip
    panels[2].legend(fontsize=7)
    panels[2].set_ylim(0, 1)
    panels[2].set_title("share of dead units, and of saturated values", fontsize=10)
    every = max(1, -(-len(layers) // _MOST_NAMES))
    panels[2].set_xticks(
        range(0, len(layers), every),
        [layer.name for layer in layers][::every],
        rotation=90,
        fontsize=7,
    )
    sick = {finding.layer for finding in diagnosis.findings}
    for place, layer in enumerate(layers):
        if layer.name in sick:
            for panel in panels:
                panel.axvline(place, color="tab:red", linestyle=":", alpha=0.7)
    state = "nothing sick found" if diagnosis.ok else f"sick: {diagnosis.findings[0].kind}"
    figure.suptitle(f"Initialisation of {diagnosis.subject}: {state}", fontsize=11)
    try:
        figure.savefig(file, dpi=120)
    except OSError as error:
        raise OptionError(f"{file} cannot be written: {error.strerror}.") from error


def _values(
    diagnosis: "InitializationDiagnosis", signal: NetworkSignal, field: str
) -> list[float | None]:
    rows = [signal.find(layer.name) for layer in diagnosis.before.layers]
    return [None if row is None else getattr(row, field) for row in rows]
