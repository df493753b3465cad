"""The first module whose output in an exported file is not what it is in the network."""

import ast
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from layerwright.exporting.fresh_process import replayed
from layerwright.exporting.onnx_file import SCOPES
from layerwright.exporting.opened_pt2 import OpenedPt2
from layerwright.exporting.vetted_onnx import vetted_onnx
from layerwright.initialization.examples import ExampleInputs, tensors_in

_SLACK = 4.0  # values inside a network are scaled otherwise than its outputs
_TRIED = 64  # values before a module that may have been its input


@dataclass(frozen=True)
class Call:
    """One call of a module in the network, in the order in which calls end.

    Attributes:
        path: of the module; "" is the network itself.
        kind: name of its class.
        given: its floating-point inputs, as they were.
        found: its floating-point outputs, as they were.
        sources: the input tensors themselves.
        results: the output tensors themselves.
    """

    path: str
    kind: str
    given: list[Tensor]
    found: list[Tensor]
    sources: list[Tensor]
    results: list[Tensor]


Values = list[tuple[str, Tensor]]  # what a file computes: the module's path, and the value


def first_difference(
    network: nn.Module, path: Path, inputs: ExampleInputs, share: float
) -> str | None:
    """Say in words where a file begins to compute something else.

    A module agrees when one of the values that the file computes for it is its output. A module
    whose output a runtime never computes, because it is fused into the next one, agrees when the
    next one does.

    Args:
        network: the one that was exported.
        path: the file, .onnx or .pt2.
        inputs: on which the outputs differ.
        share: how far values may differ, as a share of the largest.

    Returns:
        None where no module could be named.
    """
    calls = _calls(network, inputs)
    values = _onnx_values(path, inputs) if path.suffix == ".onnx" else _pt2_values(path, inputs)
    agreed = [_agrees(call, values, share) for call in calls]
    for place, call in enumerate(calls):
        if agreed[place] or _next_agrees(call, calls[place + 1 :], agreed[place + 1 :]):
            continue
        if call.path and _is_right_on_other_inputs(network, call, values, inputs, share):
            continue  # what it was given is wrong already, by the code of a module around it
        return _in_words(call, values)
    return None


def _calls(network: nn.Module, inputs: ExampleInputs) -> list[Call]:
    found: list[Call] = []
    handles = []

    def noting(path: str) -> Any:
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            sources, results = _floats((args, kwargs)), _floats(output)
            given, out = [t.clone() for t in sources], [t.clone() for t in results]
            found.append(Call(path, type(module).__name__, given, out, sources, results))

        return hook

    for path, module in network.named_modules():
        handles.append(module.register_forward_hook(noting(path), with_kwargs=True))
    try:
        call = inputs.map(torch.clone)
        with torch.no_grad():
            network(*call.args, **call.kwargs)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _agrees(call: Call, values: Values, share: float) -> bool:
    own = [value for path, value in values if _is_inside(path, call.path)]
    return all(_among(value, own, share) or _is_among(value, call.sources) for value in call.found)


def _next_agrees(call: Call, later: Sequence[Call], agreed: Sequence[bool]) -> bool:
    """Tell whether a later module reads this one's output, and agrees."""
    return any(
        ok and other.path != "" and any(_is_among(value, other.sources) for value in call.results)
        for other, ok in zip(later, agreed, strict=True)
    )


def _is_right_on_other_inputs(
    network: nn.Module, call: Call, values: Values, inputs: ExampleInputs, share: float
) -> bool:
    """Tell whether a file computes a module rightly, from what it computed before that module."""
    if len(call.given) != 1:
        return False
    inside = [place for place, (path, _) in enumerate(values) if _is_inside(path, call.path)]
    earlier = [value for _, value in values[: min(inside, default=0)]]
    own = [values[place][1] for place in inside]
    module = network.get_submodule(call.path)
    for value in [*inputs.tensors(), *earlier[-_TRIED:]]:
        if value.shape != call.given[0].shape or not value.is_floating_point():
            continue
        with torch.no_grad(), suppress(Exception):
            results = _floats(module(value.clone()))
            if results and all(_among(result, own, share) for result in results):
                return True
    return False


def _is_inside(path: str, module: str) -> bool:
    return not module or path == module or path.startswith(f"{module}.")


def _among(value: Tensor, others: Sequence[Tensor], share: float) -> bool:
    return any(_gap(value, other) <= _SLACK * share for other in others)


def _is_among(value: Tensor, others: Sequence[Tensor]) -> bool:
    return any(value is other for other in others)


def _gap(value: Tensor, other: Tensor) -> float:
    """Return how far two values are apart, as a share of the largest."""
    if value.shape != other.shape or not other.is_floating_point():
        return float("inf")
    if not value.numel():
        return 0.0
    one, two = value.double(), other.double()
    finite = one.isfinite()
    if not bool(finite.any()):
        return 0.0
    scale = float(one[finite].abs().max()) or 1.0
    apart = (one - two).abs().nan_to_num(nan=float("inf"), posinf=float("inf"))
    return float(apart[finite].max()) / scale


def _in_words(call: Call, values: Values) -> str:
    where = f"{call.path} ({call.kind})" if call.path else f"the code of {call.kind}.forward"
    own = [value for path, value in values if _is_inside(path, call.path)]
    gaps = [
        min((_gap(value, other) for other in own), default=float("inf")) for value in call.found
    ]
    worst = max(gaps, default=float("inf"))
    by = f", by {100 * worst:.3g} % of its largest value" if worst < float("inf") else ""
    return f"The first module whose output differs is {where}{by}."


def _onnx_values(path: Path, inputs: ExampleInputs) -> Values:
    """Run an ONNX file with every value that it computes among its outputs."""
    import onnx  # noqa: PLC0415 - an extra

    model = vetted_onnx(path)
    graph = model.graph
    scopes: dict[str, str] = {}
    for node in graph.node:
        texts = [entry.value for entry in node.metadata_props if entry.key == SCOPES]
        parts = ast.literal_eval(texts[0]) if texts else [""]
        for name in node.output:
            if name:
                scopes[name] = next((part for part in reversed(parts[:-1])), "")
    known = {item.name for item in graph.output}
    added = [name for name in scopes if name not in known]
    names = [item.name for item in graph.output] + added
    for name in added:
        graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    with TemporaryDirectory(prefix="layerwright-export-") as folder:
        opened = Path(folder) / "opened.onnx"
        opened.write_bytes(model.SerializeToString())
        answers = replayed(opened, [inputs.tensors()])
    computed = dict(zip(names, answers.outputs[0], strict=False))  # empty where it fails
    return [(place, computed[name]) for name, place in scopes.items() if name in computed]


def _pt2_values(path: Path, inputs: ExampleInputs) -> Values:
    """Run a .pt2 file operator by operator, and keep what each computes."""
    found: Values = []

    class Keeping(torch.fx.Interpreter):
        def run_node(self, node: torch.fx.Node) -> Any:
            result = super().run_node(node)
            if node.op == "call_function":
                stack = list(node.meta.get("nn_module_stack", {}).values())
                found.extend((stack[-1][0] if stack else "", t.clone()) for t in _floats(result))
            return result

    opened = OpenedPt2(path)
    call = inputs.map(torch.clone)
    flat = [*call.args, *(dict(call.kwargs)[name] for name in call.kwargs)]
    with torch.no_grad():
        Keeping(opened.module).run(*flat)
    return found


def _floats(value: Any) -> list[Tensor]:
    return [tensor for tensor in tensors_in(value) if tensor.is_floating_point()]
