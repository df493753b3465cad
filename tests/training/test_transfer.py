"""Training from another run's weights: what is loaded, frozen, and how fast each part learns."""

import copy
import os
import pickle
import shutil
import signal

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import layerwright as lw
from layerwright.cli.app import main
from layerwright.errors import CheckpointError, OptionError, RunFolderError
from layerwright.training.freezing import freeze
from layerwright.training.starting_weights import start_from


class Net(nn.Module):
    """Convolutional features with batch norm, and a head for any number of classes."""

    def __init__(self, num_classes):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(0.2)
        )
        self.head = nn.Linear(3 * 36, num_classes)

    def forward(self, x):
        return self.head(self.features(x).flatten(1))


def images(num_classes, count=60):
    generator = torch.Generator().manual_seed(num_classes)
    labels = torch.arange(count) % num_classes
    return torch.randn(count, 1, 8, 8, generator=generator) + labels[:, None, None, None], labels


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The folder of a run on four classes."""
    folder = tmp_path_factory.mktemp("transfer") / "source"
    lw.fit(Net, images(4), epochs=2, run_dir=folder)
    return folder


def weights(folder, name="best.safetensors"):
    """Return the tensors of the newest checkpoint, read by safetensors itself."""
    from safetensors.torch import load_file

    return load_file(max((folder / "checkpoints").glob("step-*")) / name)


def test_what_fits_is_loaded_and_the_rest_is_said(source):
    """By name and shape: a head for other classes is initialised anew, with a line that says so."""
    torch.manual_seed(0)
    network = Net(3)
    network.extra = nn.Linear(2, 2)
    before = copy.deepcopy(network.state_dict())
    result = start_from(network, source)
    expected = weights(source)
    for name, value in network.state_dict().items():
        other = name.startswith(("head", "extra"))
        assert torch.equal(value, before[name] if other else expected[name]), name
    assert result.lines() == [
        f"starting from {source}: 7 of 11 tensors loaded",
        (
            "  of another shape, initialised anew: head.weight (4, 108) there, (3, 108) here; "
            "head.bias (4,) there, (3,) here"
        ),
        "  not in the source, initialised anew: extra.weight; extra.bias",
    ]
    del network.head
    assert start_from(network, source).lines()[-1] == (
        "  in the source only, left out: head.bias (4,); head.weight (4, 108)"
    )


def test_a_run_and_a_file_are_sources_too(source, tmp_path):
    """A Run gives its network, a .safetensors file what is in it."""
    run = lw.resume(source, Net, images(4))
    file = tmp_path / "weights.safetensors"
    save_file(run.network.state_dict(), file)
    for given in (run, file, str(file), source, str(source)):
        network = Net(4)
        start_from(network, given)
        for name, value in run.network.state_dict().items():
            assert torch.equal(network.state_dict()[name], value)


def test_without_a_network_the_source_s_own_is_trained():
    """With its options; an instance is not trained a second time behind its run's back."""
    options = {"network_options": {"hidden_units": 7}, "limit": 50, "epochs": 1}
    run = lw.fit("simplenet", "digits", **options)
    again = lw.fit(data="digits", start_from=run, limit=50, epochs=1)
    assert repr(again.network) == repr(run.network)
    run = lw.fit(Net(4), images(4), epochs=1)
    with pytest.raises(OptionError, match=r"trained an instance of Net, which a second run would"):
        lw.fit(data=images(4), start_from=run, epochs=1)


def test_a_run_says_where_it_started_and_resumes_without_its_source(source, tmp_path):
    """In the run folder and on the Run, after a resume too; a Run as the source is no obstacle."""
    run = lw.resume(source, Net, images(4))
    new = lw.fit(Net, images(3), start_from=run, epochs=1, run_dir=tmp_path / "new")
    again = lw.resume(tmp_path / "new", Net, images(3))
    assert again.started_from == new.started_from
    assert new.started_from["other_shape"]["head.bias"] == [[4], [3]]
    assert len(new.started_from["loaded"]) == 7


