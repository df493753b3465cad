"""`layerwright resume`: an interrupted run, taken up again."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from layerwright.cli.named_objects import named_data, named_object
from layerwright.cli.output import (
    console_for,
    exit_code_of,
    is_first_process,
    print_json,
    run_as_json,
)
from layerwright.cli.threads import use_threads


def resume(
    run: Path,
    /,
    network: str | None = None,
    *,
    data: str | None = None,
    data_dir: Path | None = None,
    loss: str | None = None,
    metrics: Annotated[tuple[str, ...], Parameter(name="--metric", negative=())] = (),
    optimizer: str | None = None,
    schedule: str | None = None,
    init: str | None = None,
    threads: int | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Continue a run that was interrupted or killed; it ends as if it never had been.

    Nothing in a run folder is imported: what was your own must be named again.

    Args:
        run: the run's folder.
        network: your own network, file.py:Net, if the run trained one.
        data: your own data, file.py:name, if the run used it.
        data_dir: where the built-in data sets lie now, if that has changed.
        loss: your own loss, file.py:name, if the run used one.
        metrics: the run's metrics, file.py:name, if one was your own; repeatable.
        optimizer: your own optimizer, file.py:name, if the run used one.
        schedule: your own schedule, file.py:name, if the run used one.
        init: your own initialisation, file.py:name, if the run used one.
        threads: CPU threads to compute with; the run's own number gives the same bits.
        as_json: print one JSON object at the end; progress goes to stderr.
    """
    use_threads(threads)
    names = {"loss": loss, "optimizer": optimizer, "schedule": schedule, "init": init}
    objects = {name: named_object(text) for name, text in names.items() if text is not None}
    if metrics:
        objects["metrics"] = tuple(named_object(metric) for metric in metrics)

    from layerwright.training.resume import resume as resume_run

    result = resume_run(
        run,
        None if network is None else named_object(network),
        None if data is None else named_data(data),
        data_dir=None if data_dir is None else str(data_dir),
        console=console_for(as_json=as_json),
        **objects,
    )
    if as_json and is_first_process():
        print_json(run_as_json(result))
    return exit_code_of(result)
