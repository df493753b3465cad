"""A detector from its name to its boxes: training, resuming, evaluating, predicting."""

import numpy as np
import pytest
import torch

import layerwright as lw
from layerwright.cli.app import main
from layerwright.data import scenes
from layerwright.errors import OptionError
from layerwright.networks.single_shot_detector import SingleShotDetector

OPTIONS = {"network_options": {"width": 4}, "batch_size": 8, "epochs": 2, "lr": 1e-2}


@pytest.fixture(autouse=True)
def _few_scenes(monkeypatch):
    monkeypatch.setattr(scenes, "_SCENES", {"train": 24, "validation": 3, "test": 3})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "_SCENES", {"train": 24, "validation": 3, "test": 3})
        folder = tmp_path_factory.mktemp("runs") / "detector"
        return lw.fit("single-shot-detector", "scenes", run_dir=folder, **OPTIONS)


def test_a_detector_learns_by_name(run):
    """Loss and metrics are its own; the best epoch is chosen by mAP."""
    losses = [row["train"]["loss"] for row in run.history]
    assert losses[1] < losses[0]
    assert set(run.test) == {"loss", "map", "map-50"}
    assert 0 <= run.test["map"] <= run.test["map-50"] <= 1
    assert run.best["validation"]["map"] == max(row["validation"]["map"] for row in run.history)


def test_the_run_folder_is_the_network(run):
    """Evaluated from its folder it gives the test values of the run."""
    assert lw.evaluate(run.dir) == run.test
    again = lw.fit("single-shot-detector", "scenes", **OPTIONS)
    ours, theirs = again.network.state_dict().values(), run.network.state_dict().values()
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_what_is_found_has_a_class_a_score_and_a_box(run, tmp_path, monkeypatch, capsys):
    """`predict` reads the outputs as the network does, and the command line prints them."""
    images = scenes.load_scenes().test.inputs[0]
    less_careful = {"score_threshold": 0.02}  # two epochs make no network sure of anything
    monkeypatch.setattr(SingleShotDetector.detections, "__kwdefaults__", less_careful)
    prediction = lw.predict(run, images)
    expected = run.network.detections(prediction.outputs)
    assert len(prediction.objects) == 3
    for found, same in zip(prediction.objects, expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(found, same, strict=True))
    assert prediction.labels() == [
        ", ".join(str(label) for label in found.classes.tolist()) for found in expected
    ]
    np.save(tmp_path / "scenes.npy", images.numpy())
    assert main(["predict", str(run.dir), str(tmp_path / "scenes.npy")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0][-3:] for line in lines} == {"[0]", "[1]", "[2]"}
    boxes = [line for line in lines if not line.endswith("nothing")]
    assert boxes
    assert all(line.count("%") == 5 and " bottom " in line for line in boxes)


def test_boxes_do_not_move_with_augmented_images():
    """So augmentation is refused before it does harm."""
    with pytest.raises(OptionError) as caught:
        lw.fit("single-shot-detector", "scenes", augment=("flip",), **OPTIONS)
    assert str(caught.value) == (
        "augment expected nothing for data with boxes, which would not move with the image, "
        "received ('flip',). Fix: leave it out."
    )


def test_networks_that_cannot_say_where_are_refused():
    """A classifier has no loss for boxes; one of the user's own is taken as it is."""
    with pytest.raises(OptionError, match="CustomNet expected the method 'detection_loss'"):
        lw.fit("customnet", "scenes", epochs=1)

    def count_error(output, target):
        return (output[:, 0] - (target[..., 0] >= 0).sum(1)).square().mean()

    run = lw.fit("customnet", "scenes", loss=count_error, metrics=(count_error,), epochs=1)
    assert run.test["count_error"] == run.test["loss"]
