"""What is measured in a network: one row for each layer and activation, and the whole."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LayerSignal:
    """What one layer, or one activation, does to the signal, over all its calls and batches.

    Attributes:
        name: as in `named_modules`; an activation that is a function is called "after: function".
        kind: the class of the module, or the function.
        role: "layer" for a module with weights, "table" for an embedding, "activation" else.
        num_calls: calls in one forward pass.
        scale: root mean square of the output.
        dependence: the share of the output that another input changes, 0 to about 1.
        change: root mean square of that change.
        gain: change of the output over change of the input; None without a floating-point input.
        gradient: norm of the gradient at the output, where that at the network's output is 1.
        weight_gradient: norm of the gradient of the module's weights.
        amplification: how much larger gradient times change is here than at the network's
            output, the sizes allowed for; near 1 where the network is close to linear.
        dead: share of units that are zero, and flat, for every sample; None if no activation.
        saturated: share of values that are not zero and where the activation is flat.
        symmetric: whether all units have equal weights and get equal gradients.
        final: whether its output reaches the network's without another layer.
        finite: whether all values and gradients are.
    """

    name: str
    kind: str
    role: str
    num_calls: int
    scale: float
    dependence: float
    change: float
    gain: float | None = None
    gradient: float | None = None
    weight_gradient: float | None = None
    amplification: float | None = None
    dead: float | None = None
    saturated: float | None = None
    symmetric: bool = False
    final: bool = False
    finite: bool = True


@dataclass(frozen=True)
class NetworkSignal:
    """What arrives at the network's output, and its layers in the order of their first calls.

    Attributes:
        layers: a row each.
        scale: root mean square of the output.
        dependence: the share of the output that another input changes.
        change: root mean square of that change.
        gain: change of the output over change of the input, or of the first layer's output where
            the input is made of whole numbers.
        input_scale: root mean square of the largest floating-point input; 0 without one.
        finite: whether output and gradients are.
        training: whether the network was in training mode; else its training pass failed.
    """

    layers: tuple[LayerSignal, ...]
    scale: float
    dependence: float
    change: float
    gain: float
    input_scale: float
    finite: bool
    training: bool

    def weighted(self) -> list[LayerSignal]:
        """Return the modules with weights."""
        return [layer for layer in self.layers if layer.role == "layer"]

    def find(self, name: str) -> LayerSignal | None:
        """Return the row of this name."""
        return next((layer for layer in self.layers if layer.name == name), None)
