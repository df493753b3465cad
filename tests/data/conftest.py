"""Every test here starts without local data and with a cache folder of its own."""

import os
from pathlib import Path

import pytest
import torch

REAL_DATA = os.environ.get("LAYERWRIGHT_DATA_DIR")


@pytest.fixture(autouse=True)
def _apart(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LAYERWRIGHT_DATA_DIR", raising=False)


@pytest.fixture(scope="session")
def real_data():
    """The folder with real data; skips where there is none."""
    if not REAL_DATA or not Path(REAL_DATA).is_dir():
        pytest.skip("LAYERWRIGHT_DATA_DIR names no folder with mnist/ and cifar10/")
    return Path(REAL_DATA)


@pytest.fixture
def global_randomness():
    """The state of the global generators, as something that can be compared."""
    import random

    import numpy as np

    def state():
        return (
            tuple(torch.get_rng_state().tolist()),
            random.getstate(),
            np.random.get_state()[1].tolist(),
            np.random.get_state()[2],
        )

    return state
