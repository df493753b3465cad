"""Looking up built-in names."""

import pytest

from layerwright.errors import OptionError
from layerwright.names import look_up, nearest

OPTIMIZERS = {"sgd": 1, "rmsprop": 2, "adamw": 3, "adam": 4}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_known_name_leads_to_its_value(name):
    """Each name gives the object stored under it."""
    assert look_up("optimizer", name, OPTIMIZERS) == OPTIMIZERS[name]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "adm",
            "unknown optimizer 'adm'. Did you mean 'adam'? Known: adam, adamw, rmsprop, sgd.",
        ),
        (
            "SGD",
            "unknown optimizer 'SGD'. Did you mean 'sgd'? Known: adam, adamw, rmsprop, sgd.",
        ),
        ("lbfgs-like", "unknown optimizer 'lbfgs-like'. Known: adam, adamw, rmsprop, sgd."),
        ("", "unknown optimizer ''. Known: adam, adamw, rmsprop, sgd."),
        (None, "unknown optimizer None. Known: adam, adamw, rmsprop, sgd."),
        ([], "unknown optimizer []. Known: adam, adamw, rmsprop, sgd."),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_and_all_names(name, message):
    """The message holds the name, the nearest name where one is near, and all names, sorted."""
    with pytest.raises(OptionError) as caught:
        look_up("optimizer", name, OPTIMIZERS)
    assert str(caught.value) == message


def test_case_and_underscores_do_not_hide_the_nearest_name():
    """`Cross_Entropy` is recognised as `cross-entropy`, and a capital in the known name is kept."""
    assert nearest("Cross_Entropy", {"mse": 0, "cross-entropy": 1}) == "cross-entropy"
    assert nearest("lenett", {"LeNet": 0, "resnet": 1}) == "LeNet"
    assert nearest("nothing like it", {"mse": 0}) is None
