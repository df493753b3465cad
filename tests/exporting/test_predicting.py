"""Exported files answer as the run does, and ONNX files do so without torch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import layerwright
from layerwright.cli.app import main
from layerwright.data.normalization import Normalization
from layerwright.data.vocabulary import TextOptions, build_vocabulary
from layerwright.data.words import number_words
from layerwright.errors import DataError, ExportError, ShapeError
from layerwright.exporting.predicting import predict_files
from layerwright.exporting.preprocessing import normalised, tokens_of
from layerwright.exporting.subject import subject_of

# Predicts in a process of its own, and says what of torch is there at the end.
WITHOUT_TORCH = """
import sys
from layerwright.cli.app import main
code = main(sys.argv[1:])
print([name for name in sys.modules if name.partition(".")[0] == "torch"], file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture(scope="session")
def images(run):
    """Digits of the test split as images, of their own size and scaled up."""
    image = pytest.importorskip("PIL.Image")
    raw = layerwright.data.catalog.load_data("digits").test.inputs[0][:12]
    paths = []
    for place, digit in enumerate(raw):
        pixels = image.fromarray((digit[0] * (255 / 16)).round().to(torch.uint8).numpy())
        path = run.dir.parent / f"{place}.png"
        (pixels.resize((40, 30)) if place % 2 else pixels).save(path)
        paths.append(str(path))
    return paths


def predicted(arguments, capsys):
    """Return the rows that `layerwright predict --json` prints."""
    assert main(["predict", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)["predictions"]


def assert_same(found, expected):
    """Names and classes are equal, probabilities and outputs to rounding."""
    assert [row["sample"] for row in found] == [row["sample"] for row in expected]
    for one, other in zip(found, expected, strict=True):
        assert set(one) == set(other)
        assert one.get("class") == other.get("class")
        key = "probability" if "class" in one else "output"
        assert one[key] == pytest.approx(other[key], rel=1e-5, abs=1e-6)


def test_an_onnx_file_answers_as_the_run_without_torch(run, onnx_file, images, capsys):
    """In a process of its own, from images that have to be scaled."""
    expected = predicted([run.dir, *images], capsys)
    home = str(Path(layerwright.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "predict", str(onnx_file), *images, "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": home},
    )
    assert (done.returncode, done.stderr) == (0, "[]\n")
    printed = json.loads(done.stdout)
    assert printed["file"] == str(onnx_file)
    assert_same(printed["predictions"], expected)
    assert len({row["class"] for row in expected}) > 3


def test_a_pt2_file_answers_as_the_run(run, pt2_file, images, capsys):
    """From the same images."""
    assert_same(predicted([pt2_file, *images], capsys), predicted([run.dir, *images], capsys))


def test_arrays_are_fed_as_the_run_feeds_them(run, onnx_file, tmp_path, capsys):
    """Pixels (uint8) are normalised; numbers are taken as they are; each sample gets a line."""
    generator = np.random.default_rng(0)
    np.save(tmp_path / "pixels.npy", generator.integers(0, 17, (3, 1, 8, 8), dtype=np.uint8))
    np.savez(tmp_path / "numbers.npz", generator.normal(size=(1, 8, 8)))
    files = [tmp_path / "pixels.npy", tmp_path / "numbers.npz"]
    assert_same(predicted([onnx_file, *files], capsys), predicted([run.dir, *files], capsys))
    assert main(["predict", str(onnx_file), str(files[0])]) == 0
    line = capsys.readouterr().out.splitlines()[2]
    assert line.startswith(f"{files[0]}[2]  ")
    assert line.endswith(" %")


def test_samples_that_do_not_fit_are_refused(onnx_file, tmp_path, capsys):
    """Another shape, whole numbers, a missing file, a damaged one; exit code 2 and one line."""
    np.save(tmp_path / "wide.npy", np.zeros((1, 9, 9), np.float32))
    np.save(tmp_path / "whole.npy", np.zeros((1, 8, 8), np.int64))
    (tmp_path / "a.png").write_bytes(b"no image")
    for name, words in {
        "wide.npy": "expected samples of shape (1, 8, 8), received an array of shape (1, 9, 9)",
        "whole.npy": "the network expected values of float32, received int64",
        "missing.npy": "is none. Fix: check the path.",
        "a.png": "expected an image or a .npy file",
    }.items():
        assert main(["predict", str(onnx_file), str(tmp_path / name)]) == 2
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1
    for option in (["--network", "lenet"], ["--device", "cuda"]):
        assert main(["predict", str(onnx_file), str(tmp_path / "wide.npy"), *option]) == 2
        assert "expected" in capsys.readouterr().err


def test_texts_become_the_same_tokens(tmp_path):
    """Words, pairs of words, unknown words, an empty text; with and without a longest length."""
    texts = ["the plot was not bad", "the ending was bad . bad", "a plot", "not the plot was not"]
    known = {}
    sequences = number_words(texts * 2, known, first=2)
    questions = ["the plot was surprisingly bad", "", "NOT <br /> the plot was", *texts]
    files = [tmp_path / f"{place}.txt" for place in range(len(questions))]
    for file, text in zip(files, questions, strict=True):
        file.write_text(text, encoding="utf-8")
    for options in ({}, {"max_length": 3}, {"ngrams": 2}, {"ngrams": 3, "max_length": 4}):
        vocabulary = build_vocabulary(sequences, tuple(known), TextOptions(**options))
        encoded = vocabulary.encode(questions)
        tokens, lengths = encoded.padded(torch.arange(len(encoded)))
        facts = {
            "words": list(vocabulary.words),
            "keys": [keys.tolist() for keys in vocabulary.keys],
            "max_length": vocabulary.max_length,
        }
        found = tokens_of(files, facts)
        assert np.array_equal(found[0], tokens.numpy())
        assert np.array_equal(found[1], lengths.numpy())


def test_a_network_for_texts_answers_as_its_run(tmp_path, capsys):
    """The vocabulary travels with the file; texts are of any length."""
    texts = ["good plot", "bad plot", "not good", "not bad at all", "a good good ending", "bad"] * 6
    run = layerwright.fit(
        "bag-of-ngrams",
        {"train": (texts, [1, 0, 0, 1, 1, 0] * 6)},
        text_options={"ngrams": 2},
        validation=0.0,
        epochs=3,
        run_dir=tmp_path / "run",
    )
    path = layerwright.export(run, tmp_path / "net.onnx").path
    files = []
    for place, text in enumerate(["not good", "a good plot , not bad at all", "what ?"]):
        files.append(tmp_path / f"{place}.txt")
        files[-1].write_text(text, encoding="utf-8")
    assert_same(predicted([path, *files], capsys), predicted([run.dir, *files], capsys))


def test_values_and_yes_or_no_are_read_as_the_run_reads_them(tmp_path, capsys):
    """Regression prints outputs, a single logit the likelier of two classes."""
    inputs = torch.randn(24, 3)
    np.save(tmp_path / "x.npy", inputs[:5].numpy())
    (tmp_path / "net.py").write_text(
        "from torch import nn\ndef net():\n    return nn.Linear(3, 1)\n"
    )
    for place, targets in enumerate([inputs.sum(1), inputs[:, 0] > 0]):
        folder = tmp_path / f"run-{place}"
        run = layerwright.fit(nn.Linear(3, 1), (inputs, targets), epochs=2, run_dir=folder)
        path = layerwright.export(run, tmp_path / f"{place}.onnx").path
        expected = predicted(
            [folder, tmp_path / "x.npy", "--network", f"{tmp_path / 'net.py'}:net"], capsys
        )
        assert_same(predicted([path, tmp_path / "x.npy"], capsys), expected)


def test_pixels_are_normalised_to_the_same_bits():
    """As in training, with values that do not divide evenly."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 5, 5), dtype=np.uint8)
    for rule in (
        Normalization((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
        Normalization((0.3,), (0.7,), 16.0),
    ):
        facts = {"normalization": json.loads(json.dumps(rule.as_dict()))}
        expected = rule.apply(torch.from_numpy(pixels))
        assert np.array_equal(normalised(pixels, facts), expected.numpy())
        scaled = rule.apply(torch.from_numpy(pixels).float() * (rule.scale / 255.0))
        assert np.array_equal(normalised(pixels, facts, scale=255.0), scaled.numpy())


def test_what_a_file_cannot_answer_is_said(tmp_path, images):
    """An image for a network whose scaling nobody knows; boxes; weights alone."""
    path = tmp_path / "net.onnx"
    layerwright.export(nn.Flatten(), path, inputs=torch.randn(2, 1, 8, 8))
    with pytest.raises(ShapeError, match=r"does not say how to scale one. Fix: export the run"):
        predict_files(path, [Path(images[0])])
    weights = tmp_path / "net.safetensors"
    layerwright.export(nn.Linear(2, 2), weights, inputs=torch.randn(2, 2))
    with pytest.raises(ExportError, match=r"holds weights alone. Fix: export .onnx or .pt2"):
        predict_files(weights, [Path(images[0])])
    with pytest.raises(DataError, match=r"is none. Fix: check the path"):
        predict_files(path, [tmp_path / "no.npy"])


@pytest.mark.parametrize("name", ["nowhere.onnx", "nowhere.pt2"])
def test_a_wrong_path_is_wrong_usage(name, tmp_path, capsys):
    """It is said before anything is imported for it."""
    assert main(["predict", str(tmp_path / name), "digit.png"]) == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path / name} expected a file that layerwright export wrote, and there is "
        "none. Fix: check the path.\n"
    )


def test_what_travels_is_what_the_run_knows(run):
    """Names of classes, scaling, shape and task; no path."""
    facts = subject_of(run).facts
    assert facts["task"] == "classification"
    assert facts["input_shape"] == [1, 8, 8]
    assert facts["normalization"] == run.data_facts["normalization"]
    assert str(run.dir.parent) not in json.dumps(facts)
