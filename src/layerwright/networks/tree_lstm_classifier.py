"""A classifier of trees."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from layerwright.errors import ShapeError
from layerwright.layers.linear.linear import Linear
from layerwright.layers.recurrent.tree_lstm import TreeLSTM
from layerwright.networks.checked_arguments import check_counts
from layerwright.networks.text_inputs import PADDING


class TreeLSTMClassifier(nn.Module):
    r"""Embed the nodes of each tree, read it from the leaves to the root, classify the root.

        (L,) -> embed, e -> TreeLSTM, h -> state of the root -> logits

    Children of a node are summed up: their order has no effect, nor has the order in which the
    nodes of a tree are given. Nodes of all trees that lie at the same depth are computed together.

    | tensor   | shape              | note                                                        |
    | -------- | ------------------ | ----------------------------------------------------------- |
    | `tokens` | `(N, L)`           | int64, what stands at each node; 0 fills up                 |
    | `parent` | `(N, L)`           | int64, the place in the same row of each node's parent, -1  |
    |          |                    | at the root; anything where tokens is 0                     |
    | output   | `(N, num_classes)` | logits; the loss applies the softmax                        |

    Of a row with several roots the states of the roots are summed up. A row without nodes gets the
    answer to a state of zero.

    Args:
        vocabulary_size: number of different tokens, the padding included.
        num_classes: number of logits per tree.
        embed_dim: number of features of a node.
        hidden_size: number of features of the state.

    Raises:
        OptionError: a number is below 1.
        ShapeError: in forward, when the inputs have other shapes, or a parent lies outside its row
            or is its own descendant.

    Example:
        >>> tokens, parent = torch.tensor([[6, 1, 2, 0]]), torch.tensor([[-1, 0, 0, -1]])
        >>> TreeLSTMClassifier(10, 5)(tokens, parent).shape
        torch.Size([1, 5])

    Reference:
        Tai, Socher and Manning (2015), "Improved semantic representations from tree-structured
        long short-term memory networks", https://arxiv.org/abs/1503.00075
    """

    image_size: ClassVar[int | None] = None

    def __init__(
        self,
        vocabulary_size: int,
        num_classes: int,
        *,
        embed_dim: int = 32,
        hidden_size: int = 64,
    ) -> None:
        super().__init__()
        check_counts(
            "TreeLSTMClassifier",
            vocabulary_size=vocabulary_size,
            num_classes=num_classes,
            embed_dim=embed_dim,
            hidden_size=hidden_size,
        )
        self.embedding = nn.Embedding(vocabulary_size, embed_dim)
        self.tree_lstm = TreeLSTM(embed_dim, hidden_size)
        self.output = Linear(hidden_size, num_classes)

    def example_inputs(self) -> tuple[Tensor, Tensor]:
        """Tokens and parents of three drawn trees, for a look at the network by its name."""
        tokens = torch.randint(1, self.embedding.num_embeddings, (3, 5))
        parent = torch.tensor([[-1, 0, 0, 2, 2], [-1, 0, 1, 2, 3], [-1, 0, 0, 0, 0]])
        return tokens, parent

    def forward(self, tokens: Tensor, parent: Tensor) -> Tensor:
        """Return the logits of the trees, `(N, num_classes)`.

        Args:
            tokens: (N, L).
            parent: (N, L).
        """
        nodes, forest, is_root = one_forest(tokens, parent)
        h, _ = self.tree_lstm(self.embedding(nodes), forest)  # (N * L, hidden_size)
        roots = h.unflatten(0, tokens.shape) * is_root.unsqueeze(-1)
        return self.output(roots.sum(1))


@torch.fx.wrap  # symbolic tracing records the call and leaves its decisions to the run
def one_forest(tokens: Tensor, parent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Number the nodes of all trees together; what fills up becomes trees of one node.

    Args:
        tokens: (N, L).
        parent: (N, L), numbers within a row.

    Returns:
        The tokens, (N * L,); their parents' numbers, (N * L,); and which nodes are roots, (N, L).

    Raises:
        ShapeError: the shapes are not two and the same, or a parent lies outside its row.
    """
    if tokens.dim() != 2 or parent.shape != tokens.shape:
        raise ShapeError(
            f"TreeLSTMClassifier expected tokens and parent of one shape (N, L), received "
            f"{tuple(tokens.shape)} and {tuple(parent.shape)}."
        )
    there = tokens != PADDING
    num_trees, length = tokens.shape
    if bool((there & ((parent < -1) | (parent >= length))).any()):
        raise ShapeError(
            f"TreeLSTMClassifier expected parents from -1 (a root) to {length - 1}, received "
            f"{parent[there].min().item()} to {parent[there].max().item()}."
        )
    is_root = there & (parent < 0)
    first = torch.arange(num_trees, device=parent.device).unsqueeze(1) * length
    forest = torch.where(there & ~is_root, parent + first, -1)
    return tokens.flatten(), forest.flatten(), is_root
