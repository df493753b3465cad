"""`layerwright train`: from words to a recipe, and from a run to an exit code."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from layerwright.cli.app import main
from layerwright.cli.named_objects import named_data
from layerwright.cli.train import choose_recipe, run_name
from layerwright.errors import DataError, OptionError, TargetError
from layerwright.training.default_recipes import default_recipe
from layerwright.training.recipe import Recipe

USER = """
import torch
from torch import nn
from layerwright import Recipe

class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()

def recipe():
    return Recipe(network=Net, data="mnist", epochs=7, lr=0.5, network_options={"a": 1, "b": 2},
                  optimizer_options={"momentum": 0.9})

def make_net():
    return Net()

def make_net_for(input_shape):
    return Net()

def loss(output, target):
    return output.sum()

def schedule(step, total_steps):
    return 1.0

def rows():
    return torch.zeros(4, 2), torch.zeros(4)

def rows_of(size):
    return torch.zeros(size, 2), torch.zeros(size)

TENSORS = rows()
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with a user's file in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "user.py").write_text(USER)
    return tmp_path


@pytest.fixture
def calls(here, monkeypatch):
    """What fit is called with, in place of training; its run can be changed before."""
    run = SimpleNamespace(
        dir=Path("runs/customnet-digits-1"), status="finished", step=3, epoch=1,
        history=[{"epoch": 1, "train": {"loss": float("nan")}}], best=None,
        test={"accuracy": 0.5, "confusion": torch.eye(2)}, started_from=None,
    )  # fmt: skip
    recorded = SimpleNamespace(run=run, arguments=[], error=None)

    def fit(**arguments):
        recorded.arguments.append(arguments)
        arguments["console"].print("progress")
        if recorded.error is not None:
            raise recorded.error
        return recorded.run

    monkeypatch.setattr("layerwright.training.fit.fit", fit)
    return recorded


def test_without_arguments_the_main_job_is_trained(calls, capsys):
    """The recipe chosen for CustomNet on digits, in the first free folder; progress on stdout."""
    assert main(["train"]) == 0
    (arguments,) = calls.arguments
    assert arguments["recipe"] == default_recipe("customnet", "digits")
    assert arguments["run_dir"] == Path("runs/customnet-digits-1")
    assert capsys.readouterr() == ("progress\n", "")


def test_every_option_reaches_the_recipe(calls):
    """One option for each field; the others stay as the recipe has them."""
    options = {
        "network": ("simplenet", "simplenet"),
        "network-option": ("num_hidden=64", {"num_hidden": 64}),
        "data": ("mnist", "mnist"),
        "data-dir": ("some/data", str(Path("some/data").resolve())),
        "image-size": ("32", 32),
        "text-option": ("ngrams=2", {"ngrams": 2}),
        "validation": ("0.2", 0.2),
        "limit": ("100", 100),
        "augment": ("flip", ("flip",)),
        "workers": ("2", 2),
        "loss": ("mse", "mse"),
        "label-smoothing": ("0.1", 0.1),
        "mixup": ("0.2", 0.2),
        "l1": ("0.01", 0.01),
        "metric": ("mae", ("mae",)),
        "epochs": ("3", 3),
        "batch-size": ("16", 16),
        "accumulate": ("4", 4),
        "optimizer": ("sgd", "sgd"),
        "optimizer-option": ("momentum=0.9", {"momentum": 0.9}),
        "lr": ("1e-2", 0.01),
        "schedule": ("cosine", "cosine"),
        "weight-decay": ("0.1", 0.1),
        "init": ("by-type", "by-type"),
        "from": ("runs/a", "runs/a"),
        "freeze": ("features.*", ("features.*",)),
        "lr-factor": ("features.*=0.1", {"features.*": 0.1}),
        "clip-norm": ("1.5", 1.5),
        "patience": ("4", 4),
        "monitor": ("loss", "loss"),
        "precision": ("bfloat16", "bfloat16"),
        "device": ("cpu", "cpu"),
        "seed": ("9", 9),
        "checkpoint-every": ("200steps", "200steps"),
        "watch-every": ("7", 7),
    }
    flags = {"watch": True, "no-nan-guard": False, "tensorboard": True}
    words = [word for name, (text, _) in options.items() for word in (f"--{name}", text)]
    assert main(["train", *words, *(f"--{flag}" for flag in flags)]) == 0
    expected = {name: value for name, (_, value) in options.items()} | {
        name.removeprefix("no-"): value for name, value in flags.items()
    }
    for name in ("network-option", "optimizer-option", "text-option", "metric", "lr-factor"):
        expected[f"{name}s"] = expected.pop(name)
    expected["start_from"] = expected.pop("from")
    fields = {name.replace("-", "_"): value for name, value in expected.items()}
    assert calls.arguments[0]["recipe"] == Recipe(**fields)
    apart = ("compile", "shard", "sync_batch_norm")  # two of them cannot be watched
    assert main(["train", *(f"--{name.replace('_', '-')}" for name in apart)]) == 0
    assert all(getattr(calls.arguments[1]["recipe"], name) is True for name in apart)
    assert {*fields, *apart} == set(Recipe.__dataclass_fields__)


