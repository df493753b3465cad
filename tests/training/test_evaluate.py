"""Evaluating a run, its folder or a bare network."""

import pytest
import torch
from torch import nn

import layerwright as lw
from layerwright.errors import DataError, OptionError, RunFolderError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return lw.fit(
        "simplenet", "digits", epochs=3, limit=300, run_dir=tmp_path_factory.mktemp("runs") / "run"
    )


def test_the_folder_gives_the_run_s_own_test_values(run):
    """The weights in the folder are those that the run ended with, the split is the same."""
    assert lw.evaluate(run.dir) == run.test
    assert lw.evaluate(run) == run.test


def test_the_validation_split_is_the_run_s_own(run):
    """The best row is met again on the same validation samples."""
    assert lw.evaluate(run.dir, split="validation") == run.best["validation"]


def test_the_numbers_are_those_of_plain_torch(run):
    """Loss and accuracy computed here by hand, over uneven batches."""
    x, y = torch.rand(77, 1, 28, 28), torch.randint(0, 10, (77,))
    values = lw.evaluate(run, (x, y), batch_size=10)
    with torch.no_grad():
        logits = run.network.eval()(x)
    assert values["loss"] == pytest.approx(nn.functional.cross_entropy(logits, y).item(), rel=1e-5)
    assert values["accuracy"] == int((logits.argmax(1) == y).sum()) / 77


def test_modes_and_random_state_are_left_alone():
    """A module that the user keeps in evaluation mode stays in it, the others stay in training."""
    network = nn.Sequential(nn.Dropout(), nn.Linear(2, 2))
    network[0].eval()
    before = torch.get_rng_state()
    lw.evaluate(network, (torch.zeros(4, 2), torch.zeros(4, dtype=torch.long)))
    assert [module.training for module in network] == [False, True]
    assert torch.equal(torch.get_rng_state(), before)


def test_bad_input_is_refused_in_words(run, tmp_path):
    """Unknown split, missing split, no data, no run."""
    with pytest.raises(OptionError) as caught:
        lw.evaluate(run, split="tests")
    assert str(caught.value) == "split expected train, validation, test, received 'tests'."
    with pytest.raises(OptionError) as caught:
        lw.evaluate(nn.Linear(2, 2))
    assert str(caught.value) == (
        "evaluate expected data, and neither the call nor the run names any. "
        "Fix: give data=..., such as 'mnist' or (inputs, targets)."
    )
    with pytest.raises(RunFolderError) as caught:
        lw.evaluate(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} expected a run folder, and has no config.json. "
        "Fix: name a folder that `layerwright train` wrote."
    )
    data = {
        "train": (torch.zeros(4, 2), torch.zeros(4)),
        "test": (torch.zeros(4, 2), torch.zeros(4)),
    }
    with pytest.raises(DataError, match="has no validation split"):
        lw.evaluate(nn.Linear(2, 1), data, split="validation")


def test_an_own_network_is_named_again(tmp_path):
    """The folder holds its weights and not its class."""
    x, y = torch.randn(40, 3), torch.randn(40)
    run = lw.fit(nn.Linear(3, 1), (x, y), epochs=2, run_dir=tmp_path / "run")
    with pytest.raises(OptionError, match="trained your own network"):
        lw.evaluate(tmp_path / "run", (x, y))
    assert lw.evaluate(tmp_path / "run", (x, y), network=nn.Linear(3, 1)) == pytest.approx(
        lw.evaluate(run, (x, y))
    )