def test_training_a_head_on_frozen_features_is_training_it_on_their_outputs(source):
    """The whole network with frozen features ends like a lone head on features computed before."""
    x, y = images(3)
    network = Net(3)
    network.features[3].p = 0.0  # whose masks the head alone would not draw
    start_from(network, source)
    head = copy.deepcopy(network.head)
    kept = copy.deepcopy(network.features.state_dict())
    with torch.no_grad():
        features = network.features.eval()(x).flatten(1)
    options = {"epochs": 4, "lr": 0.01, "optimizer": "sgd", "batch_size": 16, "weight_decay": 0.1}
    lw.fit(network, (x, y), freeze="features", **options)
    lw.fit(head, (features, y), **options)
    for name, value in network.features.state_dict().items():
        assert torch.equal(value, kept[name]), name
    torch.testing.assert_close(network.head.weight, head.weight)
    torch.testing.assert_close(network.head.bias, head.bias)


@pytest.mark.parametrize(
    ("patterns", "parameters", "statistics"),
    [
        (["features"], 4, ("features.1",)),
        (["features.*"], 4, ("features.1",)),
        (["features.1.weight", "features.1.bias"], 2, ("features.1",)),
        (["features.1.running_*"], 0, ()),  # its gain is trained on
        (["*.weight"], 3, ()),
        (["plain"], 0, ("plain",)),
    ],
)
def test_statistics_are_frozen_with_their_module(patterns, parameters, statistics):
    """A batch norm whose own parameters are all frozen, or which has none and is named."""
    network = Net(3)
    network.plain = nn.BatchNorm2d(3, affine=False)
    frozen = freeze(network, patterns)
    assert (len(frozen.parameters), frozen.statistics) == (parameters, statistics)
    network.train()
    frozen.keep_statistics(network)
    modes = {name: module.training for name, module in network.named_modules()}
    assert [name for name, mode in modes.items() if not mode] == list(statistics)
    trained = [name for name, item in network.named_parameters() if item.requires_grad]
    assert set(trained).isdisjoint(frozen.parameters)
    assert len(trained) + parameters == 6


def test_learning_rates_differ_by_part():
    """Like gradient descent by hand, with a rate for each parameter; the last pattern counts."""
    x, y = torch.randn(12, 3), torch.randn(12, 1)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    mine = copy.deepcopy(network)
    rates = {"0.weight": 0.01, "0.bias": 0.001, "2.weight": 0.1, "2.bias": 0.1}
    for step in range(3):
        loss = (mine(x) - y).square().mean()
        mine.zero_grad()
        loss.backward()
        with torch.no_grad():
            for name, parameter in mine.named_parameters():
                parameter.sub_(rates[name] * (1 - step / 4) * parameter.grad)
    lw.fit(
        network,
        (x, y),
        loss="mse",
        validation=0.0,
        batch_size=12,
        epochs=3,
        optimizer="sgd",
        lr=0.1,
        schedule=lambda step, _: 1 - step / 4,
        lr_factors={"0": 0.1, "0.b*": 0.01},
    )
    for wanted, found in zip(mine.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(found, wanted)


def test_an_interrupted_run_resumes_to_the_same_bits_without_its_source(source, tmp_path):
    """Frozen parts, rates by part and all: the source is gone when the run is taken up again."""
    options = {
        "epochs": 3, "batch_size": 8, "checkpoint_every": "2steps", "schedule": "one-cycle",
        "freeze": ("features.0", "features.1"), "lr_factors": {"head.bias": 0.1},
        "weight_decay": 0.01,
    }  # fmt: skip
    calls = []

    def loss(output, target):
        calls.append(1)
        if len(calls) == interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)
        return nn.functional.cross_entropy(output, target)

    gone = tmp_path / "gone"
    shutil.copytree(source, gone)
    interrupt_at = -1
    whole = lw.fit(
        Net, images(3), loss=loss, start_from=gone, run_dir=tmp_path / "whole", **options
    )
    calls.clear()
    interrupt_at = 11
    part = lw.fit(Net, images(3), loss=loss, start_from=gone, run_dir=tmp_path / "part", **options)
    assert part.status == "interrupted"
    assert 0 < part.step < whole.step
    shutil.rmtree(gone)
    resumed = lw.resume(tmp_path / "part", Net, images(3), loss=loss)
    assert (resumed.status, resumed.step) == ("finished", whole.step)
    assert resumed.history == whole.history
    for name, value in whole.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], value), name
    features = {n: v for n, v in weights(source).items() if n.startswith("features")}
    for name, value in features.items():
        assert torch.equal(resumed.network.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"freeze": ("feature.*",)},
            (
                "freeze expected patterns of names of parameters, received 'feature.*', which "
                "matches none. Did you mean 'features'? Known: features.0.weight, features.0.bias, "
                "features.1.weight, features.1.bias, head.weight, head.bias, "
                "features.1.running_mean, features.1.running_var, "
                "features.1.num_batches_tracked."
            ),
        ),
        (
            {"freeze": ("features",), "lr_factors": {"features.*": 0.1}},
            (
                "lr_factors expected patterns of names of trainable parameters, received "
                "'features.*', which matches none. Known: head.weight, head.bias."
            ),
        ),
        ({"lr_factors": {"head": 0.0}}, "lr_factors expected positive numbers, received 0.0."),
    ],
)
def test_patterns_that_do_nothing_are_refused(options, text):
    """One that matches nothing, or nothing that is trained, is a mistake."""
    with pytest.raises(OptionError) as caught:
        lw.fit(Net, images(3), epochs=1, **options)
    assert str(caught.value) == text


