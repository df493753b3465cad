"""The networks' names: what they lead to, and what a wrong one says."""

import importlib
import subprocess
import sys
from inspect import signature

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from layerwright.errors import OptionError
from layerwright.networks import NETWORKS, network_class


@settings(deadline=None, max_examples=20)
@given(name=st.sampled_from(sorted(NETWORKS)), position=st.integers(0, 30))
def test_a_slip_of_the_keyboard_names_the_nearest_network(name, position):
    """A name with two letters exchanged is answered with the name that was meant."""
    position %= len(name) - 1
    letters = list(name)
    letters[position : position + 2] = reversed(letters[position : position + 2])
    misspelt = "".join(letters)
    assume(misspelt not in NETWORKS)
    with pytest.raises(OptionError) as caught:
        network_class(misspelt)
    known = ", ".join(sorted(NETWORKS))
    meant = {"resnet", "resnet9"} if name.startswith("resnet") else {name}  # one letter apart
    assert str(caught.value) in {
        f"unknown network {misspelt!r}. Did you mean {near!r}? Known: {known}." for near in meant
    }


def test_every_name_leads_to_its_class():
    """The table names classes that exist, in files named after them."""
    for name, target in NETWORKS.items():
        module, class_name = target.split(":")
        assert network_class(name) is getattr(importlib.import_module(module), class_name)
        assert module == f"layerwright.networks.{name.replace('-', '_')}"


def test_image_sizes():
    """Small digits are scaled to 28x28 where the network wants that, and fit where not."""
    sizes = {name: network_class(name).image_size for name in NETWORKS}
    wants_28 = {"simplenet", "convnet", "lenet"}
    assert sizes == {name: 28 if name in wants_28 else None for name in NETWORKS}
    for name, size in sizes.items():
        if "input_shape" not in signature(network_class(name)).parameters:
            continue  # it reads texts or trees
        network = network_class(name)((1, size or 8, size or 8))
        output = network(torch.randn(2, 1, size or 8, size or 8))
        assert len(output[0] if isinstance(output, tuple) else output) == 2


def test_the_table_imports_no_torch():
    """Listing the networks, as --help does, leaves torch alone."""
    program = "import sys, layerwright.networks as n; print(*n.NETWORKS, 'torch' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == [*NETWORKS, "False"]
