"""A drawing in the DOT language of Graphviz, and pictures by its `dot` program."""

import re
import shutil
import subprocess
from collections.abc import Iterator

from layerwright.errors import OptionError
from layerwright.inspection.graph.items import Drawing, Edge, Item
from layerwright.inspection.graph.looks import COLOURS, look_of
from layerwright.inspection.graph.placing import header_of, texts_of

_SHAPES = {"choice": "diamond", "module": "box", "operator": "box", "input": "box", "output": "box"}
_TIME_LIMIT_S = 60
_SIZE = re.compile(r'<svg width="(?P<width>[\d.]+)pt" height="(?P<height>[\d.]+)pt"')


def dot_of(drawing: Drawing) -> str:
    """Return a drawing in DOT: boxes as clusters, tensors as edges with their shapes."""
    lines = [
        f"digraph {_quoted(drawing.root.title)} {{",
        f"  label={_quoted(drawing.root.title)}; labelloc=t; labeljust=l; compound=true;",
        '  fontname="DejaVu Sans"; fontsize=9; ranksep=0.3; nodesep=0.25;',
        '  node [fontname="DejaVu Sans", fontsize=10, margin="0.1,0.04", height=0.2];',
        '  edge [fontname="DejaVu Sans", fontsize=8, arrowsize=0.6];',
        *_parts(drawing.root, "  "),
        *(_edge(edge) for edge in drawing.edges),
        "}",
        "",
    ]
    return "\n".join(lines)


def has_dot() -> bool:
    """Tell whether Graphviz's `dot` is installed."""
    return shutil.which("dot") is not None


def svg_by_dot(text: str) -> tuple[str, float, float]:
    """Let `dot` lay a drawing out; return the SVG, its width and its height in points.

    Raises:
        OptionError: it failed.
    """
    svg = _run_dot(["-Tsvg"], text).decode()
    size = _SIZE.search(svg)
    if size is None:
        raise OptionError("dot expected to return an SVG, and returned something else.")
    return svg, float(size["width"]), float(size["height"])


def png_by_dot(text: str) -> bytes:
    """Let `dot` lay a drawing out and paint it, two dots for a point; return the PNG file.

    Raises:
        OptionError: it failed.
    """
    return _run_dot(["-Tpng", "-Gdpi=144"], text)


def program() -> str:
    """Return the path of `dot`.

    Raises:
        OptionError: it is not installed.
    """
    found = shutil.which("dot")
    if found is None:
        raise OptionError(
            "the layout dot expected Graphviz's program dot, which is not on the PATH. "
            "Fix: install graphviz, or take the layout own."
        )
    return found


def _run_dot(arguments: list[str], text: str) -> bytes:
    try:
        done = subprocess.run(  # noqa: S603 - the text is data on its standard input
            [program(), *arguments],
            input=text.encode(),
            capture_output=True,
            check=True,
            timeout=_TIME_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        raise OptionError(
            f"dot did not finish in {_TIME_LIMIT_S} s. Fix: --layout own, or a smaller --depth."
        ) from None
    except (subprocess.CalledProcessError, OSError) as error:
        said = getattr(error, "stderr", b"") or str(error).encode()
        words = " ".join(said.decode(errors="replace").split())[:200]
        raise OptionError(f"dot failed: {words}. Fix: --layout own.") from error
    return done.stdout


def _parts(box: Item, indent: str) -> Iterator[str]:
    for part in box.parts:
        look = look_of(part)
        dashed = ",dashed" if look.is_dashed else ""
        if part.kind == "box":
            yield f"{indent}subgraph cluster_{part.key} {{"
            yield (
                f"{indent}  label={_quoted(header_of(part))}; labeljust=l; fontsize=9; "
                f'style="rounded,filled{dashed}"; fillcolor="{look.fill}"; color="{look.line}"; '
                f'fontcolor="{COLOURS["quiet"]}";'
            )
            yield from _parts(part, f"{indent}  ")
            yield f"{indent}}}"
        else:
            yield (
                f"{indent}{part.key} [label={_quoted(chr(10).join(texts_of(part)))}, "
                f'shape={_SHAPES[part.kind]}, style="rounded,filled{dashed}", '
                f'fillcolor="{look.fill}", color="{look.line}", penwidth={look.stroke}];'
            )


def _edge(edge: Edge) -> str:
    look = look_of(edge)
    style = "dashed" if look.is_dashed else "solid"
    return (
        f"  {edge.start.key} -> {edge.end.key} [label={_quoted(edge.label)}, "
        f'color="{look.line}", fontcolor="{COLOURS["quiet"]}", penwidth={look.stroke}, '
        f"style={style}];"
    )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
