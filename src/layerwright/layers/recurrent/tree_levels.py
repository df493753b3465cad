"""Nodes of trees, put in order by their depth."""

from dataclasses import dataclass

import torch
from torch import Tensor

from layerwright.errors import ShapeError


@dataclass(frozen=True)
class Levels:
    """The nodes of a forest, level by level from the roots.

    Attributes:
        order: numbers of the nodes, (M,), sorted by depth.
        sizes: number of nodes of each depth.
        parents: for each depth, the place of each node's parent among the nodes of the level
            above; empty for the roots.
    """

    order: Tensor
    sizes: list[int]
    parents: list[Tensor]


def levels_of(num_nodes: int, parent: Tensor) -> Levels:
    """Sort the nodes of a forest by depth.

    Args:
        num_nodes: how many nodes there are.
        parent: the number of each node's parent, -1 at a root.

    Raises:
        ShapeError: `parent` has another shape or type, names no node, or holds a circle.
    """
    whole = not (parent.is_floating_point() or parent.is_complex() or parent.dtype == torch.bool)
    if parent.shape != (num_nodes,) or not whole:
        raise ShapeError(
            f"TreeLSTM expected parent to be whole numbers of shape ({num_nodes},), one for each "
            f"node, received {parent.dtype} of shape {tuple(parent.shape)}."
        )
    if not num_nodes:
        return Levels(parent.long(), [], [])
    parent = parent.long()
    if bool(((parent < -1) | (parent >= num_nodes)).any()):
        raise ShapeError(
            f"TreeLSTM expected parents from -1 (a root) to {num_nodes - 1}, "
            f"received {parent.min().item()} to {parent.max().item()}."
        )
    depth = _depth(parent)
    order = depth.argsort(stable=True)
    sizes = torch.bincount(depth).tolist()
    place = order.argsort()  # of each node in the order
    starts = torch.tensor([0, *sizes[:-1]], device=parent.device).cumsum(0)
    above = place[parent.clamp(min=0)] - starts[(depth - 1).clamp(min=0)]
    parents = list(above[order].split(sizes))
    return Levels(order, sizes, [parents[0][:0], *parents[1:]])


def _depth(parent: Tensor) -> Tensor:
    """Return the number of each node's ancestors, in about log2(depth) rounds.

    Each round doubles the distance that a node looks up: its ancestor's ancestor is next.
    """
    is_root = parent < 0
    nodes = torch.arange(parent.shape[0], device=parent.device)
    ancestor = torch.where(is_root, nodes, parent)  # a root looks at itself
    depth = (~is_root).long()
    for _ in range(parent.shape[0].bit_length() + 1):
        if bool(is_root[ancestor].all()):
            return depth
        depth = depth + depth[ancestor]
        ancestor = ancestor[ancestor]
    circle = nodes[~is_root[ancestor]]
    raise ShapeError(
        f"TreeLSTM expected trees, received a circle: node {circle[0].item()} has no root above "
        f"it. Fix: parent is -1 at the root of each tree."
    )
