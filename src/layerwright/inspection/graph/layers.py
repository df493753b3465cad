"""A layered layout of one box: what follows stands below, and lines cross as seldom as possible.

After Sugiyama, Tagawa and Toda (1981), "Methods for visual understanding of hierarchical system
structures": layers by the longest path, order by barycentres, and places that minimise the squared
horizontal distances of neighbours under that order (pool adjacent violators).
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

GAP_X = 22.0
GAP_Y = 30.0
_SWEEPS = 12
_STRAIGHT = 50.0  # how much more a long line wants to be straight than a node to be centred


@dataclass(eq=False)
class Node:
    """Something with a size that gets a place.

    Attributes:
        key: what it stands for.
        width: in points.
        height: in points.
        first: stands in the first layer.
        last: stands in the last layer.
        is_bend: a place on a long line.
        layer: from 0, the top.
        x: of its left side.
        y: of its upper side.
    """

    key: Hashable
    width: float
    height: float
    first: bool = False
    last: bool = False
    is_bend: bool = False
    layer: int = 0
    x: float = 0.0
    y: float = 0.0


@dataclass(eq=False)
class Link:
    """A line from one node to another, further down.

    Attributes:
        start: the upper node.
        end: the lower one.
        start_x: where it leaves, from the left side of `start`.
        end_x: where it arrives, from the left side of `end`.
        trunk: links of one trunk leave `start` together and part as late as possible.
        bends: nodes that it runs through, from the top.
    """

    start: Node
    end: Node
    start_x: float
    end_x: float
    trunk: Hashable = None
    bends: list[Node] = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    """One layer.

    Attributes:
        nodes: from left to right, bends included.
        y: of its upper side.
        height: of its highest node.
        num_lines: how many different lines arrive from above.
    """

    nodes: tuple[Node, ...]
    y: float
    height: float
    num_lines: int


@dataclass(eq=False)
class _Step:
    """A link's part between two neighbouring layers."""

    upper: Node
    lower: Node
    upper_x: float
    lower_x: float
    weight: float


def lay_out(nodes: Sequence[Node], links: Sequence[Link]) -> list[Row]:
    """Give each node its layer and place, and each link its bends; the upper left corner is 0, 0.

    Args:
        nodes: in the order in which they shall stand where nothing else decides.
        links: must not form a circle.

    Returns:
        The layers from the top.
    """
    if not nodes:
        return []
    _set_layers(nodes, links)
    layers: list[list[Node]] = [[] for _ in range(max(node.layer for node in nodes) + 1)]
    for node in nodes:
        layers[node.layer].append(node)
    steps = _steps(links, layers)
    _order(layers, steps)
    _set_x(layers, steps)
    left = min(node.x for layer in layers for node in layer)
    for layer in layers:
        for node in layer:
            node.x -= left
    return list(_rows(layers, steps))


def _set_layers(nodes: Sequence[Node], links: Sequence[Link]) -> None:
    after: dict[Node, list[Node]] = {node: [] for node in nodes}
    waiting = dict.fromkeys(nodes, 0)
    for link in links:
        after[link.start].append(link.end)
        waiting[link.end] += 1
    shift = 1 if any(node.first for node in nodes) else 0
    for node in nodes:
        node.layer = 0 if node.first else shift
    ready = [node for node in nodes if not waiting[node]]
    order = []
    while ready:
        node = ready.pop(0)
        order.append(node)
        for other in after[node]:
            other.layer = max(other.layer, node.layer + 1)
            waiting[other] -= 1
            if not waiting[other]:
                ready.append(other)
    targets = {link.end for link in links}
    for node in reversed(order):  # what nothing leads to stands just above what needs it
        if node not in targets and after[node] and not node.first:
            node.layer = max(node.layer, min(other.layer for other in after[node]) - 1)
    inner = max((node.layer for node in nodes if not node.last), default=-1)
    bottom = max([inner + 1, *(node.layer for node in nodes if node.last)])
    for node in nodes:
        if node.last:
            node.layer = bottom


def _steps(links: Sequence[Link], layers: list[list[Node]]) -> list[_Step]:
    """Cut links into steps between neighbouring layers, with a bend in each layer between."""
    found: dict[tuple[Node, Node, float, float], _Step] = {}
    shared: dict[tuple[Node, Hashable, int], Node] = {}
    for link in links:
        link.bends = []
        for layer in range(link.start.layer + 1, link.end.layer):
            trunk = id(link) if link.trunk is None else link.trunk
            bend = shared.get((link.start, trunk, layer))
            if bend is None:
                bend = Node(None, 6.0, 0.0, is_bend=True, layer=layer)
                shared[link.start, trunk, layer] = bend
                layers[layer].append(bend)
            link.bends.append(bend)
        chain = [link.start, *link.bends, link.end]
        for upper, lower in pairwise(chain):
            upper_x = link.start_x if upper is link.start else 3.0
            lower_x = link.end_x if lower is link.end else 3.0
            weight = _STRAIGHT if upper.is_bend and lower.is_bend else 1.0
            found[upper, lower, upper_x, lower_x] = _Step(upper, lower, upper_x, lower_x, weight)
    return list(found.values())


