"""What a forward pass that raised wanted to say: which part, what it expected, what to write."""

import re
from dataclasses import dataclass
from math import prod

from torch import nn

from layerwright.contract.evidence.module_calls import ModuleCall, ModuleCalls
from layerwright.contract.evidence.part_errors import expected_by
from layerwright.contract.rule import LayerRaised
from layerwright.contract.trees import Inputs, dtype_name, is_float
from layerwright.names import nearest


@dataclass(frozen=True)
class Scene:
    """A forward pass that raised.

    Attributes:
        layer: that was called.
        inputs: what it was called with.
        calls: of its parts.
        shapes: of all tensors that operators made, in order.
        raised: what came of it.
    """

    layer: nn.Module
    inputs: Inputs
    calls: ModuleCalls
    shapes: tuple[tuple[int, ...], ...]
    raised: LayerRaised

    @property
    def last(self) -> ModuleCall | None:
        """The deepest part that was entered and not left."""
        return self.calls.open[-1] if self.calls.open else None

    def before_flattening(self, numel: int) -> tuple[int, ...] | None:
        """Return the last shape of rank 3 or more with so many values, samples first."""
        for shape in reversed(self.shapes):
            if len(shape) >= 3 and prod(shape) == numel:
                return shape
        return None

    @property
    def images(self) -> str:
        """Like " for 32x32 images", if the first input holds images."""
        tensors = self.inputs.tensors()
        if not tensors or tensors[0].tensor.dim() != 4:
            return ""
        height, width = tensors[0].tensor.shape[2:]
        return f" for {height}x{width} images"


@dataclass(frozen=True)
class Words:
    """A failure in words; see `Finding`."""

    expected: str
    found: str
    fix: str


def explained(scene: Scene) -> Words:
    """Return what the part expected, what arrived, and what to write instead."""
    for explain in (_arguments, _attribute, _no_tensor, _devices, _dtypes, _part, _view, _sizes):
        words = explain(scene)
        if words is not None:
            return words
    text = scene.raised.words
    return Words("it returns an output", f"it raised {text}", f"correct this line: {text}")


def _message(scene: Scene) -> str:
    return str(scene.raised.error)


def _arguments(scene: Scene) -> Words | None:
    """A wrong number of arguments."""
    text = _message(scene)
    if not isinstance(scene.raised.error, TypeError) or "forward() " not in text:
        return None
    if not re.search(r"positional argument|unexpected keyword|missing \d+ required", text):
        return None
    given = len(scene.last.inputs.args) if scene.last else len(scene.inputs.args)
    return Words(
        "the arguments that forward declares",
        f"{text.split('forward() ')[-1]}; it was called with {given} positional "
        f"argument{'s' * (given != 1)}",
        "call it with the arguments that its forward declares, or give the others a default",
    )


def _attribute(scene: Scene) -> Words | None:
    """An attribute that nothing sets."""
    found = re.search(r"'(\w+)' object has no attribute '(\w+)'", _message(scene))
    if not isinstance(scene.raised.error, AttributeError) or found is None:
        return None
    owner, name = found.groups()
    holders = [m for m in scene.layer.modules() if type(m).__name__ == owner]
    if not holders:
        if owner in {"tuple", "list", "dict", "NoneType", "max", "min"}:
            return _wrong_kind(scene, owner, f".{name}")
        return None
    if "_modules" not in vars(holders[0]):
        return Words(
            "super().__init__() ran in the constructor",
            _message(scene),
            f"call super().__init__() first in {owner}.__init__",
        )
    known = {
        **holders[0]._modules,  # noqa: SLF001 - the tables have no public name
        **holders[0]._parameters,  # noqa: SLF001
        **holders[0]._buffers,  # noqa: SLF001
        **vars(holders[0]),
    }
    near = nearest(name, {key: None for key in known if not key.startswith("_")})
    hint = f"write self.{near}, or " if near else ""
    return Words(
        f"an attribute {name} of {owner}",
        "no constructor sets it" + (f"; there is {near}" if near else ""),
        f"{hint}set self.{name} in {owner}.__init__",
    )


def _no_tensor(scene: Scene) -> Words | None:
    """A tuple, or None, where a tensor is wanted."""
    text = _message(scene)
    found = re.search(r"must be (?:a )?Tensors?,? (?:but got|not) ([\w.]+)", text, re.IGNORECASE)
    found = found or re.search(r"unsupported operand type\(s\) for .*'(tuple|NoneType)'", text)
    found = found or re.search(r"'(tuple|NoneType)' object is not (?:callable|subscript)", text)
    if found is None or not isinstance(scene.raised.error, TypeError):
        return None
    return _wrong_kind(scene, found.group(1).split(".")[-1], "")


def _wrong_kind(scene: Scene, kind: str, used: str) -> Words:
    arrived = scene.last.inputs.args[0] if scene.last and scene.last.inputs.args else None
    makers = [
        call
        for call in scene.calls.finished
        if call.output is arrived or (not used and type(call.output).__name__ == kind)
    ]
    by = f", the output of {makers[-1].path or 'the layer'}" if makers else ""
    if kind == "NoneType":
        fix = f"return the result from forward of {makers[-1].path}" if makers else "return it"
        fix += ": a forward without return gives None"
    elif kind in {"max", "min", "return_types"}:
        fix = (
            f"torch.{kind} with a dimension returns (values, indices): take [0], or for a "
            "rectifier write torch.relu(x) or x.clamp(min=0)"
        )
    elif makers and isinstance(makers[-1].module, nn.RNNBase | nn.MultiheadAttention):
        name = makers[-1].path.rpartition(".")[2]
        fix = f"take the first of its outputs: x, _ = self.{name}(...)"
    else:
        fix = "take the tensor out of it first, such as x = x[0]"
    return Words("a tensor", f"a {kind}{by}", fix)


