"""`layerwright predict --explain`: which pixels or words speak for the class, and how surely."""

import dataclasses
import json

import numpy as np
import pytest
import torch

import layerwright as lw
from layerwright.cli.app import main
from layerwright.data.normalization import Normalization
from layerwright.errors import OptionError
from layerwright.training.explain import explain


@pytest.fixture
def files(tmp_path, monkeypatch):
    """One image, and two in one file, as saved arrays."""
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).normal(size=(3, 1, 8, 8)).astype(np.float32)
    np.save("one.npy", values[0])
    np.savez("two.npz", values[1:])
    return torch.from_numpy(values)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A network that learned good from bad, with its run folder."""
    said = [f"{'good' if i % 2 else 'bad'} film {i % 3} and more" for i in range(60)]
    folder = tmp_path_factory.mktemp("texts") / "run"
    options = {"embed_dim": 8, "num_maps": 8}
    return lw.fit(
        "text-cnn", (said, torch.arange(60) % 2), run_dir=folder, epochs=12, batch_size=6, lr=0.02,
        network_options=options,
    )  # fmt: skip


def test_an_image_is_explained_beside_its_file(run, files, tmp_path, capsys):
    """Of a linear network: weights times the distance from black, complete to rounding."""
    assert main(["predict", str(run.dir), "one.npy", "--explain"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("one.npy")
    assert "integrated gradients, 32 steps: sum" in said[1]
    assert "completeness error" in said[1]
    assert said[2] == "  picture: one.explained.png"
    assert (tmp_path / "one.explained.png").stat().st_size > 5000
    (found,) = explain(run, files[:1])
    (weight,) = [value for value in run.network.state_dict().values() if value.dim() == 2]
    rule = Normalization.from_dict(run.data_facts["normalization"])
    black = rule.apply(torch.zeros(1, 1, 8, 8))
    expected = weight[int(found.label)] * (files[0] - black[0]).flatten()
    torch.testing.assert_close(found.attribution.values.flatten(), expected, rtol=1e-4, atol=1e-5)
    assert found.attribution.error < 1e-3


def test_each_sample_gets_its_picture_in_a_folder(run, files, tmp_path):
    """A file with several samples numbers them."""
    command = ["predict", str(run.dir), "one.npy", "two.npz", "--explain", "--output", "out"]
    assert main(command) == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["one.explained.png", "two.0.explained.png", "two.1.explained.png"]


@pytest.mark.parametrize(
    "words",
    [
        ["--explain", "one.npy"],
        ["--explain", "occlusion", "one.npy"],
        ["one.npy", "--explain=occlusion"],
    ],
)
def test_the_method_and_the_files_may_stand_in_any_order(words, run, files, capsys):
    """What follows --explain is a method, or else a file."""
    assert main(["predict", str(run.dir), *words, "--output", "x.png", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["predictions"]
    found = row["explanation"]
    assert found["method"] == (
        "occlusion" if len(words) > 2 or "=" in words[1] else "integrated-gradients"
    )
    assert found["file"] == "x.png"
    assert found["label"] == row["class"]
    assert found["error"] == pytest.approx(abs(found["sum"] - found["difference"]))


def test_words_are_explained_in_the_terminal_and_on_a_page(texts, tmp_path, monkeypatch, capsys):
    """The word that decides is named first; unknown words stand in brackets."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("A good zebra & film 1 and more")
    assert main(["predict", str(texts.dir), "text.txt", "--explain"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1].split() == ["[a]", "good", "[zebra]", "film", "1", "and", "more"]
    assert said[2].startswith("  for 1: good +")
    assert said[-1] == "  page: text.explained.html"
    page = (tmp_path / "text.explained.html").read_text()
    assert ">[zebra]</span>" in page
    assert "completeness error" in page
    for method in ("integrated-gradients", "occlusion"):
        (found,) = explain(texts, ["a good zebra film 1 and more"], method=method)
        assert max(zip(found.word_values, found.words, strict=True))[1] == "good"
    (found,) = explain(texts, ["a good zebra film 1 and more"])
    assert found.attribution.is_complete
    assert sum(found.word_values) == pytest.approx(found.attribution.difference, rel=0.01)


def test_ngrams_are_listed_by_weight(tmp_path):
    """They stand in no order of meaning."""
    said = [f"{'not good' if i % 2 else 'good'} film {i % 3}" for i in range(40)]
    run = lw.fit(
        "bag-of-ngrams", (said, torch.arange(40) % 2), epochs=5, lr=0.1, text_options={"ngrams": 2}
    )
    (found,) = explain(run, ["not good film"])
    assert set(found.words) == {"not", "good", "film", "not_good", "good_film"}
    assert [abs(value) for value in found.word_values] == sorted(map(abs, found.word_values))[::-1]
    assert set(found.words[:2]) == {"not", "not_good"}


def test_the_score_of_the_other_class_is_the_negative_one():
    """With one logit for two classes, red speaks for the class that is printed."""
    torch.manual_seed(0)
    x = torch.randn(60, 1, 4, 4)
    run = lw.fit("logistic-regression", (x, (x.mean((1, 2, 3)) > 0).long()), epochs=5, lr=0.1)
    labels = lw.predict(run, x[:8]).labels()
    found = explain(run, x[:8])
    assert [item.label for item in found] == labels
    assert len(set(labels)) == 2
    scores = run.network(x[:8]).flatten()
    for item, score in zip(found, scores.tolist(), strict=True):
        assert item.attribution.score == pytest.approx(abs(score), abs=1e-5)


def test_the_network_is_left_as_it_was(run, files):
    """Its mode, its hooks and the random numbers."""
    run.network.train()
    state = torch.get_rng_state()
    explain(run, files)
    assert run.network.training
    assert not any(module._forward_hooks for module in run.network.modules())
    assert torch.get_rng_state().equal(state)
    assert torch.backends.cudnn.enabled


def test_a_network_without_a_score_for_a_class_is_refused(run, files):
    """A detector finds objects."""
    facts = {**run.data_facts, "task": "detection"}
    with pytest.raises(OptionError, match="a detector finds objects"):
        explain(dataclasses.replace(run, data_facts=facts), files)
    with pytest.raises(OptionError, match=r"expected images \(C, H, W\) or texts"):
        explain(torch.nn.Linear(4, 2), torch.randn(2, 4))


WRONG = {
    "method": (["one.npy", "--explain", "lime"], "integrated-gradients or occlusion, or files"),
    "output alone": (["one.npy", "--output", "x.png"], "--output expected --explain with it"),
    "suffix": (["one.npy", "--explain", "--output", "x.jpg"], "a file .png, received 'x.jpg'"),
    "too many": (["many.npy", "--explain"], "at most 16 samples, received 17"),
    "no folder": (["one.npy", "two.npz", "--explain", "--output", "one.npy"], "cannot be made"),
    "no file": (["nothing.npy", "--explain"], "nothing.npy is none"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_is_one_short_error(name, run, files, tmp_path, capsys):
    """Exit code 2, and nothing is written."""
    words, message = WRONG[name]
    np.save("many.npy", np.zeros((17, 1, 8, 8), np.float32))
    before = sorted(tmp_path.iterdir())
    assert main(["predict", str(run.dir), *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert len(captured.err.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before


def test_an_empty_text_is_refused(texts, tmp_path, capsys):
    """There is no word to speak for anything."""
    (tmp_path / "empty.txt").write_text(" ")
    assert main(["predict", str(texts.dir), str(tmp_path / "empty.txt"), "--explain"]) == 2
    assert "a text with words" in capsys.readouterr().err
