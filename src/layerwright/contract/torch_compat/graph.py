"""Walking the graph of a backward pass."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from layerwright.contract.trees import named_tensors


def graph_nodes(output: Any) -> Iterator[Any]:
    """Yield every node of the graph behind a tree of tensors, each once."""
    waiting: list[Any] = [
        item.tensor.grad_fn for item in named_tensors(output) if item.tensor.grad_fn is not None
    ]
    seen: set[Any] = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        waiting.extend(next_node for next_node, _ in node.next_functions)


def python_functions(output: Any) -> list[tuple[type, Any]]:
    """Return the `torch.autograd.Function` classes behind a tree, each with its node (the ctx)."""
    return [
        (node._forward_cls, node)  # noqa: SLF001 - the only way from a node to its Function
        for node in graph_nodes(output)
        if hasattr(node, "_forward_cls")
    ]


def leaves_of(output: Any) -> list[Tensor]:
    """Return the tensors that a backward pass would accumulate gradients into."""
    return [node.variable for node in graph_nodes(output) if hasattr(node, "variable")]
