"""A layer's parameters by their names."""

from torch import nn


def parameters_by_name(layer: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters by each of their names; shared ones have several.

    Those of a scripted part too, of which `get_parameter` wants nothing to know.
    """
    return dict(layer.named_parameters(remove_duplicate=False))
