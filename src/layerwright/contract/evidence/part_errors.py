"""What the parts of `torch.nn` take, told for a tensor that one of them refused."""

from math import prod

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

Told = tuple[str, str, str]  # expected, found, fix; "NAME = " stands for the attribute


def expected_by(
    module: nn.Module, arrived: Tensor, origin: tuple[int, ...] | None, images: str
) -> Told | None:
    """Return what a part of torch.nn expected, what arrived, and what to write; None if unknown.

    Args:
        module: the part that raised.
        arrived: its first tensor.
        origin: the shape before it was flattened, samples first, if it was.
        images: like " for 32x32 images".
    """
    told: Told | None = None
    if isinstance(module, nn.Linear):
        told = _linear(module, arrived, origin, images)
    elif isinstance(module, _ConvNd):
        told = _convolution(module, arrived)
    elif isinstance(module, _NormBase):
        told = _normalization(module, arrived)
    elif isinstance(module, nn.LayerNorm):
        told = _layer_norm(module, arrived)
    elif isinstance(module, nn.GroupNorm):
        told = _channels("num_channels", module.num_channels, arrived, "nn.GroupNorm(groups, {})")
    elif isinstance(module, nn.Embedding):
        told = _embedding(module, arrived)
    elif isinstance(module, nn.RNNBase):
        told = _last("input_size", module.input_size, arrived, f"nn.{type(module).__name__}({{}}")
    elif isinstance(module, nn.MultiheadAttention):
        told = _last("embed_dim", module.embed_dim, arrived, "nn.MultiheadAttention({}")
    elif hasattr(module, "kernel_size"):
        told = _window(module, arrived)
    return told


def _linear(
    module: nn.Linear, arrived: Tensor, origin: tuple[int, ...] | None, images: str
) -> Told | None:
    wanted, shape = module.in_features, tuple(arrived.shape)
    if not shape or shape[-1] == wanted:
        return None
    found = f"shape {shape}: {shape[-1]} features"
    each = str(shape[-1])
    if origin is not None and prod(origin[1:]) == shape[-1]:
        each = " * ".join(map(str, origin[1:]))
        found += f" = {each}, flattened{images}"
    if len(shape) >= 3 and prod(shape[1:]) == wanted:
        fix = "flatten first: x = x.flatten(1)"
    elif wanted in shape[1:-1]:
        fix = f"move the features last: x.transpose({shape.index(wanted, 1)}, -1)"
    elif len(shape) == 4:
        each = " * ".join(map(str, shape[1:]))
        fix = f"flatten first, x = x.flatten(1), and NAME = nn.Linear({each}, "
        fix += f"{module.out_features})"
    else:
        fix = f"write NAME = nn.Linear({each}, {module.out_features})"
    return f"{wanted} features in the last dimension (in_features)", found, fix


def _convolution(module: _ConvNd, arrived: Tensor) -> Told | None:
    spatial, shape = len(module.kernel_size), tuple(arrived.shape)
    name, wanted = type(module).__name__, module.in_channels
    if len(shape) not in {spatial + 1, spatial + 2}:
        expected = f"rank {spatial + 2}: (samples, {wanted}, " + ", ".join("HWD"[:spatial]) + ")"
        fix = (
            "x.unsqueeze(1) adds a dimension of one channel"
            if len(shape) < spatial + 1
            else f"use nn.Conv{len(shape) - 2}d, or take dimensions together"
        )
        return expected, f"rank {len(shape)}: shape {shape}", fix
    got = shape[-spatial - 1]
    if got != wanted:
        if shape[-1] == wanted:
            order = (0, len(shape) - 1, *range(1, len(shape) - 1))
            fix = f"channels lie last here: x.permute{order}"
        else:
            fix = f"write NAME = nn.{name}({got}, {module.out_channels}, ...)"
        return f"{wanted} channels (in_channels)", f"shape {shape}: {got} channels", fix
    return _window(module, arrived)


