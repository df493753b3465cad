"""Scores as functions of the embedded words, so that attributions can be computed at them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from layerwright.errors import OptionError
from layerwright.initialization.examples import tensors_in
from layerwright.initialization.signal.watching import roles_of


class EmbeddedText:
    """One text at the place where its numbers have become vectors.

    Args:
        network: takes tokens `(N, L)` and lengths `(N,)`, in eval mode.
        tokens: of the text, `(1, L)`.
        lengths: `(1,)`.
        padding: the token that says nothing.

    Raises:
        OptionError: no embedding gives the words a vector each, or several do.
    """

    def __init__(
        self, network: nn.Module, tokens: Tensor, lengths: Tensor, *, padding: int
    ) -> None:
        self._network, self._tokens, self._lengths = network, tokens, lengths
        self._table, numbers = self._find()
        with torch.no_grad():
            self.point: Tensor = self._table(numbers)
            self.baseline: Tensor = self._table(torch.full_like(numbers, padding))

    def score(self, read: Callable[[Any], Tensor]) -> Callable[[Tensor], Tensor]:
        """Return the score as a function of vectors `(n, P, E)`.

        Args:
            read: from the network's output to scores `(n,)`.
        """

        def of_vectors(vectors: Tensor) -> Tensor:
            number = len(vectors)
            handle = self._table.register_forward_hook(lambda *_: vectors)
            try:
                output = self._network(
                    self._tokens.expand(number, -1), self._lengths.expand(number)
                )
            finally:
                handle.remove()
            return read(output)

        return of_vectors

    def _find(self) -> tuple[nn.Module, Tensor]:
        """Find the embedding that reads the text, and the numbers that it is given."""
        calls: list[tuple[nn.Module, Tensor, Any]] = []

        def note(module: nn.Module, args: Any, output: Any) -> None:
            calls.extend((module, given, output) for given in tensors_in(args))

        tables = [module for module, role in roles_of(self._network).items() if role == "table"]
        handles = [table.register_forward_hook(note) for table in tables]
        try:
            with torch.no_grad():
                self._network(self._tokens, self._lengths)
        finally:
            for handle in handles:
                handle.remove()
        length = self._tokens.shape[1]
        found = [
            (module, given)
            for module, given, output in calls
            if given.dim() == 2
            and torch.equal(given[:, :length].long(), self._tokens.long())
            and isinstance(output, Tensor)
            and output.dim() == 3
            and output.shape[:2] == given.shape
        ]
        if len(found) != 1 or sum(module is found[0][0] for module, _, _ in calls) != 1:
            raise OptionError(
                f"an explanation expected {type(self._network).__name__} to look each word up once "
                f"in one nn.Embedding, (1, {length}) to (1, {length}, features), and found "
                f"{len(found)} such calls. Fix: explain a network that does."
            )
        return found[0]
