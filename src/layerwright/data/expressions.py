"""Expressions: arithmetic on digits as trees, or as the sequences of symbols that write them."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import torch

from layerwright.data.seeding import mixed_seed
from layerwright.data.splits import Data, TensorSplit
from layerwright.errors import OptionError

NUM_VALUES = 5  # expressions are computed on 0 .. 4, and so are their values
OPERATORS: dict[str, Callable[[Sequence[int]], int]] = {
    "max": max,
    "min": min,
    "sum": lambda values: sum(values) % NUM_VALUES,
}
SYMBOLS = ("", *map(str, range(NUM_VALUES)), *OPERATORS, ")")  # by token; token 0 fills up
FORMS = ("trees", "sequences")

_TOKENS = {symbol: token for token, symbol in enumerate(SYMBOLS)}
_MOST_ARGUMENTS = 3
_ENOUGH = 8  # leaves, for each split to have structures and expressions enough
_COUNTS = {"train": 8000, "validation": 1000, "test": 2000}
_SPLIT_OF_TENTH = (*["train"] * 7, "validation", "test", "test")  # of all structures


def load_expressions(
    form: str = "trees",
    *,
    leaves: tuple[int, int] = (3, 10),
    test_leaves: tuple[int, int] | None = None,
) -> Data:
    """Load 11,000 expressions such as `max(3, sum(1, 4), min(0, 2))`; their values are classes.

    Arguments are digits from 0 to 4 or expressions, two or three, in an order that does not
    matter; `sum` is taken modulo 5. Of the structures, which are what is left when digits are
    left out and arguments sorted, seven tenths are in the training split only, one in validation
    and two in test: a test expression differs from each training one by more than its digits. The
    expressions are the same for ever, and no two of a split are the same.

    | form        | inputs                                                                       |
    | ----------- | ---------------------------------------------------------------------------- |
    | "trees"     | tokens `(N, L)` of the nodes, operators and digits, and `(N, L)` the number  |
    |             | of each node's parent within its sample, -1 at the root                      |
    | "sequences" | tokens `(N, T)` as they are written, `max 3 sum 1 4 ) min 0 2 ) )`, and the  |
    |             | lengths `(N,)`                                                               |

    Both are int64, and token 0 fills up. Token t stands for `SYMBOLS[t]`.

    Args:
        form: "trees" or "sequences"; both hold the same expressions.
        leaves: the least and the largest number of digits of an expression.
        test_leaves: likewise, for the test split; None takes `leaves`.

    Raises:
        OptionError: the form is unknown, or the numbers of leaves are impossible or too small.

    Reference:
        Nangia and Bowman (2018), "ListOps: a diagnostic dataset for latent tree learning",
        https://arxiv.org/abs/1804.06028 (the kind of task, and the written form).
    """
    if form not in FORMS:
        raise OptionError(f"form expected {' or '.join(FORMS)}, received {form!r}.")
    if test_leaves is None:
        drawn = _drawn(leaves, tuple(_COUNTS))
    else:
        drawn = _drawn(leaves, ("train", "validation")) | _drawn(test_leaves, ("test",))
    most = {"test": (test_leaves or leaves)[1]}
    tensors = _as_trees if form == "trees" else _as_sequences
    splits = {name: tensors(found, most.get(name, leaves[1])) for name, found in drawn.items()}
    return Data(
        "expressions" if form == "trees" else "expression-sequences",
        "classification",
        splits["train"],
        splits["validation"],
        splits["test"],
        input_shape=splits["train"].input_shapes[0],
        num_classes=NUM_VALUES,
        class_names=SYMBOLS[1 : NUM_VALUES + 1],
        target_shape=(),
    )


@dataclass(frozen=True)
class Expression:
    """A digit, or an operator with its arguments.

    Attributes:
        symbol: of `SYMBOLS`.
        arguments: none for a digit.
    """

    symbol: str
    arguments: tuple["Expression", ...] = ()

    def value(self) -> int:
        """Return what the expression comes to."""
        if not self.arguments:
            return int(self.symbol)
        return OPERATORS[self.symbol]([argument.value() for argument in self.arguments])

    def structure(self) -> str:
        """Return the operators and how they are nested, whatever the digits and the order."""
        inside = ",".join(sorted(argument.structure() for argument in self.arguments))
        return f"{self.symbol}({inside})" if inside or self.arguments else "."

    def written(self) -> Iterator[str]:
        """Yield the symbols that write the expression: an operator opens what a ) closes."""
        yield self.symbol
        for argument in self.arguments:
            yield from argument.written()
        if self.arguments:
            yield SYMBOLS[-1]

    def nodes(self, parent: int = -1, number: int = 0) -> Iterator[tuple[str, int]]:
        """Yield each node's symbol and its parent's number; nodes are numbered in this order."""
        yield self.symbol, parent
        following = number + 1
        for argument in self.arguments:
            inner = list(argument.nodes(number, following))
            yield from inner
            following += len(inner)


def _drawn(leaves: tuple[int, int], names: Sequence[str]) -> dict[str, list[Expression]]:
    """Draw the expressions of some splits.

    Only `random.Random.random` is drawn from: its sequence is promised to stay.
    """
    least, most = leaves
    if not 2 <= least <= most or most < _ENOUGH:
        raise OptionError(
            f"expressions expected the least and the largest number of leaves, from 2 and from "
            f"{_ENOUGH}, received {leaves}. Fix: let expressions grow, so that there are enough."
        )
    draw = random.Random(mixed_seed("expressions", least, most)).random  # noqa: S311 - no secret
    found: dict[str, dict[Expression, None]] = {name: {} for name in names}
    missing = set(names)
    while missing:
        expression = _draw(least + int(draw() * (most - least + 1)), draw)
        name = _SPLIT_OF_TENTH[_tenth(expression.structure())]
        if name in missing:
            found[name][expression] = None
            if len(found[name]) == _COUNTS[name]:
                missing.remove(name)
    return {name: list(expressions) for name, expressions in found.items()}


def _draw(num_leaves: int, draw: Callable[[], float]) -> Expression:
    """Draw an expression with this many digits."""
    if num_leaves == 1:
        return Expression(str(int(draw() * NUM_VALUES)))
    symbol = tuple(OPERATORS)[int(draw() * len(OPERATORS))]
    num_arguments = 2 + int(draw() * (min(_MOST_ARGUMENTS, num_leaves) - 1))
    sizes = [1] * num_arguments
    for _ in range(num_leaves - num_arguments):
        sizes[int(draw() * num_arguments)] += 1
    return Expression(symbol, tuple(_draw(size, draw) for size in sizes))


def _tenth(structure: str) -> int:
    """Return to which tenth of all structures this one belongs."""
    return int.from_bytes(blake2b(structure.encode(), digest_size=8).digest(), "little") % 10


def _as_trees(expressions: Sequence[Expression], most: int) -> TensorSplit:
    shape = len(expressions), 2 * most - 1
    tokens, parents = torch.zeros(shape, dtype=torch.int64), torch.full(shape, -1)
    for row, expression in enumerate(expressions):
        symbols, above = zip(*expression.nodes(), strict=True)
        tokens[row, : len(symbols)] = torch.tensor([_TOKENS[symbol] for symbol in symbols])
        parents[row, : len(above)] = torch.tensor(above)
    return TensorSplit((tokens, parents), _values(expressions))


def _as_sequences(expressions: Sequence[Expression], most: int) -> TensorSplit:
    tokens = torch.zeros(len(expressions), 3 * most - 2, dtype=torch.int64)
    lengths = []
    for row, expression in enumerate(expressions):
        symbols = [_TOKENS[symbol] for symbol in expression.written()]
        tokens[row, : len(symbols)] = torch.tensor(symbols)
        lengths.append(len(symbols))
    return TensorSplit((tokens, torch.tensor(lengths)), _values(expressions))


def _values(expressions: Sequence[Expression]) -> torch.Tensor:
    return torch.tensor([expression.value() for expression in expressions])
