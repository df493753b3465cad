"""`layerwright report`: the page of a run, whatever the run."""

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

import layerwright
from layerwright.cli.app import main
from layerwright.errors import LayerwrightError
from layerwright.training.default_recipes import default_recipe


class Text(HTMLParser):
    """The text of a page, and its tags."""

    def __init__(self, text):
        super().__init__()
        self.text, self.tags = "", []
        self.feed(text)
        self.words = " ".join(self.text.split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.text += " "

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def page(capsys):
    """Return a function that writes a page without the contract, and reads it."""

    def write(*words, code=0):
        found = main(["report", *map(str, words), "--no-contract", "--json"])
        said = capsys.readouterr()
        assert found == code, said.err
        report = json.loads(said.out)
        return Text(Path(report["page"]).read_text(encoding="utf-8")), report

    return write


@pytest.fixture
def folder(run, tmp_path):
    """A copy of a finished run's folder, to be changed."""
    return shutil.copytree(run.dir, tmp_path / "copy")


def changed_config(folder, change):
    """Write a config.json in which something is different."""
    file = folder / "config.json"
    config = json.loads(file.read_text())
    change(config)
    file.write_text(json.dumps(config))


def test_a_finished_run_with_the_contract(folder, capsys):
    """The page has the run's own values and the contract's verdict; the terminal says where."""
    assert main(["report", str(folder)]) == 0
    said = capsys.readouterr()
    file = folder / "report.html"
    assert said.out.startswith(f"{file} (")
    assert said.err == ""
    text = Text(file.read_text()).words
    with (folder / "metrics.jsonl").open() as rows:
        test = json.loads(rows.readlines()[-1])["test"]
    accuracy = f"{100 * test['accuracy']:.2f} %"
    assert f"accuracy {accuracy} {accuracy}" in text  # now, and recorded
    assert "finished after 1 epoch" in text
    assert "standard tier, seed 0" in text
    assert "Every rule" in text
    assert "not measured in copy: contract" not in said.out
    assert file.stat().st_size < 2_000_000
    assert [path.name for path in folder.iterdir() if "report" in path.name] == ["report.html"]


def test_the_mistakes_are_pictures_of_the_test_split(folder, page):
    """Each has the row of its sample, and the values of the picture are those of the data."""
    found, _ = page(folder)
    pictures = [item for tag, item in found.tags if tag == "img" and "sample" in item["alt"]]
    assert len(pictures) == 24
    assert all("the network said" in item["alt"] for item in pictures)
    assert "Confusion matrix: a row for each true class" in found.words


def test_two_runs_side_by_side(folder, run, tmp_path, page):
    """Curves over each other, differences marked, and a file of its own."""
    other = layerwright.fit(
        "softmax-classifier", "digits", epochs=2, lr=0.01, run_dir=tmp_path / "other"
    )
    found, report = page(folder, other.dir)
    assert report["page"] == str(folder / "report-other.html")
    assert len(report["not_measured"]) == 2
    assert "A: copy and B: other" in found.words
    assert "A: train A: validation B: train B: validation" in found.words
    assert "2 options not alike: epochs, lr." in found.words
    assert "lr 0.001 0.01 differs" in found.words


def test_pictures_become_files_too(folder, tmp_path, page):
    """With --png."""
    _, report = page(folder, "--png", tmp_path / "png")
    names = [path.rpartition("/")[2] for path in report["pictures"]]
    assert names == ["curves.png", "confusion.png", "mistakes.png"]


def test_regression(tmp_path, page):
    """Answers are drawn against the truth; there is no matrix, and the page says why."""
    run = layerwright.fit("linear-regression", "diabetes", epochs=2, run_dir=tmp_path / "run")
    found, report = page(run.dir)
    assert "Largest errors" in found.words
    assert "Answer against truth" in found.words
    assert report["not_measured"][0]["confusion matrix"] == (
        "it is for classes, and the task is regression."
    )


def test_texts_of_a_folder_without_a_test_split(tmp_path, page, monkeypatch):
    """Validation is taken instead, and mistakes are shown as the words that were read."""
    for kind, words in (("good", "fine film indeed"), ("bad", "dull film indeed")):
        (tmp_path / "texts" / kind).mkdir(parents=True)
        for number in range(12):
            (tmp_path / "texts" / kind / f"{number}.txt").write_text(f"{words} {number % 3}")
    monkeypatch.chdir(tmp_path)
    run = layerwright.fit("text-cnn", "texts", epochs=1, validation=0.25, run_dir=tmp_path / "run")
    found, _ = page(run.dir)
    assert "The validation split, 6 samples, evaluated again" in found.words
    assert "film indeed" in found.words


@pytest.mark.slow
def test_detection(tmp_path, page):
    """Objects have frames in the pictures, in the order of the samples' own losses."""
    recipe = default_recipe("single-shot-detector", "scenes").changed(epochs=1, limit=320)
    run = layerwright.fit(recipe=recipe, run_dir=tmp_path / "run")
    found, report = page(run.dir, "--split", "validation")
    assert report["not_measured"][0]["confusion matrix"].endswith("the task is detection.")
    assert len([tag for tag, item in found.tags if item.get("class") == "true-box"]) >= 24
    assert "The largest loss comes first." in found.words


def test_an_unfinished_run(tmp_path, page):
    """The validation split is taken: the test split is for the end."""

    class StopError(LayerwrightError):
        pass

    def stops(output, _target):
        stops.calls += 1
        if stops.calls > 5:
            raise StopError
        return output.sum() * 0

    stops.calls = 0
    with pytest.raises(StopError):
        layerwright.fit(
            "softmax-classifier", "digits", epochs=9, metrics=("accuracy", stops),
            checkpoint_every="1steps", run_dir=tmp_path / "run",
        )  # fmt: skip
    found, report = page(tmp_path / "run")
    assert "not finished: 5 of 9 epochs, newest checkpoint at step " in found.words
    assert "The validation split" in found.words
    assert "answers" not in report["not_measured"][0]


def test_names_that_are_markup_are_shown_as_text(folder, page):
    """A class called <script> runs nowhere."""
    evil = "<script>alert(1)</script>"

    def change(config):
        config["data"]["class_names"] = [f"{evil}{place}" for place in range(10)]
        config["recipe"]["monitor"] = f'"><img src=x onerror="{evil}">'

    changed_config(folder, change)
    found, report = page(folder)
    assert report["not_measured"]
    assert found.words.count(evil) > 20
    assert "script" not in [tag for tag, _ in found.tags]
    assert not [name for _, item in found.tags for name in item if name.startswith("on")]


def test_a_damaged_checkpoint_leaves_the_recorded_part(folder, page):
    """Curves and configuration are there; what needs the weights says why it is not."""
    for file in folder.rglob("network.safetensors"):
        file.write_bytes(b"damaged")
    found, report = page(folder)
    (missing,) = report["not_measured"]
    assert set(missing) == {"answers", "contract", "summary", "graph", "layers"}
    assert all("is truncated or was altered" in reason for reason in missing.values())
    assert "loss train validation" in found.words


def test_a_file_with_a_cut_line_is_used_up_to_there(folder, page):
    """And the page says so."""
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "st')
    found, _ = page(folder)
    assert "metrics.jsonl is damaged from line 3 on; 2 are used." in found.words


def test_ones_own_network_and_loss(own_run, page, capsys, monkeypatch):
    """Without its name the page has the recorded part; with it, everything."""
    monkeypatch.chdir(own_run.dir.parent)
    found, report = page("run")
    assert "Fix: name it again with --network file.py:Net" in report["not_measured"][0]["answers"]
    assert "--network file.py:Net" in found.words
    found, report = page("run", "--network", "own.py:Net", "--output", "own.html")
    assert report["page"] == "own.html"
    assert "answers" not in report["not_measured"][0]
    assert "the loss was your own (loss), and is not measured" in found.words
    found, _ = page("run", "--network", "own.py:Net", "--loss", "own.py:loss")
    loss = f"{own_run.test['loss']:.4f}"
    assert f"loss {loss} {loss}" in found.words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "nowhere expected a run folder, and has no config.json."),
        (["RUN", "nowhere"], "nowhere expected a run folder, and has no config.json."),
        (["RUN", "--output", "none/x.html"], "the folder none does not exist."),
        (["RUN", "--output", "."], "--output expected a file, and . is a folder."),
        (["RUN", "--network", "no.py:Net"], "no.py expected a file, which does not exist."),
        (["RUN", "--device", "cpus"], "device expected"),
        (["RUN", "--network", "a.py:A", "--network", "b.py:B"], "--network expected one for each"),
        (["RUN", "--split", "tests"], "Invalid value"),
    ],
)
def test_what_a_person_got_wrong_is_one_short_error(words, said, folder, capsys, monkeypatch):
    """Exit code 2, one line, and nothing written."""
    monkeypatch.chdir(folder.parent)
    before = sorted(folder.parent.rglob("*"))
    words = [str(folder) if word == "RUN" else word for word in words]
    assert main(["report", *words, "--no-contract"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert sorted(folder.parent.rglob("*")) == before


def test_a_folder_without_a_whole_config_is_an_error(folder, capsys):
    """There is nothing to make a page of."""
    (folder / "config.json").write_text('{"format": 1, "recipe"')
    assert main(["report", str(folder)]) == 2
    assert "expected a run's config, and cannot be read." in capsys.readouterr().err
    (folder / "config.json").write_text('{"format": 1, "recipe": {}}')
    assert main(["report", str(folder)]) == 2
    assert "its part 'recipe' is not whole" in capsys.readouterr().err
    assert not (folder / "report.html").exists()


def test_a_network_that_kills_its_process_is_a_finding(tmp_path, monkeypatch):
    """As for check: the page is written, and says what happened."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(
        "import os\n"
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.part = nn.Linear(64, 10)\n"
        "    def forward(self, x):\n"
        "        if len(x) == 4:  # as many as the contract feeds\n"
        "            os._exit(3)\n"
        "        return self.part(x.flatten(1))\n"
    )
    from layerwright.targets import load_object

    net = load_object("own.py:Net")
    layerwright.fit(net, "digits", epochs=1, validation=0.0, limit=256, run_dir="run")
    assert main(["report", "run", "--network", "own.py:Net"]) == 0
    text = Text((tmp_path / "run" / "report.html").read_text()).words
    assert "ended the process with exit code 3" in text


def test_the_command_trains_the_same_recipe(tmp_path, monkeypatch):
    """What stands under How to reproduce is read by `train` as the run's own recipe."""
    import shlex

    from layerwright.cli.run_report.command_line import command_line
    from layerwright.training.recipe import Recipe
    from layerwright.training.run_config import _plain

    class SeenError(LayerwrightError):
        pass

    seen = []

    def fit(*, recipe, **_options):
        seen.append(recipe)
        raise SeenError

    monkeypatch.setattr("layerwright.training.fit.fit", fit)
    monkeypatch.chdir(tmp_path)
    recipes = [
        default_recipe(),
        Recipe(network="softmax-classifier"),
        default_recipe("resnet9", "cifar10").changed(seed=3, limit=100, augment=("flip",)),
        default_recipe("bag-of-ngrams", "imdb").changed(patience=2, validation=0.0),
        Recipe(
            network="simplenet", data="mnist", freeze=("a.*", "b"), lr_factors={"a.*": 0.5},
            clip_norm=1.0, nan_guard=False, compile=True, metrics=("accuracy", "top-3"),
            network_options={"hidden": 64, "name": "it's"}, checkpoint_every="7steps", lr=1e-5,
        ),
    ]  # fmt: skip
    names = Recipe.__dataclass_fields__

    def config_of(recipe):
        values = {name: _plain(getattr(recipe, name)) for name in names}
        return {"recipe": values, "resolved": {"threads": torch.get_num_threads()}}

    for recipe in recipes:
        command, notes = command_line(config_of(recipe))
        words = shlex.split(command)
        assert words[:2] == ["layerwright", "train"]
        assert main(words[1:]) == 2
        assert seen[-1] == recipe, command
        assert notes == ()
    _, notes = command_line(config_of(Recipe()))  # without what was chosen for this pair
    assert [note.split()[0] for note in notes] == ["network_options", "monitor"]


def test_what_was_ones_own_stands_in_the_command_by_its_name(own_run, page, monkeypatch):
    """With a place for the file, and a sentence that says so."""
    monkeypatch.chdir(own_run.dir.parent)
    found, _ = page("run")
    assert "layerwright train --network file.py:Net" in found.words
    assert "network was your own object Net: put its file in place of file.py." in found.words
