"""From texts to a network and back: training, run folder, prediction, resume."""

import json
from pathlib import Path

import pytest
import torch

import layerwright as lw
from layerwright.cli.app import main
from layerwright.data.catalog import load_data
from layerwright.errors import DataError, OptionError, ShapeError

GOOD = ["a good film", "good, really good", "so good", "this is a good one!", "good story"]
BAD = ["a bad film", "bad, really bad", "so bad", "this is a bad one!", "bad story"]
DATA = (GOOD * 4 + BAD * 4, [1] * 20 + [0] * 20)
OPTIONS = {"epochs": 6, "batch_size": 8, "lr": 0.05, "validation": 0.0}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run on a few sentences."""
    return lw.fit(
        "bag-of-ngrams",
        DATA,
        text_options={"ngrams": 2},
        run_dir=tmp_path_factory.mktemp("runs") / "run",
        **OPTIONS,
    )


def test_the_vocabulary_travels_with_the_run(run, tmp_path):
    """A folder that was moved answers texts as the run in memory does; files too."""
    moved = tmp_path / "moved"
    run.dir.rename(moved)
    try:
        texts = ["a good story", "really bad", "unheard", ""]
        expected = lw.predict(run, texts)
        assert torch.equal(lw.predict(moved, texts).outputs, expected.outputs)
        assert expected.classes[:2].tolist() == [1, 0]
        assert torch.equal(expected.outputs[2], expected.outputs[3])  # nothing but the bias
        one_by_one = lw.predict(moved, texts, batch_size=1)
        torch.testing.assert_close(one_by_one.outputs, expected.outputs)
        file = tmp_path / "review.txt"
        file.write_text("a good story", encoding="utf-8")
        torch.testing.assert_close(lw.predict(moved, [file]).outputs, expected.outputs[:1])
        with pytest.raises(DataError, match=r"predict expected a file, and nowhere\.txt is none"):
            lw.predict(moved, [Path("nowhere.txt")])
    finally:
        moved.rename(run.dir)


def test_the_command_line_reads_texts(run, tmp_path, capsys):
    """One line for each file; also as JSON."""
    files = []
    for name, text in (("good.txt", GOOD[0]), ("bad.txt", BAD[1])):
        (tmp_path / name).write_text(text, encoding="utf-8")
        files.append(str(tmp_path / name))
    assert main(["predict", str(run.dir), *files]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines] == [[files[0], "1"], [files[1], "0"]]
    assert main(["predict", str(run.dir), *files, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["predictions"]
    assert [(row["sample"], row["class"]) for row in rows] == [(files[0], "1"), (files[1], "0")]


def test_other_texts_are_evaluated_in_the_runs_words(run):
    """Numbers mean what they meant in training, not what the new texts would make of them."""
    values = lw.evaluate(run.dir, (["film bad", "film good", "good"], [0, 1, 1]))
    assert values["accuracy"] == 1.0
    assert values == lw.evaluate(run, (["film bad", "film good", "good"], [0, 1, 1]))


def test_a_run_goes_on_from_its_vocabulary(run):
    """What starts from the run's weights reads new texts in the run's words."""
    words = (["unheard words", "good words", "bad words", "words"] * 3, [0, 1, 0, 1] * 3)
    further = lw.fit("bag-of-ngrams", words, start_from=run.dir, **{**OPTIONS, "epochs": 1})
    assert further.vocabulary.words == run.vocabulary.words
    own = load_data(words, validation=0.0).vocabulary
    assert own.words != run.vocabulary.words


@pytest.mark.parametrize("name", ["text-bilstm", "text-cnn", "text-transformer"])
def test_every_text_network_trains_and_resumes_exactly(name, tmp_path):
    """A run that is stopped ends with the bits of one that is not."""
    small = {"embed_dim": 8, "dropout": 0.1}
    options = {**OPTIONS, "epochs": 3, "lr": 0.01, "network_options": small, "validation": 0.2}
    whole = lw.fit(name, DATA, run_dir=tmp_path / "whole", **options)
    steps = []

    def stopping(predicted, target):
        steps.append(1)
        if len(steps) == 9:
            raise KeyboardInterrupt
        return torch.nn.functional.cross_entropy(predicted, target)

    with pytest.raises(KeyboardInterrupt):
        lw.fit(
            name, DATA, run_dir=tmp_path / "stopped", loss=stopping, checkpoint_every="2steps",
            **options,
        )  # fmt: skip
    resumed = lw.resume(tmp_path / "stopped", data=DATA, loss=torch.nn.functional.cross_entropy)
    assert resumed.status == "finished"
    for ours, theirs in zip(resumed.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_networks_and_data_that_do_not_fit_are_named():
    """Texts for an image network, and images for a text network."""
    with pytest.raises(ShapeError) as caught:
        lw.fit("customnet", DATA, epochs=1)
    assert str(caught.value).startswith(
        "CustomNet does not fit the data 'data', whose samples are texts, given as tokens (N, L) "
        "and lengths (N,): "
    )
    with pytest.raises(OptionError) as caught:
        lw.fit("text-cnn", "digits", epochs=1)
    assert str(caught.value) == (
        "TextCNN needs vocabulary_size, which the data does not tell. "
        "Fix: --network-option vocabulary_size=value, "
        "or in Python network_options={'vocabulary_size': value}."
    )
