"""`layerwright report`: one run, or two side by side, as one HTML page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from layerwright.cli.output import print_json
from layerwright.cli.threads import use_threads
from layerwright.errors import OptionError

if TYPE_CHECKING:
    from layerwright.reports.run_page.content import RunContent

Flag = Parameter(negative=())


def report(
    run: Path,
    run_b: Path | None = None,
    /,
    *,
    output: Path | None = None,
    png: Path | None = None,
    network: Annotated[tuple[str, ...], Flag] = (),
    data: str | None = None,
    data_dir: Path | None = None,
    loss: str | None = None,
    split: Literal["train", "validation", "test"] | None = None,
    no_contract: Annotated[bool, Flag] = False,
    device: str = "auto",
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Write one HTML page about a run, or about two side by side.

    The page holds configuration, environment, learning curves, confusion matrix, the worst
    mistakes, the contract's findings, the network and its layers, and how to train it again. It is
    one file below 2 MB that loads nothing from anywhere and runs no script. The network is
    evaluated again for it; what could not be measured is said, with the reason, and the folder of
    an unfinished or damaged run gets a page too, as far as it can be read.

    Of two runs the curves are laid over each other and the options that differ are marked.

    Args:
        run: the run's folder.
        run_b: a second run's folder, to compare.
        output: file to write; default report.html in the run's folder, with a second run
            report-RUN_B.html.
        png: folder for the curves, the confusion matrix and the mistakes as PNG files too.
        network: your own network, file.py:Net, if a run trained one; twice if the two runs trained
            different ones.
        data: data to evaluate on, or your own, file.py:name; default the run's.
        data_dir: folder with local copies of the built-in data sets.
        loss: your own loss, file.py:name, if the run used one.
        split: split to evaluate; default test, or validation while the run is not finished.
        no_contract: do not check the network against the contract, which takes some seconds.
        device: auto, cpu, cuda, cuda:1, mps.
        as_json: print one JSON object.
    """
    use_threads(None)
    if len(network) > (1 if run_b is None else 2):
        raise OptionError("--network expected one for each run. Fix: leave the others out.")
    from layerwright import __version__
    from layerwright.cli.run_report.gathering import Request, gathered
    from layerwright.cli.run_report.writing import page_file, write_page
    from layerwright.reports.run_page.page import render_runs
    from layerwright.reports.run_page.pictures import check_pictures, save_pictures

    if png is not None:
        check_pictures()
    folders = [run] if run_b is None else [run, run_b]
    file = page_file(folders, output)
    runs = [
        gathered(
            folder,
            Request(
                network=network[min(place, len(network) - 1)] if network else None,
                data=data,
                data_dir=None if data_dir is None else str(data_dir),
                loss=loss,
                split=split,
                device=device,
                with_contract=not no_contract,
            ),
        )
        for place, folder in enumerate(folders)
    ]
    size = write_page(file, render_runs(runs, footer=f"layerwright {__version__}"))
    pictures = [] if png is None else save_pictures(runs, png)
    if as_json:
        print_json(
            {
                "page": file,
                "size_bytes": size,
                "pictures": pictures,
                "not_measured": [dict(one.missing()) for one in runs],
            }
        )
    else:
        _say(file, size, runs, pictures)
    return 0


def _say(file: Path, size: int, runs: "list[RunContent]", pictures: list[Path]) -> None:
    print(f"{file} ({size / 1000:.0f} kB)")
    for picture in pictures:
        print(picture)
    for run in runs:
        for what, why in run.missing():
            print(f"not measured in {run.name}: {what}: {why}")
