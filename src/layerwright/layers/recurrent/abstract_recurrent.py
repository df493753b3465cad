"""What layers that read sequences step by step have in common."""

from operator import index
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.recurrent.gate_parameters import draw_gates, register_gates
from layerwright.layers.recurrent.sequence_pass import States, Weights, reordered, run_layers

Hx = Tensor | tuple[Tensor, Tensor]


class AbstractRecurrent(nn.Module):
    """A stack of recurrent layers that takes sequences of different lengths.

    Subclasses name their kernel, their number of gates and of directions; names, shapes, order
    and start of the parameters are torch's, whose state dicts can be loaded.

    Args:
        input_size: number of features of a step.
        hidden_size: number of features of the state.
        num_layers: number of layers; each reads the answers of the one before.
        bias: learn biases.
        dropout: probability to drop a value between two layers, in training.
        device: where the parameters live.
        dtype: type of the parameters.

    Raises:
        OptionError: a size is no whole number from 1, or dropout lies outside [0, 1].
    """

    kind: ClassVar[str]
    num_gates: ClassVar[int]
    num_states: ClassVar[int]
    num_directions: ClassVar[int] = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        *,
        dropout: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        layer = type(self).__name__
        self.input_size = whole_number(layer, "input_size", input_size)
        self.hidden_size = whole_number(layer, "hidden_size", hidden_size)
        self.num_layers = whole_number(layer, "num_layers", num_layers)
        if not 0 <= dropout <= 1:
            raise OptionError(
                f"{layer} expected dropout to be a probability in [0, 1], received {dropout!r}."
            )
        self.bias = bias
        self.dropout = dropout
        rows = self.num_gates * self.hidden_size
        for place, names in enumerate(self._names()):
            first = place < self.num_directions
            columns = self.input_size if first else self.num_directions * self.hidden_size
            shapes = [(rows, columns), (rows, self.hidden_size), (rows,), (rows,)]
            named = dict(zip(names, shapes, strict=False))
            register_gates(self, named, device=device, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters from the uniform distribution in ±1/sqrt(hidden_size)."""
        draw_gates(self, self.hidden_size)

    def _names(self) -> list[tuple[str, ...]]:
        """Return the parameters' names for each layer and direction."""
        kinds = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if self.bias else ()))
        return [
            tuple(f"{kind}_l{layer}{suffix}" for kind in kinds)
            for layer in range(self.num_layers)
            for suffix in ("", "_reverse")[: self.num_directions]
        ]

    def _run(self, x: Tensor, lengths: Tensor | None, mask: Tensor | None, hx: Hx | None) -> Any:
        """Return the answers and the last state, as torch's layer of this name does."""
        return read_sequences(
            type(self).__name__,
            self.kind,
            (self.num_states, self.num_directions, self.input_size, self.hidden_size),
            x,
            lengths,
            mask,
            hx,
            [tuple(getattr(self, name) for name in names) for names in self._names()],
            self.dropout if self.training else 0.0,
        )

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return (
            f"input_size={self.input_size}, hidden_size={self.hidden_size}, "
            f"num_layers={self.num_layers}, bias={self.bias}, dropout={self.dropout}"
        )


