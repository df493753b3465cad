"""Choose what is drawn of a recorded pass: modules folded at a depth, tensors between them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn

from layerwright.contract.trees import dtype_name
from layerwright.inspection.graph.items import Drawing, Edge, Item, Kind
from layerwright.inspection.graph.tracing import Step, TracedCall, Value

_MOST_CALLS = 6  # of one module in one box that are drawn one by one
_SIGNS = {
    "__add__": "+", "__radd__": "+", "__iadd__": "+", "__mul__": "*", "__rmul__": "*",
    "__matmul__": "@", "__sub__": "-", "__truediv__": "/", "__getitem__": "[...]",
    "__setitem__": "[...] =", "__bool__": "if", "add": "+", "add_": "+", "mul": "*", "mul_": "*",
    "sub": "-", "rsub": "-", "div": "/", "matmul": "@", "bitwise_and": "and", "bitwise_or": "or",
}  # fmt: skip


def drawing_of(root: TracedCall, depth: int) -> Drawing:
    """Choose what is drawn.

    Args:
        root: a recorded pass.
        depth: levels of modules to show, from 1.
    """
    deepest = max(levels_of(root), 1)
    return _Builder(root, min(depth, deepest), deepest).drawing()


def levels_of(call: TracedCall) -> int:
    """Return how many levels of modules there are below a call."""
    parts = [part for part in call.parts if isinstance(part, TracedCall)]
    return max((1 + levels_of(part) for part in parts), default=0)


class _Builder:
    """Builds the drawing of a recorded pass, unfolded to a depth."""

    def __init__(self, root: TracedCall, depth: int, deepest: int) -> None:
        self._root, self._depth, self._deepest = root, depth, deepest
        self._items: dict[TracedCall | Step, Item] = {}
        self._ends: dict[Value, Item] = {}  # the inputs of the network
        self._starts: dict[Value, list[Item]] = {}
        self._count = 0
        self._num_calls: dict[int, int] = {}
        self._owners: dict[int, tuple[nn.Module, str]] = {}  # of each parameter, the first
        for path, module in root.module.named_modules():
            for name, parameter in module.named_parameters(recurse=False):
                self._owners.setdefault(id(parameter), (module, f"{path}.{name}"))
        for call in root.calls():
            self._num_calls[id(call.module)] = self._num_calls.get(id(call.module), 0) + 1

    def drawing(self) -> Drawing:
        reads = any(step.reads_values for step in self._root.steps())
        top = self._item("box", type(self._root.module).__name__, None, depends_on_values=reads)
        self._items[self._root] = top
        self._fill(self._root, top, 0)
        for place, value in enumerate(self._root.takes):
            name = "input" if len(self._root.takes) == 1 else f"input {place}"
            item = self._item("input", name, top, detail=_form(value))
            top.parts.insert(place, item)
            self._ends[value] = item
        edges = list(self._edges())
        for place, value in enumerate(self._root.makes):
            name = "output" if len(self._root.makes) == 1 else f"output {place}"
            item = self._item("output", name, top, detail=_form(value))
            top.parts.append(item)
            edges += [_edge(start, item, value) for start in self._starts_of(value)]
        edges = self._without_dead_ends(top, _unique(edges))
        num_folded = sum(1 for call in self._root.calls() if call not in self._items)
        return Drawing(top, tuple(_with_skips(edges)), self._depth, self._deepest, num_folded)

    def _item(self, kind: Kind, title: str, owner: Item | None, **more: object) -> Item:
        self._count += 1
        return Item(f"n{self._count}", kind, title, owner=owner, **more)  # type: ignore[arg-type]

    def _fill(self, call: TracedCall, box: Item, level: int) -> None:
        """Put the parts of a call into its box; many calls of one module become one item."""
        modules = Counter(id(part.module) for part in call.parts if isinstance(part, TracedCall))
        has_loop = any(number > _MOST_CALLS for number in modules.values())
        steps = Counter(part.name for part in call.parts if isinstance(part, Step))
        merged: dict[int | str, Item] = {}
        for part in call.parts:
            if isinstance(part, Step):
                key: int | str = part.name
                repeats = has_loop and steps[part.name] > _MOST_CALLS
            else:
                key, repeats = id(part.module), modules[id(part.module)] > _MOST_CALLS
            item = merged.get(key)
            if item is not None and not (isinstance(part, Step) and _is_passed_through(part)):
                item.times += 1
                item.failed = item.failed or self._fails(part)
                self._items[part] = item
                continue
            if isinstance(part, Step):
                item = self._operator(part, box)
                if item is None:
                    continue
            else:
                item = self._module(part, call, box, level + 1, folded=repeats)
            if repeats:
                item.call = 0
                merged[key] = item
            self._items[part] = item
            box.parts.append(item)

    def _fails(self, part: TracedCall | Step) -> bool:
        """Tell whether a call raised, and none of those inside."""
        return (
            isinstance(part, TracedCall)
            and not part.finished
            and all(inner.finished for inner in part.parts if isinstance(inner, TracedCall))
        )

    def _operator(self, step: Step, box: Item) -> Item | None:
        if step.reads_values:
            name = _SIGNS.get(step.name, step.name.strip("_"))
            return self._item("choice", name, box, detail="reads values", depends_on_values=True)
        if _is_passed_through(step) or not any(value.matters for value in step.takes):
            return None
        detail = ", ".join(step.parameters)
        name = _SIGNS.get(step.name, step.name.strip("_"))
        return self._item("operator", name, box, detail=detail)

    def _module(
        self, call: TracedCall, above: TracedCall, box: Item, level: int, *, folded: bool
    ) -> Item:
        has_parts = any(isinstance(part, TracedCall) for part in call.parts)
        prefix = f"{above.path}." if above.path else ""
        calls = self._num_calls[id(call.module)]
        folded_away = folded or level >= self._depth
        item = self._item(
            "box" if has_parts and level < self._depth and not folded else "module",
            call.path.removeprefix(prefix) or type(call.module).__name__,
            box,
            detail=", ".join([type(call.module).__name__, *self._tied(call.module)]),
            call=call.call if calls > 1 else 0,
            num_calls=calls,
            failed=self._fails(call) or (folded_away and not call.finished),
            depends_on_values=any(step.reads_values for step in call.steps()),
        )
        if item.kind == "box":
            self._fill(call, item, level)
        return item

    def _tied(self, module: nn.Module) -> Iterator[str]:
        """Name the parameters that an earlier module owns too."""
        for name, parameter in module.named_parameters(recurse=False):
            owner, path = self._owners.get(id(parameter), (module, ""))
            if owner is not module:
                yield f"{name} = {path}"

    def _visible(self, step: Step) -> Item | None:
        """Return what stands for a step: itself, or the folded module that it is in."""
        above: list[TracedCall] = []
        call: TracedCall | None = step.owner
        while call is not None:
            above.append(call)
            call = call.owner
        for outer in reversed(above):
            item = self._items.get(outer)
            if item is not None and item.kind == "module":
                return item
        return self._items.get(step)

    def _starts_of(self, value: Value) -> list[Item]:
        """Return where a tensor comes from, behind all that only moves it or makes masks."""
        if value in self._starts:
            return self._starts[value]
        maker, found = value.maker, list[Item]()
        if maker is None:
            found = [self._ends[value]] if value in self._ends else []
        elif (item := self._visible(maker)) is not None:
            found = [item]
        elif _is_passed_through(maker):
            found = [start for taken in maker.takes for start in self._starts_of(taken)]
        self._starts[value] = list(dict.fromkeys(found))
        return self._starts[value]

    def _edges(self) -> Iterator[Edge]:
        for step in self._root.steps():
            end = self._visible(step)
            if end is not None:
                yield from self._edges_to(end, step.takes)
        for call in self._root.calls():
            end = self._items.get(call)
            if end is not None and end.kind == "module":
                yield from self._edges_to(end, call.takes)

    def _edges_to(self, end: Item, takes: list[Value]) -> Iterator[Edge]:
        for value in takes:
            for start in self._starts_of(value):
                if start is not end:
                    yield _edge(start, end, value)

    def _without_dead_ends(self, top: Item, edges: list[Edge]) -> list[Edge]:
        """Take away operators whose result nobody needs."""
        while True:
            used = {edge.start for edge in edges}
            dead = {item for item in top.walk() if item.kind == "operator" and item not in used}
            if not dead:
                return edges
            for item in dead:
                if item.owner is not None:
                    item.owner.parts.remove(item)
            edges = [edge for edge in edges if edge.end not in dead]


def _form(value: Value) -> str:
    shape = "x".join(map(str, value.shape)) or "scalar"
    dtype = dtype_name(value.dtype)
    return shape if dtype == "float32" else f"{shape} {dtype}"


def _edge(start: Item, end: Item, value: Value) -> Edge:
    return Edge(start, end, _form(value), is_mask=value.dtype is torch.bool)


def _is_passed_through(step: Step) -> bool:
    """Tell whether a step is not worth a place: it only moves a tensor, or makes a mask."""
    masks = bool(step.makes) and all(value.dtype is torch.bool for value in step.makes)
    return step.only_moves or (masks and not step.reads_values)


def _unique(edges: list[Edge]) -> list[Edge]:
    """Keep one edge between two items, and none that leads back to the start of a loop."""
    found: dict[tuple[Item, Item], Edge] = {}
    for edge in sorted(edges, key=lambda item: item.is_mask):
        is_inside = edge.start.kind != "input" and edge.end.kind != "output"
        if is_inside and int(edge.end.key[1:]) < int(edge.start.key[1:]):
            continue
        found.setdefault((edge.start, edge.end), edge)
    return list(found.values())


def _with_skips(edges: list[Edge]) -> list[Edge]:
    """Mark edges that a longer way goes around."""
    after: dict[Item, list[Item]] = {}
    for edge in edges:
        if edge.is_mask:
            continue
        after.setdefault(edge.start, []).append(edge.end)
    order = _in_order(after)
    reach: dict[Item, set[Item]] = {}
    for item in reversed(order):
        reach[item] = {other for end in after.get(item, ()) for other in {end, *reach[end]}}
    return [
        replace(
            edge,
            is_skip=not edge.is_mask
            and any(
                edge.end in reach[other] for other in after[edge.start] if other is not edge.end
            ),
        )
        for edge in edges
    ]


def _in_order(after: dict[Item, list[Item]]) -> list[Item]:
    """Return the items so that each stands before those that its tensors reach."""
    order: list[Item] = []
    seen: set[Item] = set()
    for first in list(after):
        waiting = [(first, iter(after.get(first, ())))]
        if first in seen:
            continue
        seen.add(first)
        while waiting:
            item, ends = waiting[-1]
            for end in ends:
                if end not in seen:
                    seen.add(end)
                    waiting.append((end, iter(after.get(end, ()))))
                    break
            else:
                order.append(item)
                waiting.pop()
    return order[::-1]