def test_options_may_be_repeated_and_hold_any_literal(calls):
    """name=value is a Python literal, or the text itself; the last of two wins."""
    pairs = ["a=1", "b=(2, 3)", "c=None", "d=relu", "e=x=y", "num-hidden=5", "a=2"]
    words = [word for pair in pairs for word in ("--network-option", pair)]
    main(["train", *words, "--augment", "crop", "--augment", "flip"])
    recipe = calls.arguments[0]["recipe"]
    assert recipe.augment == ("crop", "flip")
    assert recipe.network_options == {
        **default_recipe("customnet", "digits").network_options,  # what is not named stays
        "a": 2, "b": (2, 3), "c": None, "d": "relu", "e": "x=y", "num_hidden": 5,
    }  # fmt: skip


@pytest.mark.parametrize("pair", ["hidden", "=3", "3=4"])
def test_a_pair_that_is_none_is_refused(calls, capsys, pair):
    """The message shows the form."""
    assert main(["train", "--optimizer-option", pair]) == 2
    assert capsys.readouterr().err == (
        f"error: --optimizer-option expected name=value, received {pair!r}. "
        "Fix: --optimizer-option hidden=64\n"
    )


def test_a_target_is_a_built_in_name(calls):
    """`train lenet` is `train --network lenet`, with the recipe of that pair."""
    main(["train", "simplenet", "--data", "mnist"])
    assert calls.arguments[0]["recipe"] == default_recipe("simplenet", "mnist")
    assert calls.arguments[0]["run_dir"] == Path("runs/simplenet-mnist-1")


def test_a_target_is_a_users_network(calls):
    """A class, a function that takes the data's shape, or one that takes nothing."""
    for name in ("Net", "make_net_for", "make_net"):
        main(["train", f"user.py:{name}"])
        network = calls.arguments[-1]["recipe"].network
        assert (network.__name__, callable(network)) == (name, True)
    assert calls.arguments[0]["run_dir"] == Path("runs/net-digits-1")


def test_a_target_is_a_users_recipe(calls):
    """Only what is given overrides it; network options are merged one by one."""
    main(["train", "user.py:recipe", "--lr", "0.25", "--network-option", "b=3"])
    recipe = calls.arguments[0]["recipe"]
    assert (recipe.network.__name__, recipe.data) == ("Net", "mnist")
    assert (recipe.epochs, recipe.lr) == (7, 0.25)
    assert recipe.network_options == {"a": 1, "b": 3}
    assert recipe.optimizer_options == {"momentum": 0.9}
    main(["train", "user.py:recipe", "--network", "lenet", "--network-option", "c=3"])
    assert calls.arguments[1]["recipe"].network == "lenet"
    assert calls.arguments[1]["recipe"].network_options == {"c": 3}


def test_whatever_has_a_name_may_be_a_users_object(calls, here):
    """Loss, schedule, metrics and data are loaded from file.py:name."""
    words = ["--loss", "user.py:loss", "--schedule", "user.py:schedule"]
    main(["train", *words, "--metric", "user.py:loss", "--metric", "mae", "--data", "user.py:rows"])
    recipe = calls.arguments[0]["recipe"]
    assert recipe.loss.__name__ == "loss"
    assert recipe.schedule(0, 1) == 1.0
    assert [getattr(metric, "__name__", metric) for metric in recipe.metrics] == ["loss", "mae"]
    assert [tensor.shape for tensor in recipe.data] == [(4, 2), (4,)]
    main(["train", "--data", "user.py:TENSORS"])
    assert len(calls.arguments[1]["recipe"].data) == 2


def test_data_that_needs_arguments_is_refused(here):
    """A function is called without any."""
    with pytest.raises(OptionError) as caught:
        named_data("user.py:rows_of")
    assert str(caught.value) == (
        "user.py:rows_of expected data, or a function without arguments that returns it; it needs "
        "size. Fix: write a function that calls it."
    )


def test_two_networks_are_refused(here):
    """A target and --network cannot both be meant."""
    with pytest.raises(OptionError) as caught:
        choose_recipe("lenet", {"network": "simplenet"})
    assert str(caught.value) == (
        "train expected one network, received 'lenet' and --network too. "
        "Fix: leave one of them out."
    )


