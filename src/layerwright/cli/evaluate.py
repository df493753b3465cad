"""`layerwright evaluate`: loss and metrics of a trained network."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from layerwright.cli.named_objects import named_data, named_object
from layerwright.cli.output import print_json, print_values


def evaluate(
    run: Path,
    /,
    *,
    network: str | None = None,
    data: str | None = None,
    data_dir: Path | None = None,
    split: str = "test",
    loss: str | None = None,
    metrics: Annotated[tuple[str, ...], Parameter(name="--metric", negative=())] = (),
    batch_size: int | None = None,
    device: str = "auto",
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Print loss and metrics of a run's network, with the weights that were best on validation.

    Args:
        run: the run's folder.
        network: your own network, file.py:Net, if the run trained one.
        data: data set, folder of images or file.py:name; default the run's own data.
        data_dir: folder with local copies of the built-in data sets.
        split: train, validation or test, the default.
        loss: built-in loss, or file.py:name; default the run's.
        metrics: built-in metric, or file.py:name; repeatable; default the run's.
        batch_size: samples per forward pass; default 256.
        device: auto, the default, cpu, cuda, cuda:1, mps.
        as_json: print one JSON object.
    """
    from layerwright.training.evaluate import evaluate as evaluate_run

    values = evaluate_run(
        run,
        None if data is None else named_data(data),
        split=split,
        network=None if network is None else named_object(network),
        loss=None if loss is None else named_object(loss),
        metrics=tuple(named_object(metric) for metric in metrics),
        data_dir=None if data_dir is None else str(data_dir),
        device=device,
        **({} if batch_size is None else {"batch_size": batch_size}),
    )
    if as_json:
        print_json({"run_dir": run, "split": split, "values": values})
    else:
        print_values(split, values)
    return 0
