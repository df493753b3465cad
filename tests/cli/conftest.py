"""One small trained network for all verbs that need one."""

import pytest

import layerwright


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A softmax classifier, trained for one epoch on the digits."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    return layerwright.fit("softmax-classifier", "digits", epochs=1, run_dir=folder)


@pytest.fixture(scope="session")
def own_run(tmp_path_factory):
    """A user's own network with a user's own loss, from own.py beside the run folder."""
    folder = tmp_path_factory.mktemp("cli-own")
    (folder / "own.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(64, 10))\n"
        "def loss(output, target):\n"
        "    return nn.functional.cross_entropy(output, target)\n"
    )
    from layerwright.targets import load_object

    return layerwright.fit(
        load_object(f"{folder / 'own.py'}:Net"),
        "digits",
        loss=load_object(f"{folder / 'own.py'}:loss"),
        epochs=1,
        run_dir=folder / "run",
    )
