"""One way to run torch's recurrent kernels over sequences of different lengths."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

States = tuple[Tensor, ...]  # of a GRU (h,), of an LSTM (h, c)
Weights = tuple[Tensor, ...]  # weight_ih, weight_hh and, where there are biases, bias_ih, bias_hh

# Saturates a gate to exactly 0 or 1, whatever the state and the biases add, and fits into float16.
_SATURATED = 1e4


def run_layers(
    kind: str,
    x: Tensor,
    valid: Tensor | None,
    initial: States,
    weights: Sequence[Weights],
    *,
    num_directions: int,
    dropout: float,
) -> tuple[Tensor, States]:
    """Run a stack of layers, each in one or both directions.

    Args:
        kind: "lstm" or "gru".
        x: the sequences, (N, T, features), T from 1.
        valid: which steps exist, (N, T) of bool, in each sequence the first ones; None where all
            do. What the others hold has no effect.
        initial: the states before the first step, (len(weights), N, hidden_size) each.
        weights: those of each layer and direction, the directions of a layer side by side.
        num_directions: 1, or 2 for the reading from the end beside the one from the start.
        dropout: probability to drop a value between two layers.

    Returns:
        The answers, (N, T, num_directions * hidden_size), zero where a step does not exist, and
        the states after the last step of each sequence, shaped as `initial`.
    """
    if valid is not None:
        x = x.masked_fill(~valid[..., None], 0)
    last: list[States] = []
    while len(last) < len(weights):  # layer by layer
        above = F.dropout(x, dropout) if last and dropout else x
        answers = []
        for backwards in (False, True)[:num_directions]:
            states = tuple(state[len(last)] for state in initial)
            answer, states = _run_direction(
                _PASSES[kind], above, valid, states, weights[len(last)], backwards=backwards
            )
            answers.append(answer)
            last.append(states)
        x = torch.cat(answers, -1)
        if valid is not None:
            x = x.masked_fill(~valid[..., None], 0)
    return x, tuple(torch.stack(states) for states in zip(*last, strict=True))


def _run_direction(
    run: Callable[[Tensor, Tensor | None, States, Weights], tuple[Tensor, States]],
    x: Tensor,
    valid: Tensor | None,
    states: States,
    weights: Weights,
    *,
    backwards: bool,
) -> tuple[Tensor, States]:
    """Run one layer over sequences whose steps lie in front, from the start or from the end."""
    if not backwards:
        return run(x, valid, states, weights)
    steps = torch.arange(x.shape[1], device=x.device)
    mirrored = (x.shape[1] - 1 - steps).expand(x.shape[:2])
    if valid is not None:  # each sequence is turned around on its own, its padding stays behind
        lengths = valid.sum(1, keepdim=True)
        mirrored = torch.where(valid, lengths - 1 - steps, steps)
    answer, states = run(reordered(x, mirrored), valid, states, weights)
    return reordered(answer, mirrored), states


def _lstm_pass(
    x: Tensor, valid: Tensor | None, states: States, weights: Weights
) -> tuple[Tensor, States]:
    """Run an LSTM layer; `torch.lstm` gives each step's h, but c only at the very end."""
    if valid is not None:
        # So c has to survive the padding: one more feature, which is 1 there, shuts the input gate
        # and opens the forget gate.
        gates = weights[0].new_tensor([-_SATURATED, _SATURATED, 0.0, 0.0])
        column = gates.repeat_interleave(states[0].shape[-1])[:, None]
        weights = (torch.cat((weights[0], column), 1), *weights[1:])
        x = torch.cat((x, (~valid)[..., None].to(x.dtype)), -1)
    answer, h, c = torch.lstm(
        x,
        [state[None] for state in states],
        weights,
        has_biases=len(weights) == 4,
        num_layers=1,
        dropout=0.0,
        train=torch.is_grad_enabled(),  # cuDNN keeps what backward needs only then
        bidirectional=False,
        batch_first=True,
    )
    # Of one layer: (1, N, hidden_size), but compiled by torch 2.11 c comes with one more dim.
    return answer, (_last(answer, valid, states[0], h), c.reshape(states[1].shape))


def _gru_pass(
    x: Tensor, valid: Tensor | None, states: States, weights: Weights
) -> tuple[Tensor, States]:
    """Run a GRU layer."""
    answer, h = torch.gru(
        x,
        states[0][None],
        weights,
        has_biases=len(weights) == 4,
        num_layers=1,
        dropout=0.0,
        train=torch.is_grad_enabled(),
        bidirectional=False,
        batch_first=True,
    )
    return answer, (_last(answer, valid, states[0], h),)


_PASSES = {"lstm": _lstm_pass, "gru": _gru_pass}


def _last(answer: Tensor, valid: Tensor | None, initial: Tensor, h: Tensor) -> Tensor:
    """Return h after each sequence's last step; the initial one where there are no steps."""
    if valid is None:
        return h.reshape(initial.shape)
    lengths = valid.sum(1, keepdim=True)
    found = reordered(answer, (lengths - 1).clamp(min=0))[:, 0]
    return torch.where(lengths > 0, found, initial.to(found.dtype))


def reordered(x: Tensor, steps: Tensor) -> Tensor:
    """Return some steps of each sequence.

    Args:
        x: (N, T, features).
        steps: (N, any), numbers of steps.
    """
    return x.gather(1, steps[..., None].expand(-1, -1, x.shape[-1]))