@torch.fx.wrap  # symbolic tracing records the call and leaves its decisions to the run
def read_sequences(
    layer: str,
    kind: str,
    sizes: tuple[int, int, int, int],
    x: Tensor,
    lengths: Tensor | None,
    mask: Tensor | None,
    hx: Hx | None,
    weights: list[Weights],
    dropout: float,
) -> tuple[Tensor, Hx]:
    """Check and complete the arguments of forward, and run the layers.

    Args:
        layer: name of the layer, for messages.
        kind: "lstm" or "gru".
        sizes: number of states and directions, input_size, hidden_size.
        x: (N, T, input_size) or (T, input_size).
        lengths: number of steps of each sequence, or None.
        mask: which steps exist, or None.
        hx: initial state, or None for zeros.
        weights: of each layer and direction.
        dropout: probability to drop a value between two layers.

    Raises:
        OptionError: lengths and mask are both given.
        ShapeError: a tensor does not fit.
    """
    num_states, num_directions, input_size, hidden_size = sizes
    if x.dim() not in (2, 3) or x.shape[-1] != input_size:
        raise ShapeError(
            f"{layer} expected (N, T, {input_size}) or (T, {input_size}), "
            f"received {tuple(x.shape)}. "
            f"Fix: features last and samples first, or build the layer with another input_size."
        )
    outer = x.shape[:-2]
    _check_steps(layer, x, lengths, mask)
    shape = (len(weights), *outer, hidden_size)
    initial = _states(layer, hx, num_states, shape, x)
    if x.dim() == 2:
        x, initial = x[None], tuple(state[:, None] for state in initial)
    valid = _valid(x, lengths, mask)
    order = None
    if valid is not None and mask is not None:  # the steps that exist move to the front
        order = torch.argsort((~valid).to(torch.uint8), dim=1, stable=True)
        x, valid = reordered(x, order), valid.gather(1, order)
    if x.shape[1]:
        y, last = run_layers(
            kind, x, valid, initial, weights, num_directions=num_directions, dropout=dropout
        )
    else:  # the kernels insist on a step
        y, last = x.new_zeros(x.shape[0], 0, num_directions * hidden_size), initial
    if order is not None:
        y = reordered(y, order.argsort(dim=1))
    if not outer:
        y, last = y[0], tuple(state[:, 0] for state in last)
    return y, (last[0], last[1]) if num_states == 2 else last[0]


def _check_steps(layer: str, x: Tensor, lengths: Tensor | None, mask: Tensor | None) -> None:
    if lengths is not None and mask is not None:
        raise OptionError(f"{layer} expected lengths or mask, received both.")
    if lengths is not None and (
        lengths.shape != x.shape[:-2]
        or lengths.dtype == torch.bool
        or lengths.is_floating_point()
        or lengths.is_complex()
    ):
        raise ShapeError(
            f"{layer} expected lengths to be whole numbers of shape {tuple(x.shape[:-2])}, one for "
            f"each sequence, received {lengths.dtype} of shape {tuple(lengths.shape)}."
        )
    if mask is not None and (mask.shape != x.shape[:-1] or mask.dtype != torch.bool):
        raise ShapeError(
            f"{layer} expected mask to be torch.bool of shape {tuple(x.shape[:-1])}, True where a "
            f"step exists, received {mask.dtype} of shape {tuple(mask.shape)}."
        )


def _states(
    layer: str, hx: Hx | None, num_states: int, shape: tuple[int, ...], x: Tensor
) -> States:
    """Return the initial states: what was given, or zeros."""
    if hx is None:
        return tuple(x.new_zeros(shape) for _ in range(num_states))
    states = (hx,) if isinstance(hx, Tensor) else tuple(hx)
    if len(states) != num_states or any(state.shape != shape for state in states):
        found = ", ".join(str(tuple(state.shape)) for state in states)
        raise ShapeError(
            f"{layer} expected hx to hold {('h', 'h and c')[num_states - 1]} "
            f"of shape {shape}, received {found}."
        )
    return states


def _valid(x: Tensor, lengths: Tensor | None, mask: Tensor | None) -> Tensor | None:
    """Return which steps exist, (N, T); None if all do."""
    if mask is not None:
        return mask.reshape(x.shape[:2])
    if lengths is None:
        return None
    steps = torch.arange(x.shape[1], device=x.device)
    return steps < lengths.to(x.device).reshape(-1, 1)


def whole_number(layer: str, option: str, value: int) -> int:
    """Return `value` as a whole number from 1.

    Args:
        layer: name of the layer, for the message.
        option: name of the option, for the message.
        value: what was given.

    Raises:
        OptionError: it is none.
    """
    try:
        size = index(value)
    except TypeError:
        size = 0
    if size < 1:
        raise OptionError(
            f"{layer} expected {option} to be a whole number from 1, received {value!r}."
        )
    return size
