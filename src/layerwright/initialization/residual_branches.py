"""Residual branches that start at zero: found in the graph of one pass, never by class names."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from layerwright.initialization.examples import ExampleInputs, floats_in
from layerwright.initialization.structure import Place, places
from layerwright.initialization.undisturbed import undisturbed
from layerwright.random_numbers import seed_all_devices

_ADDITION = "AddBackward0"
_PRODUCT = "MulBackward0"
# what a parameter passes on its way into an operator: other views of the same values
_VIEWS = ("T", "Transpose", "View", "UnsafeView", "Expand", "Permute", "Unsqueeze", "Squeeze",
          "ReshapeAlias", "Alias", "ToCopy", "Clone")  # fmt: skip


def zero_residual_branches(network: nn.Module, inputs: ExampleInputs) -> list[str]:
    """Set the last gain or weight of each residual branch, and biases behind it, to zero.

    A residual branch is what is added to the tensor that it was computed from, `x + f(x)`. So the
    block starts as the identity, and the first step of training gives it a branch. Walking back
    from the addition, the first operator with a weight or a gain is the one whose parameters
    become zero: a normalisation's gain, a projection, a layer scale. Left alone are branches
    whose last operator is something else (a second computed factor, a computed weight), weights
    that are used elsewhere too, and blocks whose shortcut has weights itself: name those.

    Args:
        network: the network, initialised.
        inputs: a batch.

    Returns:
        The names of the parameters that are zero now.

    Reference:
        Goyal et al. (2017), https://arxiv.org/abs/1706.02677, section 5.1; Zhang, Dauphin and Ma
        (2019), "Fixup Initialization", https://arxiv.org/abs/1901.09321
    """
    by_parameter = {id(place.parameter): place for place in places(network)}
    with undisturbed(network), torch.enable_grad():
        network.train()
        seed_all_devices(0)
        given = inputs.map(_leaf)
        outputs = floats_in(network(*given.args, **given.kwargs))
    graph = _Graph([tensor.grad_fn for tensor in outputs if tensor.grad_fn is not None])
    ends = [
        end
        for node in graph.nodes
        if node.name() == _ADDITION
        for branch in _branches(graph, node)
        if (end := _last_parameters(branch, by_parameter))
    ]
    uses = [id(place.parameter) for end in ends for place in end]
    zeroed = [
        place
        for end in ends
        if all(graph.uses.get(id(p.parameter), 0) == uses.count(id(p.parameter)) for p in end)
        for place in end
    ]
    with torch.no_grad():
        for place in zeroed:
            place.parameter.zero_()
    return list(dict.fromkeys(place.name for place in zeroed))


class _Graph:
    """The operators of one pass, as autograd recorded them."""

    def __init__(self, roots: list[Any]) -> None:
        self.nodes: list[Any] = []
        self.uses: dict[int, int] = {}  # of each parameter, by its id
        seen = set()
        waiting = list(roots)
        while waiting:
            node = waiting.pop()
            if node in seen:
                continue
            seen.add(node)
            self.nodes.append(node)
            for child in _operands(node):
                if (leaf := getattr(child, "variable", None)) is not None:
                    self.uses[id(leaf)] = self.uses.get(id(leaf), 0) + 1
                waiting.append(child)

    def reaches(self, node: Any, targets: set[Any]) -> bool:
        """Tell whether one of `targets` was used to compute `node`."""
        seen, waiting = set(), [node]
        while waiting:
            item = waiting.pop()
            if item in targets:
                return True
            if item not in seen:
                seen.add(item)
                waiting.extend(_operands(item))
        return False


def _branches(graph: _Graph, addition: Any) -> Iterator[Any]:
    """Yield the operand that was computed from the other one."""
    operands = _operands(addition)
    if len(operands) != 2:
        return
    for shortcut, branch in (operands, operands[::-1]):
        if _parameter_of(shortcut) is None and graph.reaches(branch, set(_summands(shortcut))):
            yield branch
            return


def _summands(node: Any) -> Iterator[Any]:
    """Yield a shortcut, and what it is a sum of: parallel branches start from a summand."""
    yield node
    if node.name() == _ADDITION:
        for child in _operands(node):
            if _parameter_of(child) is None:
                yield from _summands(child)


def _last_parameters(node: Any, by_parameter: dict[int, Place]) -> list[Place]:
    """Walk back from the end of a branch to the first operator with a weight or gain."""
    found: list[Place] = []
    while True:
        operands = _operands(node)
        leaves = [leaf for leaf in map(_parameter_of, operands) if leaf is not None]
        mine = [by_parameter[id(leaf)] for leaf in leaves if id(leaf) in by_parameter]
        found.extend(mine)
        # what is added is a shift, whatever it is called
        if node.name() != _ADDITION and any(place.kind != "bias" for place in mine):
            return found
        computed = [item for item in operands if _parameter_of(item) is None]
        if len(computed) == 2 and node.name() == _PRODUCT:
            first, second = computed  # a gate: follow what the gate itself was computed from
            graph = _Graph([node])
            computed = [first] if graph.reaches(second, {first}) else []
            computed = computed or ([second] if graph.reaches(first, {second}) else [])
        if len(computed) != 1:
            return []
        node = computed[0]


def _parameter_of(node: Any) -> Tensor | None:
    """Return the parameter of which a node is a view; None for what is computed or given."""
    while (leaf := getattr(node, "variable", None)) is None:
        operands = _operands(node)
        if len(operands) != 1 or node.name().removesuffix("Backward0") not in _VIEWS:
            return None
        node = operands[0]
    return leaf if isinstance(leaf, nn.Parameter) else None


def _operands(node: Any) -> list[Any]:
    return [child for child, _ in node.next_functions if child is not None]


def _leaf(tensor: Tensor) -> Tensor:
    copy = tensor.detach().clone()
    # a clone of the leaf, because a network may write into what it is given
    return copy.requires_grad_().clone() if copy.is_floating_point() else copy
