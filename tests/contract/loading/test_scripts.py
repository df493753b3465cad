"""A script's definitions are loaded, its work is not done."""

import inspect
import pickle
import sys

import pytest
import torch
from torch import nn

from layerwright.contract.loading.scripts import Missing, classes_of, find_in, load_script
from layerwright.errors import TargetError

ARTICLE = '''\
"""An article's script."""
from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision_of_nobody
from torchvision_of_nobody import transforms, datasets as sets

batch_size, num_classes = 64, 10
device = "cuda" if torch.cuda.is_available() else "cpu"
train_dataset = torchvision_of_nobody.datasets.MNIST(root="./data", download=True)
train_loader = torch.utils.data.DataLoader(dataset=train_dataset, batch_size=batch_size)


class SimpleNet(nn.Module):
    def __init__(self, classes=num_classes):
        super(SimpleNet, self).__init__()
        self.fc1 = nn.Linear(784, 128)
        self.fc2 = nn.Linear(128, classes)

    def forward(self, x):
        x = F.relu(self.fc1(x))
        return F.log_softmax(self.fc2(x), dim=1)


class Other(SimpleNet):
    ...


class Data(sets.MNIST):
    pass


criterion = nn.CrossEntropyLoss()
model = SimpleNet().to(device)
optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
output = ...

for epoch in range(10):
    for batch in train_loader:
        raise RuntimeError("the script was run")

print("done")
torch.save(model.state_dict(), "model.pt")
'''


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Load a source as a file."""
    monkeypatch.chdir(tmp_path)

    def load(source, name="script.py", **options):
        (tmp_path / name).write_text(source, encoding="utf-8")
        return load_script(tmp_path / name, **options)

    return load


def left_lines(loaded):
    """The lines that were left out."""
    return [item.line for item in loaded.left_out]


def test_an_articles_script_gives_its_classes(script, tmp_path, capsys):
    """In order; nothing is trained, printed, saved or downloaded, and what was left out is told."""
    loaded = script(ARTICLE)
    assert [cls.__name__ for cls in classes_of(loaded)] == ["SimpleNet", "Other"]
    assert classes_of(loaded)[0]()(torch.zeros(2, 784)).shape == (2, 10)
    assert left_lines(loaded) == [12, 13, 31, 35, 36, 37, 40, 44, 45]
    assert loaded.left_out[6].text == "for epoch in range(10):"
    assert loaded.left_out[6].reason == "it loops"
    assert loaded.left_out[4].reason == "it calls SimpleNet().to"
    assert capsys.readouterr().out == ""
    assert [entry.name for entry in tmp_path.iterdir()] == ["script.py"]


def test_a_failing_import_is_one_failure(script):
    """It names module and line; what needs it says so when it is used, and not before."""
    loaded = script(ARTICLE)
    error = "ModuleNotFoundError: No module named 'torchvision_of_nobody'"
    assert loaded.import_failures == (
        ("torchvision_of_nobody", 7, error),
        ("torchvision_of_nobody", 8, error),
    )
    for use in (
        lambda: loaded.module.transforms.ToTensor,
        lambda: loaded.module.sets(3),
        lambda: find_in(loaded, "sets"),
        lambda: isinstance(3, loaded.module.sets),
        lambda: nn.Linear(3, loaded.module.model + 1),
        lambda: nn.Linear(3, loaded.module.model),
        lambda: torch.zeros(3) * loaded.module.model,
    ):
        with pytest.raises(TargetError, match="is not there: it"):
            use()
    with pytest.raises(TargetError) as caught:
        find_in(loaded, "Data")
    assert str(caught.value) == (
        "Data of script.py is not there: its definition in line 31 failed: sets of script.py is "
        f"not there: its import in line 8 failed: {error}."
    )


def test_lines_and_sources_are_the_files(script, tmp_path):
    """In tracebacks and for inspect."""
    loaded = script(ARTICLE)
    cls = classes_of(loaded)[0]
    assert inspect.getsource(cls).startswith("class SimpleNet(nn.Module):\n")
    assert inspect.getsourcelines(cls.forward)[1] == 22
    assert inspect.getsourcefile(cls) == str(tmp_path / "script.py")
    assert loaded.module.__doc__ == "An article's script."
    with pytest.raises(RuntimeError) as caught:
        cls()(torch.zeros(2, 3))
    assert any(
        (entry.path.name, entry.lineno + 1) == ("script.py", 23) for entry in caught.traceback
    )


def test_classes_can_be_pickled_and_are_loaded_once(script, tmp_path):
    """Pickle finds them by module; an edited file gives new ones; no path entry stays behind."""
    before = list(sys.path)
    loaded = script(ARTICLE)
    net = classes_of(loaded)[0]()
    assert type(pickle.loads(pickle.dumps(net))) is type(net)
    assert load_script(tmp_path / "script.py") is loaded
    assert classes_of(script(ARTICLE + "\nx = 1\n"))[0] is not type(net)
    assert sys.path == before


@pytest.mark.parametrize(
    "line",
    [
        "x = 3",
        "x: int = 3",
        "a, x = 1, 2",
        "x = a = [1, 2]",
        "x = {'a': (1, 2.5)}['a']",
        "x = [2 ** i for i in range(4)]",
        "x = 'a b'.split()",
        "x = f'{3}' + str(4)",
        "x = lambda v: undefined(v)",
        "x = len('abc') if nn else 3",
        "x = os.environ.get('HOME', '').lower()",
        "x = os.path.join(os.path.dirname(__file__), 'data')",
        "x = Path(__file__).resolve().parent / 'data'",
        "x = TypeVar('x', bound=nn.Module)",
        "x = namedtuple('x', 'a b')",
        "x = partial(nn.Linear, 3)",
        "x = logging.getLogger(__name__)",
        "x = torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "x = torch.float32",
        "x = math.sqrt(2) * math.pi",
        "x = type('x', (nn.Module,), {})",
        "x = {}; x['a'] = 3; x.update(b=4)",
        "x = []\nx.append(3)",
        "if TYPE_CHECKING:\n    import no_such_module\nx = 1",
        "if torch.cuda.is_available():\n    x = 1\nelse:\n    x = 2",
        "try:\n    import no_such_module\nexcept ImportError:\n    x = None",
        "try:\n    from torch import no as x\nexcept ImportError:\n    from torch import nn as x",
        "with contextlib.suppress(ImportError):\n    import no_such_module\nx = 3",
        (
            "parser = argparse.ArgumentParser()\nparser.add_argument('--x', default=3)\n"
            "x = parser.parse_args().x"
        ),
        "from torch.nn import *\nx = Linear",
        "class Size:\n    width = 3\nSize.height = 4\nx = 3",
    ],
)
def test_simple_statements_run(script, line):
    """Whatever makes a value without reading, writing or computing much."""
    heads = (
        "import argparse, contextlib, logging, math, os\nimport torch\nfrom torch import nn\n"
        "from collections import namedtuple\nfrom functools import partial\n"
        "from pathlib import Path\nfrom typing import TYPE_CHECKING, TypeVar\n"
    )
    loaded = script(heads + line)
    assert loaded.left_out == ()
    assert loaded.import_failures == ()
    assert not isinstance(vars(loaded.module)["x"], Missing)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("x = open('data').read()", "it calls open('data').read"),
        ("x = open('data')", "it calls open"),
        ("x = work()", "it calls work"),
        ("x = Net()", "it calls Net"),
        ("x = torch.load('net.pt')", "it calls torch.load"),
        ("x = torch.randn(3)", "it calls torch.randn"),
        ("x = os.system('true')", "it calls os.system"),
        ("x = [work() for _ in range(3)]", "it calls work"),
        ("x = undefined + 1", "it needs 'undefined', which is not bound"),
        ("work()", "it does something and defines nothing"),
        ("print(Net)", "it does something and defines nothing"),
        ("torch.manual_seed(0)", "it does something and defines nothing"),
        ("torch.backends.cudnn.benchmark = True", "it changes another module"),
        ("Path('new').mkdir()", "it does something and defines nothing"),
        ("x = Path('new').touch()", "it calls Path('new').touch"),
        ("with torch.no_grad():\n    x = work()", "it does something"),
        ("while True:\n    pass", "it loops"),
        ("assert work()", "it does something"),
        ("if __name__ == '__main__':\n    x = work()", "it is the main block"),
        ("if work():\n    x = 3", "it calls work"),
        ("x = 1 // 0", "ZeroDivisionError: integer division or modulo by zero"),
        ("try:\n    work()\nexcept ValueError:\n    pass", "it does something"),
    ],
)
def test_work_is_left_out(script, tmp_path, line, reason):
    """With the reason; a name that it would bind says so when it is used."""
    heads = (
        "import os\nimport torch\nfrom torch import nn\nfrom pathlib import Path\n"
        "def work():\n    raise SystemExit('worked')\n"
        "class Net(nn.Module):\n    def __init__(self):\n        work()\n"
    )
    loaded = script(heads + line)
    assert loaded.left_out == ((10, line.split("\n")[0], reason),)
    if "x =" in line:
        with pytest.raises(TargetError, match=r"x of script\.py is not there: it is set by line 1"):
            loaded.module.x()
    assert [entry.name for entry in tmp_path.iterdir()] == ["script.py"]


def test_what_a_definition_needs_runs(script):
    """A class body or a default that needs work gets it, and what that needs itself."""
    loaded = script(
        "from torch import nn\n"
        "def read(): return [1, 2, 3]\n"
        "words = read()\n"
        "unused = read()\n"
        "vocabulary = read() + words\n"
        "class Net(nn.Module):\n"
        "    size = len(vocabulary)\n"
        "def build(width=len(words)): return width\n"
    )
    assert classes_of(loaded)[0].size == 6
    assert loaded.module.build() == 3
    assert left_lines(loaded) == [4]


def test_what_bodies_use_runs_if_it_only_builds(script):
    """Tensors and modules that a forward uses are there; what trains or reads is not."""
    loaded = script(
        "import torch\nfrom torch import nn\n"
        "MASK = torch.tril(torch.ones(4, 4))\n"
        "unused = torch.ones(4)\n"
        "loader = torch.utils.data.DataLoader([1])\n"
        "def scale(x): return x * SCALE\n"
        "SCALE = torch.tensor(2.0)\n"
        "class Net(nn.Module):\n"
        "    def forward(self, x): return scale(x) @ MASK\n"
        "    def fit(self): return next(iter(loader))\n"
    )
    net = classes_of(loaded)[0]()
    assert torch.equal(net(torch.eye(4)), 2 * torch.ones(4, 4).tril())
    assert left_lines(loaded) == [4, 5]
    with pytest.raises(TargetError, match=r"loader of script\.py is not there"):
        net.fit()


def test_a_wanted_name_is_built(script):
    """`file.py:model` asks for what is otherwise left out."""
    source = (
        "from torch import nn\nwidth = sum([1, 2])\n"
        "class Net(nn.Module):\n    pass\nmodel = nn.Sequential(Net(), nn.Linear(width, 2))\n"
    )
    assert isinstance(script(source).module.model, Missing)
    assert find_in(script(source, wanted=["model"]), "model")[1].in_features == 3


def test_a_relative_import_gets_its_own_advice(script):
    """A file alone has no package."""
    loaded = script("from .layers import Net\n")
    (failure,) = loaded.import_failures
    assert (failure.module, failure.line) == (".layers", 1)
    assert failure.error.endswith("Fix: give the module, such as pkg.mod:Net, not its file")


def test_names_that_an_import_does_have_are_bound(script):
    """Only the missing one of several is missing."""
    loaded = script("from torch import nn, no_such_name\nimport torch.no_such_module\n")
    assert loaded.module.nn is nn
    assert loaded.module.torch is torch
    assert isinstance(loaded.module.no_such_name, Missing)
    assert [failure.line for failure in loaded.import_failures] == [1, 2]


def test_custom_operators_are_registered(script):
    """A registration is no work: without it the layer would be another one."""
    loaded = script(
        "import torch\nfrom torch import Tensor, nn\n"
        "@torch.library.custom_op('layerwright_scripts_test::double', mutates_args=())\n"
        "def double(x: Tensor) -> Tensor:\n    return x * 2\n"
        "def backward(ctx, grad):\n    return grad * 2\n"
        "double.register_autograd(backward)\n"
        "class Net(nn.Module):\n    def forward(self, x): return double(x)\n"
    )
    x = torch.ones(3, requires_grad=True)
    classes_of(loaded)[0]()(x).sum().backward()
    assert x.grad.tolist() == [2, 2, 2]


def test_an_annotation_that_cannot_be_had_does_not_matter(script):
    """The class does not need the package to work."""
    loaded = script(
        "from no_such_package import Float\nfrom torch import nn\n"
        "class Net(nn.Module):\n    def forward(self, x: Float[3]) -> Undefined: return x\n"
    )
    assert classes_of(loaded)[0]()(3) == 3
    assert loaded.left_out == ()


def test_a_name_in_a_constructor_that_is_missing_is_no_fault_of_the_layer(script):
    """It is told as what it is: a statement that was left out."""
    loaded = script(
        "from torch import nn\nvocabulary = load()\n"
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.table = nn.Embedding(len(vocabulary), 3)\n"
    )
    with pytest.raises(TargetError, match=r"vocabulary of script\.py .* line 2, which was left ou"):
        classes_of(loaded)[0]()


def test_all_of_it_runs_when_asked(script, capsys):
    """As `python script.py` does, the main block included and without arguments."""
    source = (
        "import sys\nprint('works', len(sys.argv))\nif __name__ == '__main__':\n    x = 7\n"
        "class Local: pass\n"
    )
    loaded = script(source, run=True)
    assert loaded.module.x == 7
    assert capsys.readouterr().out == "works 1\n"
    assert loaded.left_out == ()
    assert loaded.module.Local.__module__ == loaded.module.__name__
    assert isinstance(script(source).module.x, Missing)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\nif x\n", "SyntaxError: expected ':' ({file}, line 2)."),
        ("x = 1\nreturn x\n", "SyntaxError: 'return' outside function ({file}, line 2)."),
        ("%matplotlib inline\n", "SyntaxError: invalid syntax ({file}, line 1)."),
    ],
)
def test_what_is_no_python_is_refused(script, tmp_path, source, message):
    """With the line, and nothing stays behind."""
    modules = set(sys.modules)
    with pytest.raises(TargetError) as caught:
        script(source)
    file = tmp_path / "script.py"
    assert str(caught.value) == f"{file} could not be imported: " + message.format(file=file)
    assert not [name for name in set(sys.modules) - modules if name.startswith("script_")]


def test_a_script_that_fails_when_run_names_its_line(script, tmp_path):
    """The user asked to run it."""
    with pytest.raises(TargetError, match=r"ZeroDivisionError: division by zero \(.*, line 2\)"):
        script("x = 1\nx / 0\n", run=True)


def test_names_that_are_not_there_get_the_nearest(script, tmp_path):
    """A file that does not exist is told too."""
    loaded = script("class Net:\n    class Block:\n        pass\n")
    assert find_in(loaded, "Net.Block") is loaded.module.Net.Block
    with pytest.raises(TargetError) as caught:
        find_in(loaded, "Ned")
    file = tmp_path / "script.py"
    assert str(caught.value) == (
        f"{file} expected the name 'Ned', which it does not define. Did you mean 'Net'?"
    )
    with pytest.raises(TargetError, match="expected a file, which does not exist"):
        load_script(tmp_path / "nowhere.py")
