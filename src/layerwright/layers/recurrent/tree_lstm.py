"""Long short-term memory over trees."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layerwright.errors import ShapeError
from layerwright.layers.recurrent.abstract_recurrent import whole_number
from layerwright.layers.recurrent.gate_parameters import draw_gates, register_gates
from layerwright.layers.recurrent.tree_levels import Levels, levels_of


class TreeLSTM(nn.Module):
    r"""Read trees from the leaves to the root; each node sums up its children (child-sum).

    For a node with features x and children k, in any number and in no order:

    $$ \begin{aligned}
       \tilde h &= \sum_k h_k, \qquad f_k = \sigma(W_f x + U_f h_k + b_f) \\
       i &= \sigma(W_i x + U_i \tilde h + b_i), \quad
       g = \tanh(W_g x + U_g \tilde h + b_g), \quad
       o = \sigma(W_o x + U_o \tilde h + b_o) \\
       c &= i \odot g + \sum_k f_k \odot c_k, \qquad h = o \odot \tanh(c) \end{aligned} $$

    A batch is a forest: the nodes of all trees in one tensor, in any order, and for each node the
    number of its parent. All nodes of the same depth are computed together, so that the number of
    steps is the depth of the deepest tree. A chain is an ordinary LSTM that reads from the leaf.

    | tensor      | shape                         | note                                         |
    | ----------- | ----------------------------- | -------------------------------------------- |
    | `x`         | `(M, input_size)`             | features of the M nodes of all trees         |
    | `parent`    | `(M,)`                        | whole numbers; -1 at a root                  |
    | `h`, `c`    | `(M, hidden_size)`            | of each node; `h[parent == -1]` is the roots'|
    | `weight_ih` | `(4 hidden_size, input_size)` | W: rows of i, f, g and o, one after another  |
    | `weight_hh` | `(4 hidden_size, hidden_size)`| U, likewise                                  |
    | `bias`      | `(4 hidden_size,)`            | b; None without                              |

    The number of nodes at each depth is read from `parent`: on an accelerator that waits for the
    device, and `torch.compile` and `torch.export` cannot take it into one graph.

    Args:
        input_size: number of features of a node.
        hidden_size: number of features of h and c.
        bias: learn biases.
        device: where the parameters live.
        dtype: type of the parameters.

    Raises:
        OptionError: a size is no whole number from 1.
        ShapeError: at the call, where a tensor does not fit, a parent is no node, or nodes are
            their own ancestors.

    Example:
        >>> parent = torch.tensor([-1, 0, 0, -1])  # a root with two leaves, and a single node
        >>> h, c = TreeLSTM(3, 5)(torch.randn(4, 3), parent)
        >>> h[parent == -1].shape
        torch.Size([2, 5])

    Reference:
        Tai, Socher and Manning (2015), "Improved semantic representations from tree-structured
        long short-term memory networks", section 3.1, https://arxiv.org/abs/1503.00075
    """

    weight_ih: nn.Parameter
    weight_hh: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.input_size = whole_number("TreeLSTM", "input_size", input_size)
        self.hidden_size = whole_number("TreeLSTM", "hidden_size", hidden_size)
        rows = 4 * self.hidden_size
        shapes = {
            "weight_ih": (rows, self.input_size),
            "weight_hh": (rows, self.hidden_size),
            "bias": (rows,) if bias else None,
        }
        register_gates(self, shapes, device=device, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters from the uniform distribution in ±1/sqrt(hidden_size)."""
        draw_gates(self, self.hidden_size)

    def forward(self, x: Tensor, parent: Tensor) -> tuple[Tensor, Tensor]:
        """Return h and c of all nodes.

        Args:
            x: features of the nodes of all trees, (M, input_size).
            parent: the number of each node's parent, -1 at a root; (M,).
        """
        return read_trees(x, parent, self.weight_ih, self.weight_hh, self.bias)

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return (
            f"input_size={self.input_size}, hidden_size={self.hidden_size}, "
            f"bias={self.bias is not None}"
        )


@torch.fx.wrap  # symbolic tracing records the call and leaves its decisions to the run
def read_trees(
    x: Tensor, parent: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Compute the child-sum tree LSTM of `TreeLSTM`, from the deepest nodes to the roots.

    Args:
        x: (M, input_size).
        parent: (M,).
        weight_ih: (4 hidden_size, input_size).
        weight_hh: (4 hidden_size, hidden_size).
        bias: (4 hidden_size,), or None.

    Raises:
        ShapeError: a tensor does not fit, a parent is no node, or nodes form a circle.
    """
    if x.dim() != 2 or x.shape[1] != weight_ih.shape[1]:
        raise ShapeError(
            f"TreeLSTM expected x of shape (M, {weight_ih.shape[1]}), received {tuple(x.shape)}. "
            f"Fix: put the nodes of all trees into one dim, or build the layer with another "
            f"input_size."
        )
    levels = levels_of(x.shape[0], parent)
    gates = F.linear(x, weight_ih, bias)[levels.order]
    weight_f = weight_hh.chunk(4)[1]
    h_sum = kept = gates.new_zeros(levels.sizes[-1] if levels.sizes else 0, weight_hh.shape[1])
    found: list[tuple[Tensor, Tensor]] = []
    for depth, of_level in reversed(list(enumerate(gates.split(levels.sizes)))):
        i, _, g, o = (of_level + F.linear(h_sum, weight_hh)).chunk(4, dim=-1)
        c = torch.sigmoid(i) * torch.tanh(g) + kept
        h = torch.sigmoid(o) * torch.tanh(c)
        found.append((h, c))
        if depth:
            h_sum, kept = _summed_up(levels, depth, gates, weight_f, h, c)
    if not found:
        return h_sum, kept
    back = levels.order.argsort()
    h, c = (torch.cat(parts[::-1])[back] for parts in zip(*found, strict=True))
    return h, c


def _summed_up(
    levels: Levels, depth: int, gates: Tensor, weight_f: Tensor, h: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    """Return, for each node of the level above, the sum of its children's h and kept c."""
    above = gates.split(levels.sizes)[depth - 1]
    place = levels.parents[depth]
    f = torch.sigmoid(above.chunk(4, dim=-1)[1][place] + F.linear(h, weight_f))
    nothing = h.new_zeros(above.shape[0], h.shape[1])
    return nothing.index_add(0, place, h), nothing.index_add(0, place, f * c)
