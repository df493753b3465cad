"""`layerwright predict`: what a trained network, or an exported one, says of files."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from layerwright.cli import explanations
from layerwright.cli.named_objects import named_object
from layerwright.cli.output import print_json
from layerwright.errors import OptionError, ShapeError

if TYPE_CHECKING:
    from torch import Tensor

    from layerwright.training.explain import Explanation
    from layerwright.training.predict import Prediction


def predict(
    run: Path,
    /,
    *files: Path,
    network: str | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    explain: Annotated[
        tuple[str, ...] | None, Parameter(negative=(), consume_multiple=(0, None))
    ] = None,
    output: Path | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Print the likeliest class and its probability for each file.

    Images are brought to the channels and size of the training data. An array file holds one
    sample or several; each gets a line. A network that learned from texts takes files that hold one
    text each, in UTF-8. For regression the network's values are printed; a detector gets a line for
    each object that it finds. A file that layerwright export wrote takes the run's place; for an
    .onnx file torch is not needed.

    Args:
        run: the run's folder, or an exported .onnx or .pt2 file.
        files: images, arrays saved as .npy or .npz, or texts.
        network: your own network, file.py:Net, if the run trained one.
        batch_size: samples per forward pass; default 256.
        device: auto, the default, cpu, cuda, cuda:1, mps.
        explain: draw which pixels or words speak for the class: by integrated gradients, or
            --explain occlusion. Writes NAME.explained.png, for texts .html, beside each file.
        output: the file for the explanation of one sample, or the folder for those of several.
        as_json: print one JSON object.
    """
    method, more = explanations.read_method(explain)
    files = (*files, *more)
    if output is not None and method is None:
        raise OptionError("--output expected --explain with it. Fix: add --explain.")
    if not files:
        raise OptionError("predict expected files, received none. Fix: name images or .npy files.")
    if run.suffix in {".onnx", ".pt2", ".safetensors"} and not run.is_dir():
        options = {"--network": network, "--explain": method}
        return _predict_exported(run, files, options, batch_size, device, as_json=as_json)
    import torch

    from layerwright.training.input_files import read_file
    from layerwright.training.predict import predict as predict_run
    from layerwright.training.run_folder import read_config

    facts = read_config(run)["data"]
    parts = [] if facts.get("vocabulary_size") else [read_file(file, facts) for file in files]
    _check_alike(files, parts)
    samples = [
        (file, None if len(part) == 1 else index)
        for file, part in zip(files, parts, strict=bool(parts))
        for index in range(len(part))
    ] or [(file, None) for file in files]
    places: list[Path] = []
    if method is not None:
        explanations.check_extras(images=bool(parts))
        places = explanations.places_for(samples, output, ".png" if parts else ".html")
    inputs = torch.cat(parts) if parts else list(files)
    own = None if network is None else named_object(network)
    prediction = predict_run(
        run,
        inputs,
        network=own,
        device=device,
        **({} if batch_size is None else {"batch_size": batch_size}),
    )
    names = [str(file) if index is None else f"{file}[{index}]" for file, index in samples]
    rows = list(_rows(names, prediction))
    explained: list[Explanation] = []
    if method is not None:
        from layerwright.training.explain import explain as explain_run

        explained = explain_run(run, inputs, method=method, network=own, device=device)
        for row, found, place in zip(rows, explained, places, strict=True):
            explanations.save(found, _in_words(row), place)
            row["explanation"] = explanations.as_json(found, place)
    if as_json:
        print_json({"run_dir": run, "predictions": rows})
    else:
        _print_rows(rows, list(zip(explained, places, strict=True)) if explained else [])
    return 0


def _predict_exported(
    file: Path,
    samples: tuple[Path, ...],
    options: dict[str, str | None],
    batch_size: int | None,
    device: str,
    *,
    as_json: bool,
) -> int:
    """Ask an exported file; torch is not imported for ONNX."""
    from layerwright.exporting.predicting import BATCH_SIZE, predict_files

    for option, value in options.items():
        if value is not None:
            raise OptionError(f"{option} expected a run folder, received the exported file {file}.")
    if device not in {"auto", "cpu"}:
        raise OptionError(f"--device expected cpu for an exported file, received {device!r}.")
    rows = predict_files(file, samples, BATCH_SIZE if batch_size is None else batch_size)
    if as_json:
        print_json({"file": file, "predictions": rows})
    else:
        _print_rows(rows, [])
    return 0


def _print_rows(rows: list[dict[str, Any]], explained: "list[tuple[Explanation, Path]]") -> None:
    width = max((len(row["sample"]) for row in rows), default=0)
    for index, row in enumerate(rows):
        for line in _lines(row):
            print(f"{row['sample']:<{width}}  {line}")
        if explained:
            explanations.show(*explained[index])


def _lines(row: dict[str, Any]) -> list[str]:
    """Say what was predicted; a line for each object that a detector found."""
    if "objects" in row:
        return [_object_in_words(item) for item in row["objects"] or [None]]
    if "class" in row:
        return [f"{row['class']}  {100 * row['probability']:.2f} %"]
    return [f"{row['output']}"]


def _in_words(row: dict[str, Any]) -> str:
    """The title of an explanation."""
    return f"{Path(row['sample']).name}: {_lines(row)[0]}"


def _object_in_words(item: dict[str, Any] | None) -> str:
    """Say what was found where; sides are in percent of the image."""
    if item is None:
        return "nothing"
    sides = zip(("left", "top", "right", "bottom"), item["box"], strict=True)
    place = " ".join(f"{name} {100 * share:.0f} %" for name, share in sides)
    return f"{item['class']}  {100 * item['probability']:.2f} %  {place}"


def _rows(names: list[str], prediction: "Prediction") -> Iterator[dict[str, Any]]:
    """Give one row a sample: its class and that class's probability, or the output itself."""
    import torch

    if prediction.objects is not None:
        for name, found in zip(names, prediction.objects, strict=True):
            rows = zip(
                prediction.names(found.classes),
                found.scores.tolist(),
                found.boxes.tolist(),
                strict=True,
            )
            keys = ("class", "probability", "box")
            yield {"sample": name, "objects": [dict(zip(keys, row, strict=True)) for row in rows]}
        return
    if prediction.classes is None or prediction.probabilities is None:
        for name, output in zip(names, prediction.outputs, strict=True):
            yield {"sample": name, "output": output.tolist()}
        return
    chances = prediction.probabilities
    if chances.dim() == 1:  # binary: the probability of class 1 alone
        chances = torch.stack([1 - chances, chances], dim=1)
    likeliest = chances.max(dim=1).values
    labels = prediction.labels()
    for name, label, chance in zip(names, labels, likeliest.tolist(), strict=True):
        yield {"sample": name, "class": label, "probability": chance}


def _check_alike(files: tuple[Path, ...], parts: "list[Tensor]") -> None:
    for file, part in zip(files, parts, strict=bool(parts)):
        if part.shape[1:] != parts[0].shape[1:]:
            raise ShapeError(
                f"predict expected samples of one shape, received {tuple(parts[0].shape[1:])} in "
                f"{files[0]} and {tuple(part.shape[1:])} in {file}. Fix: predict them apart."
            )
