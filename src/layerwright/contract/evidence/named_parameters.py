"""A layer's parameters by their names."""

from torch import nn


def parameter_named(layer: nn.Module, name: str) -> nn.Parameter:
    """Return a parameter, of a scripted part too, of which `get_parameter` wants nothing to know.

    Args:
        layer: has it.
        name: one of `named_parameters`, or another name of a shared parameter.
    """
    return dict(layer.named_parameters(remove_duplicate=False))[name]
