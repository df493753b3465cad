"""Explain a trained network's predictions: which pixels or words speak for the class."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from layerwright.data.normalization import Normalization
from layerwright.data.vocabulary import PADDING, UNKNOWN, Vocabulary
from layerwright.data.word_splitting import split_words
from layerwright.errors import DataError, OptionError
from layerwright.inspection.explain_embedding import EmbeddedText
from layerwright.inspection.explain_methods import Attribution, attribute, require_captum
from layerwright.training import random_state
from layerwright.training.devices import resolve_device
from layerwright.training.evaluation import evaluation_mode
from layerwright.training.input_files import normalised, read_texts
from layerwright.training.predict import input_tensors
from layerwright.training.run import Run
from layerwright.training.trained_network import TrainedNetwork, trained_network

_PARTS = 8  # an occluding window is as wide as this part of the image


@dataclass(frozen=True, eq=False)
class Explanation:
    """What speaks for the class that a network finds likeliest in one sample.

    Attributes:
        label: the class, or "output" for regression.
        attribution: how much each value speaks for the score of the class, and how complete it is.
        image: the image as it was before normalisation, `(C, H, W)`, 0 to 1; None for texts.
        words: the words of a text, unknown ones in brackets; or its n-grams, those that weigh most
            first; None for images.
        word_values: the attribution of each word.
    """

    label: str
    attribution: Attribution
    image: Tensor | None = None
    words: tuple[str, ...] | None = None
    word_values: tuple[float, ...] | None = None


def explain(
    run: str | Path | Run | nn.Module,
    inputs: Any,
    *,
    method: str = "integrated-gradients",
    network: Any = None,
    device: str = "auto",
) -> list[Explanation]:
    """Attribute the score of the likeliest class to the pixels or words of each sample.

    Scores are logits. The baseline, which stands for nothing, is a black image, or the text with
    padding in the place of each word; words are attributed at their embedding.

    Args:
        run: a run folder, a Run, or a network.
        inputs: images or texts, as `predict` takes them.
        method: "integrated-gradients", whose sum is complete, or "occlusion", which needs no
            gradient.
        network: the user's own network, if `run` is the folder of a run that trained one.
        device: where to compute.

    Raises:
        MissingExtraError: captum is not installed.
        OptionError: the method is unknown, or the network has no score for a class.
        DataError: a file is missing or cannot be read, or a text has no words.
        ShapeError: the samples do not have the shape that the network was trained on.
    """
    require_captum()
    trained = trained_network(run, network)
    if trained.facts.get("task") == "detection":
        raise OptionError(
            "an explanation expected one score for each class, and a detector finds objects. "
            "Fix: explain a classifier."
        )
    where = resolve_device(device)
    module = trained.network.to(where)
    with evaluation_mode(module), random_state.preserved(), _differentiable():
        if trained.vocabulary is not None:
            texts = read_texts(inputs)
            return [_text(trained, trained.vocabulary, text, method, where) for text in texts]
        tensors = input_tensors(inputs, trained)
        if len(tensors) != 1 or tensors[0].dim() != 4:
            raise OptionError(
                f"an explanation expected images (C, H, W) or texts, received samples of shape "
                f"{[tuple(tensor.shape[1:]) for tensor in tensors]}."
            )
        return [_image(trained, sample[None], method, where) for sample in tensors[0]]


@contextmanager
def _differentiable() -> Iterator[None]:
    """Let recurrent layers be differentiated in eval mode, which cuDNN refuses."""
    with torch.inference_mode(mode=False), torch.enable_grad():
        enabled, torch.backends.cudnn.enabled = torch.backends.cudnn.enabled, False
        try:
            yield
        finally:
            torch.backends.cudnn.enabled = enabled


def _image(
    trained: TrainedNetwork, sample: Tensor, method: str, device: torch.device
) -> Explanation:
    network, facts = trained.network, trained.facts
    black = normalised(torch.zeros_like(sample, dtype=torch.uint8), facts).to(device)
    point = sample.to(device)
    with torch.no_grad():
        label, read = _reading(network(point), trained)
    channels, height, width = sample.shape[1:]
    side = max(1, round(min(height, width) / _PARTS))

    def score(images: Tensor) -> Tensor:
        return read(network(images.clone()))  # some layers work in place

    found = attribute(score, point, black, method=method, window=(channels, side, side))
    return Explanation(label, found, image=_pixels(sample[0], facts))


def _text(
    trained: TrainedNetwork, vocabulary: Vocabulary, text: str, method: str, device: torch.device
) -> Explanation:
    tokens, lengths = (part.to(device) for part in input_tensors([text], trained))
    if not int(lengths[0]):
        raise DataError("an explanation expected a text with words, and this one has none.")
    with torch.no_grad():
        label, read = _reading(trained.network(tokens, lengths), trained)
    embedded = EmbeddedText(trained.network, tokens, lengths, padding=PADDING)
    point = embedded.point
    found = attribute(
        embedded.score(read), point, embedded.baseline, method=method, window=(1, point.shape[2])
    )
    numbers = tokens[0].tolist()
    values = found.values.sum(1)[: len(numbers)].tolist()
    words = [vocabulary.text_of(number) for number in numbers]
    if vocabulary.keys:  # n-grams stand in no order of meaning: the strongest first
        pairs = sorted(zip(words, values, strict=True), key=lambda pair: -abs(pair[1]))
        words = [word.replace(" ", "_") for word, _ in pairs]
        values = [value for _, value in pairs]
    else:
        said = split_words(text)[-len(numbers) :]
        unknown = [number == UNKNOWN for number in numbers]
        words = [f"[{w}]" if is_new else w for w, is_new in zip(said, unknown, strict=True)]
    return Explanation(label, found, words=tuple(words), word_values=tuple(values))


def _reading(output: Any, trained: TrainedNetwork) -> tuple[str, Callable[[Any], Tensor]]:
    """Return the likeliest class of one sample, and what reads its score from outputs.

    Raises:
        OptionError: the network has no single score.
    """
    task, names = trained.facts.get("task"), trained.facts.get("class_names")
    if isinstance(output, Tensor) and output.numel() == 1:
        likely = task != "binary" or float(output) > 0
        sign = 1 if likely else -1
        label = "output" if task != "binary" else str(names[int(likely)] if names else int(likely))
        return label, lambda found: sign * found.reshape(len(found))
    if isinstance(output, Tensor) and output.dim() == 2 and task in ("classification", None):
        place = int(output.argmax())
        return str(names[place] if names else place), lambda found: found[:, place]
    shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    raise OptionError(
        f"an explanation expected one score for each class, or one output, received {shape} for a "
        "sample."
    )


def _pixels(sample: Tensor, facts: Any) -> Tensor:
    """Return an image as it was before normalisation, 0 to 1."""
    recorded = facts.get("normalization")
    if recorded is not None:
        rule = Normalization.from_dict(recorded)
        shape = (-1, 1, 1)
        return sample * torch.tensor(rule.std).view(shape) + torch.tensor(rule.mean).view(shape)
    low, high = sample.min(), sample.max()
    return (sample - low) / (high - low).clamp(min=1e-12)
