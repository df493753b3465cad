"""What a run recorded, as its page shows it."""

from collections.abc import Mapping
from typing import Any, Literal

from layerwright.reports.run_page.content import Curve, Series
from layerwright.training.progress import format_value
from layerwright.training.run_config import own_object
from layerwright.training.run_record import RunRecord

_SECONDS = "seconds of an epoch"
_RATE = "learning rate"
_AXES: Mapping[str, Literal["from zero", "fitting"]] = {
    "loss": "fitting",
    _RATE: "from zero",
    _SECONDS: "from zero",
}


def headline_of(record: RunRecord) -> list[tuple[str, str]]:
    """Return what people quote: values on the test split, the best epoch, the time."""
    rows = [
        (f"test {name}", format_value(name, value))
        for name, value in (record.test or {}).items()
        if isinstance(value, float)
    ]
    if record.best is not None:
        name = str(record.config["resolved"].get("monitor"))
        value = record.best.get("validation", {}).get(name)
        if isinstance(value, float):
            rows.append((f"best validation {name}", format_value(name, value)))
            rows.append(("best epoch", str(record.best.get("epoch"))))
    if record.seconds:
        rows.append(("time of training", _duration(sum(record.seconds.values()))))
    return rows


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def curves_of(record: RunRecord) -> list[Curve]:
    """Return loss, metrics, learning rate and time; losses of both splits in one chart."""
    found: dict[str, dict[str, list[tuple[int, float | None]]]] = {}
    for row in record.history:
        for split in ("train", "validation"):
            for name, value in (row.get(split) or {}).items():
                if value is None or isinstance(value, int | float):
                    found.setdefault(name, {}).setdefault(split, []).append((row["epoch"], value))
        if isinstance(row.get("lr"), float):
            series = found.setdefault(_RATE, {}).setdefault("", [])
            series.append((row["epoch"], row["lr"]))
    if record.seconds and record.history:
        found[_SECONDS] = {"": list(record.seconds.items())}
    return [
        Curve(
            name,
            tuple(Series(label, tuple(points)) for label, points in lines.items()),
            as_percent=format_value(name, 0.0).endswith("%"),
            axis=_AXES.get(name, "linear"),
        )
        for name, lines in found.items()
    ]


def configuration_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the resolved recipe, and what its names came to."""
    resolved = {
        f"resolved {name}": as_text(value)
        for name, value in config["resolved"].items()
        if name != "threads"
    }
    return {name: as_text(value) for name, value in config["recipe"].items()} | resolved


def identity_of(record: RunRecord) -> dict[str, str]:
    """Return what the same weights need: seed, threads, versions and data."""
    facts, environment = record.config["data"], record.environment
    seed = record.config["recipe"].get("seed")
    found = {
        "seed": as_text(seed),
        "threads": as_text(record.config["resolved"].get("threads")),
        "layerwright": as_text(environment.get("layerwright", "not recorded")),
        "torch": as_text(environment.get("torch", "not recorded")),
        "python": as_text(environment.get("python", "not recorded")),
        "data": as_text(facts.get("name")),
        "task": as_text(facts.get("task")),
        "shape of a sample": as_text(facts.get("input_shape")),
        "outputs": as_text(facts.get("num_outputs")),
        "SHA-256 of the first training batch": as_text(record.config.get("first_batch")),
    }
    if record.config.get("unreplayable"):
        found["not replayable"] = as_text(record.config["unreplayable"])
    return found


def as_text(value: Any) -> str:
    """Return a value of config.json or environment.json in words."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if (own := own_object(value)) is not None:
        return f"your own: {own}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={as_text(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(as_text(item) for item in value) or "none"
    return str(value)
