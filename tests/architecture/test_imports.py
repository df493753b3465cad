"""Imports go one way, and layers are built from operators, not from their torch.nn namesakes."""

import ast
from pathlib import Path

import pytest

import layerwright

SOURCE = Path(layerwright.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

# What each room may import of ours, beside itself. "" is the version number.
ALLOWED = {
    "errors": set(),
    "names": {"errors"},
    "random_numbers": set(),
    "layers": {"errors", "names"},
    "networks": {"errors", "names", "layers"},
    "data": {"errors", "names", "random_numbers"},
    "initialization": {"errors", "names", "random_numbers"},
    "targets": {"errors", "names"},
    "contract": {"", "errors", "names", "random_numbers", "targets"},
    "inspection": {"errors", "names", "random_numbers", "contract", "initialization"},
    "reports": {"errors", "names", "contract"},
    "pytest_plugin": set(),
    "testing": {"errors", "contract", "pytest_plugin"},
    "training": {"", "errors", "names", "random_numbers", "targets", "data", "initialization",
                 "inspection", "layers"},
    "exporting": {"", "errors", "names", "data", "initialization", "training"},
    "cli": {"", "errors", "names", "random_numbers", "targets", "data", "initialization",
            "inspection", "training", "networks", "layers", "contract", "reports", "exporting"},
    "__main__": {"cli"},
}  # fmt: skip
# Only inside a function, so that nothing is imported before it is asked for.
ALLOWED_LATE = {"targets": {"networks"}, "contract": {"reports"}}


def room_of(file):
    """Return the room that a file belongs to: its first part below the package."""
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def our_imports(tree):
    """Yield the room of every import of ours, and whether it stands inside a function."""
    late = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the room that they come from"
            names = [node.module]
            if node.module == "layerwright" and node.names[0].name != "__version__":
                names = [f"layerwright.{alias.name}" for alias in node.names]
        for name in names:
            if name.split(".")[0] == "layerwright":
                yield ([*name.split("."), ""])[1], id(node) in late


def forbidden(room, tree):
    """Return what a tree of this room imports and must not."""
    early, late = ALLOWED[room] | {room}, ALLOWED_LATE.get(room, set())
    return {
        other
        for other, is_late in our_imports(tree)
        if other not in early and not (is_late and other in late)
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_imports_go_one_way(file):
    """A room imports only the rooms below it; __init__ imports nothing of ours but lazily."""
    tree = ast.parse(file.read_text())
    if file == SOURCE / "__init__.py":
        body = [node for node in tree.body if not isinstance(node, ast.If)]  # TYPE_CHECKING
        assert not list(our_imports(ast.Module(body, [])))
    else:
        assert forbidden(room_of(file), tree) == set()


@pytest.mark.parametrize(
    ("room", "source", "found"),
    [
        ("errors", "from layerwright.names import nearest", {"names"}),
        ("layers", "import layerwright.networks.lenet", {"networks"}),
        ("layers", "from layerwright import networks", {"networks"}),
        ("data", "from layerwright.layers.linear.linear import Linear", {"layers"}),
        ("initialization", "def f():\n    import layerwright.training.fit", {"training"}),
        ("targets", "from layerwright.networks import network_class", {"networks"}),
        ("targets", "def f():\n    from layerwright.networks import network_class", set()),
        ("training", "def f():\n    from layerwright.networks import network_class", {"networks"}),
        ("training", "import layerwright.cli.app", {"cli"}),
        ("training", "from layerwright import __version__", set()),
        ("layers", "from layerwright import __version__", {""}),
        ("cli", "from layerwright.training.fit import fit", set()),
        ("data", "import torch", set()),
    ],
)
def test_the_judge_of_imports_can_say_no(room, source, found):
    """The test above sees what it forbids."""
    assert forbidden(room, ast.parse(source)) == found


def torch_namesakes(tree, names):
    """Return what of `names` a tree takes from torch.nn."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in names:
            owner = node.value
            last = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            if last in {"nn", "modules"}:
                found.add(node.attr)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("torch.nn"):
            found |= {alias.name for alias in node.names} & names
    return found


def layer_names():
    """Return the names of all layer classes."""
    trees = [ast.parse(file.read_text()) for file in FILES if room_of(file) == "layers"]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    return {node.name for node in nodes if isinstance(node, ast.ClassDef)}


@pytest.mark.parametrize(
    "file",
    [file for file in FILES if room_of(file) in {"layers", "networks"}],
    ids=lambda file: str(file.relative_to(SOURCE)),
)
def test_layers_do_not_use_their_torch_namesakes(file):
    """Our Linear is not torch.nn.Linear inside, and our networks are made of our layers."""
    assert torch_namesakes(ast.parse(file.read_text()), layer_names()) == set()


@pytest.mark.parametrize(
    "source",
    [
        "x = nn.Linear(2, 2)",
        "class Linear(torch.nn.Linear): pass",
        "from torch.nn import Linear",
        "from torch.nn.modules.linear import Linear",
        "x = nn.modules.Linear(2, 2)",
    ],
)
def test_the_judge_of_namesakes_can_say_no(source):
    """The test above sees what it forbids."""
    assert torch_namesakes(ast.parse(source), {"Linear"}) == {"Linear"}
    assert torch_namesakes(ast.parse("y = F.linear(x, w); z = nn.Module"), {"Linear"}) == set()
