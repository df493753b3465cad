"""What is drawn: modules as nested boxes, operators, and the tensors between them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["module", "box", "operator", "choice", "input", "output"]


@dataclass(eq=False)
class Item:
    """Something that is drawn.

    Attributes:
        key: unique, such as "n3".
        kind: "module": one that is folded, or has no parts; "box": one that is unfolded;
            "operator"; "choice": an operator that reads values; "input"; "output".
        title: its name.
        detail: a second line, such as the class of a module; "" for none.
        owner: the box that it stands in; None for the network's.
        call: which call of a module that is called several times; 0 if it is called once.
        num_calls: how often its module is called.
        times: how many calls it stands for: those of a loop are drawn once.
        failed: whether it is what raised.
        depends_on_values: whether it, or something inside, reads values.
        parts: what stands in a box.
    """

    key: str
    kind: Kind
    title: str
    detail: str = ""
    owner: "Item | None" = None
    call: int = 0
    num_calls: int = 1
    times: int = 1
    failed: bool = False
    depends_on_values: bool = False
    parts: list["Item"] = field(default_factory=list)

    def walk(self) -> Iterator["Item"]:
        """Yield it and all inside."""
        yield self
        for part in self.parts:
            yield from part.walk()

    @property
    def boxes(self) -> list["Item"]:
        """The boxes that it stands in, the innermost first."""
        found, box = [], self.owner
        while box is not None:
            found.append(box)
            box = box.owner
        return found


@dataclass(frozen=True)
class Edge:
    """A tensor on its way.

    Attributes:
        start: where it comes from; no box.
        end: where it goes; no box.
        label: its shape, and its dtype if that is not float32.
        is_mask: whether it is a tensor of truth values.
        is_skip: whether another, longer way leads there too, as around a residual branch.
    """

    start: Item
    end: Item
    label: str
    is_mask: bool = False
    is_skip: bool = False


@dataclass(frozen=True)
class Drawing:
    """A network to be drawn.

    Attributes:
        root: the network's box.
        edges: the tensors.
        depth: levels of modules that are shown.
        deepest: levels that there are.
        num_folded: modules that are not shown.
    """

    root: Item
    edges: tuple[Edge, ...]
    depth: int
    deepest: int
    num_folded: int

    def items(self) -> Iterator[Item]:
        """Yield all that is drawn but the network's box."""
        for part in self.root.parts:
            yield from part.walk()