def test_what_is_frozen_must_be_loaded(source):
    """Initial values that nothing trains are no features."""
    with pytest.raises(OptionError) as caught:
        lw.fit(Net, images(3), epochs=1, start_from=source, freeze=("head.*",))
    assert str(caught.value) == (
        "freeze expected weights that start_from loads, received head.weight, head.bias, "
        f"which {source} does not give. Fix: freeze less."
    )


def test_a_source_of_another_network_is_refused(source):
    """Nothing fits: the message shows names and shapes of both sides."""
    with pytest.raises(OptionError) as caught:
        start_from(nn.Linear(2, 3), source)
    assert str(caught.value) == (
        f"start_from expected weights of Linear, and nothing of {source} fits by name and shape: "
        "it has features.0.bias (3,), features.0.weight (3, 1, 3, 3), features.1.bias (3,), ...; "
        "the network has bias (3,), weight (3, 2). Fix: name the network that the weights are of."
    )


class Bomb:
    """Unpickled, it writes a file."""

    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_damaged_missing_and_dangerous_sources_are_refused(source, tmp_path, monkeypatch):
    """Each with its own words; nothing in a source is executed."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunFolderError, match=r"which does not exist\. Fix: correct the path"):
        start_from(Net(4), tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunFolderError, match=r"has no config\.json"):
        start_from(Net(4), tmp_path / "empty")
    pickled = tmp_path / "weights.safetensors"
    pickled.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match=r"expected a \.safetensors file, and is damaged"):
        start_from(Net(4), pickled)
    with pytest.raises(OptionError, match=r"save_file\(network.state_dict\(\)"):
        start_from(Net(4), pickled.rename(tmp_path / "weights.pt"))
    damaged = tmp_path / "damaged"
    shutil.copytree(source, damaged)
    for file in (damaged / "checkpoints").rglob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:-4])
    network = Net(4)
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(CheckpointError, match="is truncated or was altered"):
        start_from(network, damaged)
    state = {**network.state_dict(), "head.bias": torch.tensor([0.0, torch.nan, 0.0, 0.0])}
    save_file(state, tmp_path / "nan.safetensors")
    with pytest.raises(CheckpointError, match=r"and head.bias holds NaN or infinity"):
        start_from(network, tmp_path / "nan.safetensors")
    assert all(torch.equal(network.state_dict()[name], before[name]) for name in before)
    assert not (tmp_path / "exploded").exists()


def test_the_command_line_says_it_all(tmp_path, monkeypatch, capsys):
    """`--from` takes the run's network and its options where none is named."""
    monkeypatch.chdir(tmp_path)
    start = ["train", "--epochs", "1", "--limit", "100", "--device", "cpu"]
    assert main([*start, "--run-dir", "a", "--network-option", "hidden_units=16"]) == 0
    capsys.readouterr()
    words = ["--from", "a", "--freeze", "conv*", "--freeze", "norm*", "--lr-factor", "fc1=0.5"]
    assert main([*start, *words, "--run-dir", "b"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1:3] == [
        "starting from a: 16 of 16 tensors loaded",
        "frozen: 6 of 10 parameters, 18,912 values; running statistics of norm1, norm2",
    ]
    assert main([*start, "--lr-factor", "fc1"]) == 2
    assert capsys.readouterr().err == (
        "error: --lr-factor expected pattern=number, received 'fc1'. "
        "Fix: --lr-factor 'conv1.*=0.1'\n"
    )
