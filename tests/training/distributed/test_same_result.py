"""Several processes reach what one process reaches, and the same processes the same bits."""

import importlib.util
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("program.py")
NAMES = ["memory", "dataset", "float32", "unused", "texts", "sharded"]


def load_program():
    specification = importlib.util.spec_from_file_location("distributed_program", PROGRAM)
    program = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(program)
    return program


@pytest.fixture(scope="module")
def alone():
    """Each scenario in this process."""
    program = load_program()
    return {name: program.train(name) for name in [*NAMES, "local-batch-norm"]}


@pytest.fixture(scope="module")
def two(trained):
    """Each scenario on two processes, by rank; "memory" twice."""
    return trained(2, *NAMES, "memory", "sharded", "local-batch-norm")


def largest_difference(one, other):
    """The largest difference of two sets of weights, in shares of each tensor's largest value."""
    assert set(one) == set(other)
    return max(
        float((one[name] - other[name]).abs().max() / one[name].abs().max().clamp(min=1e-30))
        for name in one
        if one[name].is_floating_point()
    )


# The bound, in units of rounding u of the dtype: 100 u after 26 steps (measured: 10 to 20 u). A sum
# over 17 samples that is cut in two may differ by 17 u, and the steps add up.
@pytest.mark.parametrize("name", ["memory", "dataset", "unused", "sharded"])
def test_two_processes_give_the_weights_of_one_to_rounding(alone, two, name):
    """Uneven parts, a last batch of 3, augmentation, mixup, batch norm, accumulation, clipping."""
    assert largest_difference(alone[name]["weights"], two[0][name]["weights"]) < 100 * 2**-53


@pytest.mark.parametrize("name", ["float32", "texts"])
def test_the_same_holds_in_float32(alone, two, name):
    """With its own unit of rounding, u = 2**-24."""
    assert largest_difference(alone[name]["weights"], two[0][name]["weights"]) < 100 * 2**-24


@pytest.mark.parametrize("name", NAMES)
def test_every_process_ends_with_the_same_bits(two, name):
    """Weights, running statistics, rows and test values."""
    first, second = two[0][name], two[1][name]
    assert all(first["weights"][key].equal(second["weights"][key]) for key in first["weights"])
    assert first["history"] == second["history"]
    assert first["test"] == second["test"]


@pytest.mark.parametrize("name", ["memory", "sharded"])
def test_the_same_number_of_processes_gives_the_same_bits(two, name):
    """Run twice."""
    first, again = two[0][name], two[0][f"{name} again"]
    assert all(first["weights"][key].equal(again["weights"][key]) for key in first["weights"])
    assert first["history"] == again["history"]


def test_metrics_are_those_of_one_process(alone, two):
    """Counts are equal, means to rounding, and a user's metric gets the batches of one process."""
    for mine, theirs in zip(two[0]["memory"]["history"], alone["memory"]["history"], strict=True):
        for name in ("accuracy", "confusion-matrix", "batches"):
            assert mine["validation"][name] == theirs["validation"][name]
        assert mine["validation"]["loss"] == pytest.approx(theirs["validation"]["loss"], rel=1e-12)
        assert mine["train"]["loss"] == pytest.approx(theirs["train"]["loss"], rel=1e-12)


def test_batch_norm_can_stay_local(alone, two):
    """Then each process normalises its own part, and the result is another one."""
    difference = largest_difference(
        alone["local-batch-norm"]["weights"], two[0]["local-batch-norm"]["weights"]
    )
    assert difference > 1e-3


@pytest.mark.slow
def test_four_processes_too(alone, trained):
    """The weights of one, and twice the same bits: four numbers add up in one order."""
    four = trained(4, "memory", "memory")
    first, again = four[0]["memory"], four[0]["memory again"]
    assert largest_difference(alone["memory"]["weights"], first["weights"]) < 100 * 2**-53
    assert all(first["weights"][key].equal(again["weights"][key]) for key in first["weights"])
    for other in four[1:]:
        weights = other["memory"]["weights"]
        assert all(first["weights"][key].equal(weights[key]) for key in weights)