def _window(module: nn.Module, arrived: Tensor) -> Told | None:
    kernel = _tuple(module.kernel_size, arrived.dim() - 2)
    padding = getattr(module, "padding", 0)
    padding = (0,) * len(kernel) if isinstance(padding, str) else _tuple(padding, len(kernel))
    dilation = _tuple(getattr(module, "dilation", 1), len(kernel))
    if not kernel or arrived.dim() < len(kernel):
        return None
    sizes = tuple(arrived.shape[-len(kernel) :])
    reach = [step * (size - 1) + 1 for size, step in zip(kernel, dilation, strict=True)]
    padded = [size + 2 * pad for size, pad in zip(sizes, padding, strict=True)]
    if all(size >= wide for size, wide in zip(padded, reach, strict=True)):
        return None
    return (
        f"at least {' x '.join(map(str, reach))} values under the kernel {kernel}",
        f"shape {tuple(arrived.shape)}: {' x '.join(map(str, padded))} with padding",
        f"use kernel_size={min(padded)} or smaller, larger inputs, or fewer poolings before it",
    )


def _normalization(module: _NormBase, arrived: Tensor) -> Told | None:
    shape, name = tuple(arrived.shape), type(module).__name__
    ranks = {"1": (2, 3), "2": (4,), "3": (5,)}.get(name[-2:-1], ())
    if name.startswith("Instance"):
        ranks = {"1": (2, 3), "2": (3, 4), "3": (4, 5)}.get(name[-2:-1], ())
    if ranks and len(shape) not in ranks:
        right = {2: "1", 3: "1", 4: "2", 5: "3"}.get(len(shape), "")
        fix = f"use nn.{name[:-2]}{right}d({module.num_features})" if right else "reshape the input"
        return f"rank {' or '.join(map(str, ranks))}", f"rank {len(shape)}: shape {shape}", fix
    return _channels("num_features", module.num_features, arrived, f"nn.{name}({{}})")


def _channels(word: str, wanted: int, arrived: Tensor, written: str) -> Told | None:
    if arrived.dim() < 2 or arrived.shape[1] == wanted:
        return None
    got = arrived.shape[1]
    fix = f"write NAME = {written.format(got)}"
    if arrived.shape[-1] == wanted:
        fix = "channels lie last here: move them to dimension 1 with x.transpose(1, -1)"
    return f"{wanted} channels ({word})", f"shape {tuple(arrived.shape)}: {got} channels", fix


def _layer_norm(module: nn.LayerNorm, arrived: Tensor) -> Told | None:
    wanted, shape = tuple(module.normalized_shape), tuple(arrived.shape)
    if shape[-len(wanted) :] == wanted:
        return None
    got = shape[-len(wanted) :]
    fix = f"write NAME = nn.LayerNorm({got[0] if len(got) == 1 else list(got)})"
    if len(wanted) == 1 and wanted[0] in shape[1:-1]:
        fix = f"move the features last: x.transpose({shape.index(wanted[0], 1)}, -1)"
    return f"{wanted} as the last sizes (normalized_shape)", f"shape {shape}", fix


def _embedding(module: nn.Embedding, arrived: Tensor) -> Told | None:
    if arrived.is_floating_point() or not arrived.numel():
        return None
    low, high = int(arrived.min()), int(arrived.max())
    if low >= 0 and high < module.num_embeddings:
        return None
    fix = f"write NAME = nn.Embedding({high + 1}, {module.embedding_dim})"
    if low < 0:
        fix = "negative indices are no rows: map padding to an index, such as padding_idx=0"
    return (
        f"indices in [0, {module.num_embeddings - 1}] (num_embeddings={module.num_embeddings})",
        f"indices in [{low}, {high}]",
        fix,
    )


def _last(word: str, wanted: int, arrived: Tensor, written: str) -> Told | None:
    shape = tuple(arrived.shape)
    if not shape or shape[-1] == wanted:
        return None
    fix = f"write NAME = {written.format(shape[-1])}, ...)"
    if wanted in shape[1:-1]:
        fix = f"move the features last: x.transpose({shape.index(wanted, 1)}, -1)"
    return f"{wanted} features in the last dimension ({word})", f"shape {shape}", fix


def _tuple(value: object, length: int) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,) * max(length, 0)
    return tuple(value) if isinstance(value, tuple | list) else ()
