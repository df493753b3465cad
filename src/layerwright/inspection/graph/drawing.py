"""Draw any network into a file: SVG, PNG or DOT."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from layerwright.errors import OptionError
from layerwright.inspection.example_inputs import inputs_of
from layerwright.inspection.failures import Failure
from layerwright.inspection.graph import dot, png
from layerwright.inspection.graph.columns import scale_on_page
from layerwright.inspection.graph.items import Drawing
from layerwright.inspection.graph.placing import Page, page_of
from layerwright.inspection.graph.structure import drawing_of, levels_of
from layerwright.inspection.graph.svg import svg_of
from layerwright.inspection.graph.tracing import TracedCall, Tracer
from layerwright.inspection.passes import Source, look

Layout = Literal["auto", "dot", "own"]
SUFFIXES = (".svg", ".png", ".dot", ".gv")
_READABLE = 0.55  # of the size: letters of 10 points become 5.5
_MAX_ITEMS = 400  # more are not laid out for a try
_LARGER = 1.2  # what the built-in layout must be better by to be taken instead of dot's


@dataclass(frozen=True)
class NetworkGraph:
    """What was drawn.

    Attributes:
        name: of the network's class.
        drawing: items and edges.
        failure: why the network did not run, if so; the drawing ends there.
        notes: what a reader must know.
        layout: "dot" or "own"; "" for a DOT file.
        scale: the size on a page, 1 for as it is; None if dot made a PNG.
    """

    name: str
    drawing: Drawing
    failure: Failure | None
    notes: tuple[str, ...]
    layout: str
    scale: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return what was drawn as plain values, for JSON."""
        items = [self.drawing.root, *self.drawing.items()]
        return {
            "name": self.name,
            "ok": self.failure is None,
            "depth": self.drawing.depth,
            "deepest": self.drawing.deepest,
            "num_folded": self.drawing.num_folded,
            "layout": self.layout,
            "scale": self.scale,
            "failure": None if self.failure is None else str(self.failure),
            "notes": list(self.notes),
            "items": [
                {
                    "key": item.key,
                    "kind": item.kind,
                    "title": item.title,
                    "detail": item.detail,
                    "owner": item.owner.key if item.owner else None,
                    "call": item.call,
                    "num_calls": item.num_calls,
                    "depends_on_values": item.depends_on_values,
                }
                for item in items
            ],
            "edges": [
                {
                    "start": edge.start.key,
                    "end": edge.end.key,
                    "shape": edge.label,
                    "is_mask": edge.is_mask,
                    "is_skip": edge.is_skip,
                }
                for edge in self.drawing.edges
            ],
        }


def draw(
    network: Any,
    inputs: Any,
    file: str | Path,
    *,
    depth: int | None = None,
    layout: Layout = "auto",
    seed: int = 0,
) -> NetworkGraph:
    """Draw a network: modules as nested boxes, tensors as edges with their shapes.

    As in `lw.summary`, shapes are followed without computing where that is possible.

    Args:
        network: an `nn.Module`, or a class or function that builds one without arguments.
        inputs: as for `lw.summary`.
        file: where to draw to; its suffix, .svg, .png, .dot or .gv, decides how.
        depth: levels of modules to unfold, from 1; None for as many as are readable on one page.
        layout: "dot" by Graphviz, which must be installed; "own" by ourselves, in columns; "auto"
            by dot where it is installed, unless our columns are larger on a page.
        seed: of a pass that has to be computed.

    Raises:
        OptionError: the suffix is another one, the network cannot be built, there are no inputs,
            dot is missing or failed, or the file cannot be written.
        MissingExtraError: a PNG needs matplotlib, which is not installed.
    """
    place = Path(file)
    check_file(place, layout)
    if depth is not None and depth < 1:
        raise OptionError(f"depth expected a whole number from 1, received {depth}.")
    source = Source(network, None if inputs is None else inputs_of(inputs, network), seed)
    found = look(source, Tracer)
    if found.seen.root is None:
        why = "its calls cannot be watched, because it is scripted or compiled"
        raise OptionError(
            f"{found.name} cannot be drawn: {found.failure.raised if found.failure else why}. "
            "Fix: hand over the module that it was made of."
        )
    drawing, page = _readable(found.seen.root, depth)
    content, made, scale = _made(drawing, page, place.suffix.lower(), layout, found.name)
    _write(place, content)
    scripted = tuple(
        f"{path} is scripted: what it takes is not seen"
        for path, module in found.network.named_modules()
        if isinstance(module, torch.jit.ScriptModule)
    )
    notes = (*found.notes, *scripted)
    return NetworkGraph(found.name, drawing, found.failure, notes, made, scale)


def check_file(file: Path, layout: Layout) -> None:
    """Refuse early what could not be drawn in the end.

    Raises:
        OptionError: the suffix is another one, its folder does not exist, or dot is missing.
        MissingExtraError: a PNG needs matplotlib, which is not installed.
    """
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise OptionError(f"a graph expected a file {', '.join(SUFFIXES)}, received {str(file)!r}.")
    if not file.parent.is_dir():
        raise OptionError(f"{file} cannot be written: there is no folder {file.parent}.")
    if layout == "dot" and suffix in {".svg", ".png"}:
        dot.program()
    elif suffix == ".png":
        png.check_png()


def _readable(root: TracedCall, depth: int | None) -> tuple[Drawing, Page]:
    """Unfold as far as was asked for, or as letters stay readable on a page."""
    drawing = drawing_of(root, depth or 1)
    page = page_of(drawing)
    for level in range(2, levels_of(root) + 1) if depth is None else ():
        deeper = drawing_of(root, level)
        if sum(1 for _ in deeper.items()) > _MAX_ITEMS:
            break
        next_page = page_of(deeper)
        if scale_on_page(next_page.width, next_page.height) < _READABLE:
            break
        drawing, page = deeper, next_page
    return drawing, page


def _made(
    drawing: Drawing, page: Page, suffix: str, layout: Layout, name: str
) -> tuple[bytes, str, float | None]:
    """Return the content of a file, who laid it out, and its scale on a page."""
    text = dot.dot_of(drawing)
    if suffix in {".dot", ".gv"}:
        return text.encode(), "", None
    own = scale_on_page(page.width, page.height)
    if layout == "dot" or (layout == "auto" and dot.has_dot()):
        svg, width, height = dot.svg_by_dot(text)
        scale = scale_on_page(width, height)
        if layout == "dot" or own < _LARGER * scale:
            return svg.encode() if suffix == ".svg" else dot.png_by_dot(text), "dot", scale
    if suffix == ".svg":
        return svg_of(page, f"{name}, its modules and tensors").encode(), "own", own
    return png.png_of(page), "own", own


def _write(file: Path, content: bytes) -> None:
    """Write a file at once or not at all."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(file)
    except OSError as error:
        raise OptionError(f"{file} cannot be written: {error.strerror or error}.") from error
    finally:
        part.unlink(missing_ok=True)