def _devices(scene: Scene) -> Words | None:
    text = _message(scene)
    if not re.search(r"on the same device|Tensor on device|tensors to be on", text):
        return None
    found = sorted({str(item.tensor.device) for item in scene.inputs.tensors()})
    held = sorted({str(item.device) for item in scene.layer.parameters()})
    return Words(
        "all tensors on one device",
        f"inputs on {', '.join(found)}, parameters on {', '.join(held)}: "
        f"{' '.join(text.split())[:200]}",
        "move inputs and layer to one device, and register constant tensors as buffers",
    )


def _dtypes(scene: Scene) -> Words | None:
    text = _message(scene)
    if not re.search(r"dtype|scalar type|type .* should be the same", text):
        return None
    call = scene.last
    given = call.tensors_in if call else [item.tensor for item in scene.inputs.tensors()]
    own = [] if call is None else list(call.module.parameters())
    if isinstance(call.module if call else None, nn.Embedding | nn.EmbeddingBag):
        if given and is_float(given[0]):
            return Words(
                "indices of dtype int64",
                f"{dtype_name(given[0].dtype)} values of shape {tuple(given[0].shape)}",
                "hand over x.long(), or use nn.Linear for values that are no indices",
            )
        return None
    if not given or not own or given[0].dtype == own[0].dtype:
        return None
    wanted, got = dtype_name(own[0].dtype), dtype_name(given[0].dtype)
    return Words(
        f"{wanted}, the dtype of its parameters",
        f"{got} of shape {tuple(given[0].shape)}",
        f"convert the input: x.{'float()' if wanted == 'float32' else f'to(torch.{wanted})'}",
    )


def _part(scene: Scene) -> Words | None:
    """A part of torch.nn that says what it takes."""
    call = scene.last
    arrived = call.tensors_in if call else []
    if call is None or not arrived:
        return None
    origin = scene.before_flattening(arrived[0].numel()) if arrived[0].dim() <= 2 else None
    told = expected_by(call.module, arrived[0], origin, scene.images)
    if told is None:
        return None
    expected, found, fix = told
    own = call.path.rpartition(".")[2]
    name = f"part {own} as " if own.isdigit() else f"self.{own} = "
    return Words(expected, found, fix.replace("NAME = ", name if own else ""))


def _view(scene: Scene) -> Words | None:
    """A reshape to a number of features that the tensor does not have."""
    found = re.search(r"shape '\[([-\d, ]+)\]' is invalid for input of size (\d+)", _message(scene))
    if found is None:
        return None
    wanted = [int(part) for part in found.group(1).split(",")]
    size = int(found.group(2))
    tensors = scene.inputs.tensors()
    samples = tensors[0].tensor.shape[0] if tensors and tensors[0].tensor.dim() else 1
    origin = scene.before_flattening(size)
    if len(wanted) != 2 or (origin is None and size % max(samples, 1)):
        return Words(
            f"a tensor of which {wanted} can be made: a multiple of "
            f"{prod(part for part in wanted if part > 0)} values",
            f"{size} values" + (f", of shape {origin}" if origin else ""),
            "write the sizes that the tensor has; take them from x.shape",
        )
    each = origin[1:] if origin else (size // max(samples, 1),)
    product = " * ".join(map(str, each))
    users = [
        (name, module)
        for name, module in scene.layer.named_modules()
        if isinstance(module, nn.Linear) and module.in_features == wanted[1]
    ]
    fix = "x = x.flatten(1)"
    if users:
        name, linear = users[0]
        own = name.rpartition(".")[2]
        fix += f" and self.{own} = nn.Linear({product}, {linear.out_features})"
    return Words(
        f"{wanted[1]} features a sample",
        f"{prod(each)} = {product} features a sample"
        + (f", of shape {origin}" if origin else "")
        + scene.images,
        f"write {fix}",
    )


def _sizes(scene: Scene) -> Words | None:
    """Operators that say themselves which sizes do not fit."""
    text = " ".join(_message(scene).split())
    product = re.search(r"shapes cannot be multiplied \((\d+)x(\d+) and (\d+)x(\d+)\)", text)
    if product:
        rows, got, wanted, columns = map(int, product.groups())
        origin = scene.before_flattening(rows * got)
        each = " * ".join(map(str, origin[1:])) if origin and prod(origin[1:]) == got else str(got)
        return Words(
            f"{wanted} features, the rows of the second factor ({wanted}, {columns})",
            f"{got} features: the first factor has shape ({rows}, {got}){scene.images}",
            f"make the weight for {each} features instead of {wanted}, or transpose a factor",
        )
    sums = re.search(
        r"size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\) .*dimension (\d+)",
        text,
    )
    if sums:
        one, other, dim = sums.groups()
        return Words(
            "two tensors of one shape, or with ones where they differ",
            f"{one} against {other} in dimension {dim}",
            f"make both {one} or both {other} in dimension {dim}: with another number of "
            "channels, a padding, or a projection of the shortcut",
        )
    joined = re.search(
        r"Sizes of tensors must match except in dimension (\d+)\. Expected (?:size )?(\d+).*got "
        r"(?:size )?(\d+)",
        text,
    )
    if joined:
        dim, one, other = joined.groups()
        return Words(
            f"tensors that differ in dimension {dim} only",
            f"sizes {one} and {other} in another dimension",
            f"crop, pad or interpolate to {one} before torch.cat, or join along another dimension",
        )
    return None