def _order(layers: list[list[Node]], steps: list[_Step]) -> None:
    """Order each layer by the mean place of its neighbours; keep what crosses least."""
    above: dict[Node, list[_Step]] = {}
    below: dict[Node, list[_Step]] = {}
    for step in steps:
        above.setdefault(step.lower, []).append(step)
        below.setdefault(step.upper, []).append(step)
    best, fewest = [list(layer) for layer in layers], _crossings(layers, steps)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        downwards = sweep % 2 == 0
        for layer in layers[1:] if downwards else layers[-2::-1]:
            _sort(layer, layers, above if downwards else below)
        number = _crossings(layers, steps)
        if number < fewest:
            best, fewest = [list(layer) for layer in layers], number
    for layer, order in zip(layers, best, strict=True):
        layer[:] = order


def _sort(layer: list[Node], layers: list[list[Node]], near: dict[Node, list[_Step]]) -> None:
    """Sort a layer by the mean place of its neighbours on one side."""
    places = {node: place for row in layers for place, node in enumerate(row)}

    def centre(node: Node) -> float:
        found = []
        for step in near.get(node, ()):
            other, x = (
                (step.upper, step.upper_x) if step.lower is node else (step.lower, step.lower_x)
            )
            found.append(places[other] + x / 1e4)
        return sum(found) / len(found) if found else places[node]

    layer.sort(key=centre)


def _crossings(layers: list[list[Node]], steps: list[_Step]) -> int:
    places = {node: place for row in layers for place, node in enumerate(row)}
    by_layer: dict[int, list[tuple[tuple[int, float], tuple[int, float]]]] = {}
    for step in steps:
        by_layer.setdefault(step.upper.layer, []).append(
            ((places[step.upper], step.upper_x), (places[step.lower], step.lower_x))
        )
    return sum(
        (one[0] < other[0] and one[1] > other[1]) or (one[0] > other[0] and one[1] < other[1])
        for pairs in by_layer.values()
        for place, one in enumerate(pairs)
        for other in pairs[place + 1 :]
    )


def _set_x(layers: list[list[Node]], steps: list[_Step]) -> None:
    for layer in layers:
        x = 0.0
        for node in layer:
            node.x = x
            x += node.width + GAP_X
        for node in layer:
            node.x -= (x - GAP_X) / 2
    near: dict[Node, list[tuple[Node, float, float, float]]] = {}
    for step in steps:
        near.setdefault(step.lower, []).append(
            (step.upper, step.upper_x, step.lower_x, step.weight)
        )
        near.setdefault(step.upper, []).append(
            (step.lower, step.lower_x, step.upper_x, step.weight)
        )
    for sweep in range(_SWEEPS * 4):
        downwards = sweep % 2 == 0
        for layer in layers if downwards else layers[::-1]:
            wanted, weights = [], []
            for node in layer:
                one_side = [
                    item for item in near.get(node, []) if (item[0].layer < node.layer) == downwards
                ]
                found = one_side or near.get(node, [])
                weight = sum(item[3] for item in found)
                place = node.x
                if weight:
                    place = (
                        sum(
                            (other.x + other_x - own_x) * part
                            for other, other_x, own_x, part in found
                        )
                        / weight
                    )
                wanted.append(place)
                weights.append(max(weight, 0.01))
            for node, x in zip(layer, _apart(layer, wanted, weights), strict=True):
                node.x = x


def _apart(layer: list[Node], wanted: list[float], weights: list[float]) -> list[float]:
    """Return the places nearest to those wanted that keep order and gaps, in least squares."""
    offsets, offset = [], 0.0
    for node in layer:
        offsets.append(offset)
        offset += node.width + GAP_X
    pools: list[tuple[float, float, int]] = []  # mean, weight, number of nodes
    for place, weight, shift in zip(wanted, weights, offsets, strict=True):
        pools.append((place - shift, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, much, many = pools.pop()
            mean_before, much_before, many_before = pools.pop()
            total = much + much_before
            pools.append(
                ((mean * much + mean_before * much_before) / total, total, many + many_before)
            )
    means = [mean for mean, _, many in pools for _ in range(many)]
    return [mean + shift for mean, shift in zip(means, offsets, strict=True)]


def _rows(layers: list[list[Node]], steps: list[_Step]) -> Iterator[Row]:
    y = 0.0
    lines: dict[int, set[Node]] = {}
    for step in steps:
        lines.setdefault(step.lower.layer, set()).add(step.upper)
    for place, layer in enumerate(layers):
        height = max(node.height for node in layer)
        for node in layer:
            node.y = y + (height - node.height) / 2
            if node.is_bend:
                node.y, node.height = y, height
        yield Row(tuple(layer), y, height, len(lines.get(place, ())))
        y += height + GAP_Y
