"""What a page about runs shows: frozen plain data, so that to render needs neither run nor torch.

Wherever something may be missing, a `NotMeasured` with the reason stands in its place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from layerwright.contract.finding import Report


@dataclass(frozen=True)
class NotMeasured:
    """What could not be had, and why, in one sentence."""

    reason: str


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        caption: what it shows.
        columns: the heads; the first column names the rows.
        rows: one text a column.
        notes: what to know beside it.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """Pixels.

    Attributes:
        width: in pixels.
        height: in pixels.
        channels: 1 for grey, 3 for red, green and blue.
        pixels: 8 bits each, row by row, the channels of a pixel side by side.
    """

    width: int
    height: int
    channels: int
    pixels: bytes


@dataclass(frozen=True)
class Series:
    """Values over epochs.

    Attributes:
        label: such as "train".
        points: (epoch from 1, value); None where the value was not finite.
    """

    label: str
    points: tuple[tuple[int, float | None], ...]


@dataclass(frozen=True)
class Curve:
    """One quantity over the epochs.

    Attributes:
        name: such as "loss".
        series: one or more lines.
        as_percent: whether people quote it in percent.
        axis: "linear"; "from zero" where sizes are compared; or "fitting", which is logarithmic
            where the values are of very different sizes.
    """

    name: str
    series: tuple[Series, ...]
    as_percent: bool = False
    axis: Literal["linear", "from zero", "fitting"] = "linear"


@dataclass(frozen=True)
class Box:
    """An object in an image; sides are shares of the image, 0 to 1.

    Attributes:
        label: its class, with the probability where it was found.
        sides: left, top, right, bottom.
        is_truth: whether it is one of the data's, else one that the network found.
    """

    label: str
    sides: tuple[float, float, float, float]
    is_truth: bool


@dataclass(frozen=True)
class Sample:
    """A sample that the network answered badly.

    Attributes:
        name: such as "sample 17".
        truth: what is right, in words.
        said: what the network said, in words.
        how_bad: such as "true class 0.4 %".
        picture: of the sample; None where it is no picture.
        words: of the sample, or its shape; "" where there is a picture.
        boxes: the objects in the picture.
    """

    name: str
    truth: str
    said: str
    how_bad: str
    picture: Picture | None = None
    words: str = ""
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Samples:
    """The samples that were answered worst.

    Attributes:
        title: such as "Worst mistakes".
        order: what comes first, in one sentence.
        samples: the worst one first.
    """

    title: str
    order: str
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class Confusion:
    """How often each class (row) was taken for each class (column)."""

    class_names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Answers:
    """What the network says of a split, evaluated again for the page.

    Attributes:
        split: "test", "validation", "train", or "whole" for data without splits.
        num_samples: of the split.
        values: name, value now, value that the run recorded ("" where it recorded none).
        notes: what to know of the values.
        confusion: of the classes.
        pairs: truth and answer, where one number is predicted.
        worst: samples.
    """

    split: str
    num_samples: int
    values: tuple[tuple[str, str, str], ...]
    notes: tuple[str, ...]
    confusion: Confusion | NotMeasured
    pairs: tuple[tuple[float, float], ...]
    worst: Samples | NotMeasured


@dataclass(frozen=True)
class Summary:
    """A network's modules, and totals in sentences."""

    modules: Table
    totals: tuple[str, ...]


@dataclass(frozen=True)
class LayerNumbers:
    """What passes each layer.

    Attributes:
        table: a row a layer.
        verdict: in sentences, the first layer that dies or explodes.
        heat_map: a PNG over the steps of training, where the run was watched.
    """

    table: Table
    verdict: tuple[str, ...]
    heat_map: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class RunContent:
    """All that the page shows of one run.

    Attributes:
        name: of the run, by which the page calls it.
        subject: network and data in words.
        status: such as "finished, 8 epochs".
        is_finished: whether the run came to its end.
        headline: what people quote, such as ("test accuracy", "98.61 %").
        problems: what of the folder could not be read.
        curves: of the epochs.
        configuration: option and value.
        chosen: the options that are not at the recipe's default.
        environment: of the machine that trained.
        answers: on a split.
        contract: the report of a check.
        summary: of the network.
        graph: the network drawn, an SVG document.
        layers: statistics of its layers.
        command: what trains it again.
        command_notes: what the command leaves open.
        identity: of the data and the code, name and value.
    """

    name: str
    subject: str
    status: str
    is_finished: bool
    headline: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]
    curves: tuple[Curve, ...]
    configuration: Mapping[str, str]
    chosen: frozenset[str]
    environment: Mapping[str, str]
    answers: Answers | NotMeasured
    contract: "Report | NotMeasured"
    summary: Summary | NotMeasured
    graph: str | NotMeasured
    layers: LayerNumbers | NotMeasured
    command: str
    command_notes: tuple[str, ...] = ()
    identity: Mapping[str, str] = field(default_factory=dict)

    def missing(self) -> list[tuple[str, str]]:
        """Return what is not measured: its name, and why."""
        parts: dict[str, object] = {
            "answers": self.answers,
            "contract": self.contract,
            "summary": self.summary,
            "graph": self.graph,
            "layers": self.layers,
        }
        if isinstance(self.answers, Answers):
            parts |= {"confusion matrix": self.answers.confusion, "mistakes": self.answers.worst}
        return [
            (name, part.reason) for name, part in parts.items() if isinstance(part, NotMeasured)
        ]