def test_a_target_that_leads_nowhere_ends_with_2(calls, capsys):
    """And makes no run folder."""
    assert main(["train", "user.py:Nett"]) == 2
    assert capsys.readouterr().err == (
        "error: 'user.py:Nett' expected the name 'Nett' in user.py, which has no such name. "
        "Did you mean 'Net'?\n"
    )
    assert not Path("runs").exists()
    with pytest.raises(TargetError):
        choose_recipe("nowhere.py:Net", {})


def test_impossible_values_end_with_2(calls, capsys):
    """The recipe refuses them, whichever way they came."""
    assert main(["train", "--epochs", "0"]) == 2
    assert capsys.readouterr().err == "error: epochs expected a whole number from 1, received 0.\n"
    assert main(["train", "--lr", "-1"]) == 2
    assert capsys.readouterr().err == "error: lr expected a positive number, received -1.0.\n"
    assert main(["train", "--threads", "0"]) == 2
    assert capsys.readouterr().err == "error: threads expected a whole number from 1, received 0.\n"
    assert calls.arguments == []


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        (Recipe(), "customnet-digits"),
        (Recipe(network=nn.Linear, data="some/Photos of Cats/"), "linear-photos-of-cats"),
        (Recipe(network=nn.Linear(1, 1), data=(1, 2)), "linear-tuple"),
        (Recipe(data="."), "customnet-own"),
    ],
    ids=str,
)
def test_run_folders_are_named_after_network_and_data(recipe, name):
    """Whatever they are, the name fits a folder."""
    assert run_name(recipe) == name


def test_a_named_run_folder_is_taken_as_it_is(calls):
    """--run-dir is the folder itself, and is not made by the command line."""
    main(["train", "--run-dir", "mine"])
    assert calls.arguments[0]["run_dir"] == Path("mine")
    assert not Path("runs").exists()


def test_a_run_that_never_started_leaves_no_folder(calls, capsys):
    """A folder that fit left empty is removed; one with something in it, or named, stays."""
    calls.error = DataError("no such data.")
    assert main(["train"]) == 2
    assert not Path("runs").exists()
    Path("mine").mkdir()
    assert main(["train", "--run-dir", "mine"]) == 2
    assert Path("mine").is_dir()
    Path("runs/customnet-digits-1").mkdir(parents=True)
    Path("runs/customnet-digits-1/config.json").touch()
    assert main(["train"]) == 2
    assert [entry.name for entry in Path("runs").iterdir()] == ["customnet-digits-1"]


def test_json_is_all_that_stdout_gets(calls, capsys):
    """Progress goes to stderr; NaN, which JSON lacks, becomes null; tensors become lists."""
    assert main(["train", "--json"]) == 0
    shown = capsys.readouterr()
    assert shown.err == "progress\n"
    assert json.loads(shown.out) == {
        "run_dir": "runs/customnet-digits-1",
        "status": "finished",
        "step": 3,
        "epochs": 1,
        "history": [{"epoch": 1, "train": {"loss": None}}],
        "best": None,
        "test": {"accuracy": 0.5, "confusion": [[1.0, 0.0], [0.0, 1.0]]},
        "started_from": None,
    }


@pytest.mark.parametrize(
    ("status", "code"), [("finished", 0), ("stopped early", 0), ("interrupted", 130)]
)
def test_an_interrupted_run_ends_with_130(calls, capsys, status, code):
    """With --json too, which still prints its object."""
    calls.run = SimpleNamespace(**{**vars(calls.run), "status": status})
    assert main(["train"]) == code
    assert main(["train", "--json"]) == code
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["status"] == status


def test_threads_are_set_before_training(calls, monkeypatch):
    """They belong to the process, not to the recipe."""
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    main(["train", "--threads", "3"])
    main(["train"])
    assert asked == [3]


def test_parameters_are_shown_by_role_without_training(calls, capsys):
    """Weights decay; biases do not; as a table, and as JSON. No run folder is made."""
    assert main(["train", "softmax-classifier", "--show-parameters"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["linear.weight", "Linear", "10", "x", "64", "weight", "yes"] in rows
    assert ["linear.bias", "Linear", "10", "bias", "no"] in rows
    assert main(["train", "softmax-classifier", "--show-parameters", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["parameters"]
    assert [(item["role"], item["decays"]) for item in listed] == [
        ("weight", True),
        ("bias", False),
    ]
    assert calls.arguments == []
    assert not Path("runs").exists()


def test_recipes_are_compared_by_value():
    """What the tests above rely on."""
    assert replace(Recipe(), epochs=3) == Recipe(epochs=3) != Recipe()
