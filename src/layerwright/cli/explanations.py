"""What `layerwright predict --explain` writes and prints for each sample."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layerwright.errors import OptionError

if TYPE_CHECKING:
    from layerwright.training.explain import Explanation

_MOST = 16  # pictures that one call draws


def read_method(explain: tuple[str, ...] | None) -> tuple[str | None, list[Path]]:
    """Tell the method from files that follow `--explain`.

    Returns:
        The method, None for no explanation, and the files.

    Raises:
        OptionError: what stands there is neither.
    """
    if explain is None:
        return None, []
    # It imports torch, which .onnx files do not need.
    from layerwright.inspection.explain_methods import METHODS

    if explain and explain[0] in METHODS:
        return explain[0], [Path(item) for item in explain[1:]]
    if explain and not Path(explain[0]).suffix and not Path(explain[0]).exists():
        raise OptionError(
            f"--explain expected {' or '.join(METHODS)}, or files, received {explain[0]!r}."
        )
    return METHODS[0], [Path(item) for item in explain]


def check_extras(*, images: bool) -> None:
    """Miss what is missing before anything is computed.

    Raises:
        MissingExtraError: captum, or for images matplotlib, is not installed.
    """
    from layerwright.inspection.explain_methods import require_captum
    from layerwright.inspection.trace_heat_map import require_figure

    require_captum()
    if images:
        require_figure()


def places_for(
    samples: Sequence[tuple[Path, int | None]], output: Path | None, suffix: str
) -> list[Path]:
    """Return where the explanation of each sample goes: beside its file, or to `output`.

    Args:
        samples: the file of each sample, and its number where the file holds several.
        output: a file for one sample; a folder for several.
        suffix: of the pictures or pages.

    Raises:
        OptionError: there are too many samples, or the folder cannot be made.
    """
    if len(samples) > _MOST:
        raise OptionError(
            f"--explain expected at most {_MOST} samples, received {len(samples)}. "
            "Fix: name fewer files, or a smaller array."
        )
    names = [
        f"{file.stem}{'' if number is None else f'.{number}'}.explained{suffix}"
        for file, number in samples
    ]
    if output is None:
        return [file.with_name(name) for (file, _), name in zip(samples, names, strict=True)]
    if len(samples) == 1 and output.suffix and not output.is_dir():
        if output.suffix.lower() != suffix:
            raise OptionError(f"--output expected a file {suffix}, received {str(output)!r}.")
        return [output]
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"--output expected a folder, and {output} cannot be made.") from error
    return [output / name for name in names]


def save(found: "Explanation", title: str, place: Path) -> None:
    """Draw the image, or write the page of words.

    Raises:
        OptionError: the file cannot be written.
    """
    nothing = "a black image" if found.image is not None else "a text of padding"
    note = f"Compared with {nothing} by {found.attribution.in_words()}"
    if (warning := found.attribution.warning()) is not None:
        note = f"{note}. {warning}"
    if found.image is not None:
        from layerwright.inspection.explain_picture import save_explained_image

        save_explained_image(found.image, found.attribution.values, title, note, place)
    else:
        from layerwright.inspection.explain_words import save_explained_words

        save_explained_words(found.words or (), found.word_values or (), title, note, place)


def show(found: "Explanation", place: Path) -> None:
    """Print the words in colour, how complete the explanation is, and where it went."""
    from rich.console import Console

    from layerwright.inspection.explain_words import coloured_words, strongest_words

    if found.words is not None and found.word_values is not None:
        words, values = _readable(found.words, found.word_values)
        Console(highlight=False).print(coloured_words(words, values))
        for name, pairs in zip(
            ("for", "against"), strongest_words(found.words, found.word_values), strict=True
        ):
            if pairs:
                said = ", ".join(f"{word} {value:+.3f}" for word, value in pairs)
                print(f"  {name} {found.label}: {said}")
    print(f"  {found.attribution.in_words()}")
    if (warning := found.attribution.warning()) is not None:
        print(f"  {warning}")
    print(f"  {'picture' if found.image is not None else 'page'}: {place}")


def as_json(found: "Explanation", place: Path) -> dict[str, Any]:
    """Return the numbers, and for a text each word's."""
    attribution = found.attribution
    return {
        "method": attribution.method,
        "label": found.label,
        "steps": attribution.num_steps,
        "sum": attribution.total,
        "difference": attribution.difference,
        "error": attribution.error,
        "complete": attribution.is_complete,
        "warning": attribution.warning(),
        "file": place,
        **({"words": list(_pairs(found))} if found.words is not None else {}),
    }


def _pairs(found: "Explanation") -> Iterator[list[Any]]:
    for word, value in zip(found.words or (), found.word_values or (), strict=True):
        yield [word, value]


def _readable(
    words: Sequence[str], values: Sequence[float], most: int = 400
) -> tuple[Sequence[str], Sequence[float]]:
    """A screenful; the page holds a long text in full."""
    return words[:most], values[:most]
