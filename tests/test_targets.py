"""What a target means, and what is said when it means nothing."""

import multiprocessing
import pickle
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from layerwright.errors import OptionError, ShapeError, TargetError
from layerwright.targets import build_network, is_object_spec, load_object, resolve_network

NET = """
import torch
from torch import nn

class Net(nn.Module):
    class Block(nn.Module):
        pass

    def __init__(self, hidden, num_classes=3):
        super().__init__()
        self.linear = nn.Linear(hidden, num_classes)

def make_net(input_shape):
    return nn.Linear(input_shape[0], 1)

ANSWER = 42
"""


@pytest.fixture
def net_file(tmp_path, monkeypatch):
    """A user's file, in the current folder."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "net.py"
    file.write_text(NET)
    return file


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("net.py:Net", True),
        ("some folder/my-net.py:Net", True),
        ("../net.py:Net.Block", True),
        ("pkg.mod:Net", True),
        ("C:\\work\\net.py:Net", True),
        ("lenet", False),
        ("pkg.mod", False),
        ("net.py", False),
        ("net.py:", False),
        (":Net", False),
        ("cuda:1", False),
        ("C:\\work\\photos", False),
        ("runs/a-b-1", False),
        ("net.py:3", False),
        ("", False),
    ],
)
def test_object_specs_are_told_from_names_paths_and_devices(text, expected):
    """Only file.py:name and pkg.mod:name are object specs."""
    assert is_object_spec(text) is expected


def test_a_file_gives_its_objects_and_leaves_no_trace(net_file, monkeypatch):
    """Objects are found by name, dotted too; no compiled code and no path entry stays behind."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)  # an environment may set it
    before = list(sys.path)
    net = load_object("net.py:Net")
    assert net.__name__ == "Net"
    assert load_object(f"{net_file}:Net.Block") is net.Block
    assert load_object("net.py:ANSWER") == 42
    assert load_object("net.py").Net is net
    assert sys.path == before
    assert [entry.name for entry in net_file.parent.iterdir()] == ["net.py"]


def test_an_edited_file_is_imported_anew(net_file):
    """The same content gives the same class, another one another class."""
    first = load_object("net.py:Net")
    assert load_object("net.py:Net") is first
    net_file.write_text(NET.replace("42", "43"))
    assert load_object("net.py:Net") is not first
    assert load_object("net.py:ANSWER") == 43


def test_files_of_the_same_name_do_not_meet(net_file, tmp_path):
    """A file named like a library, or like another file, replaces neither."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "net.py").write_text(NET)
    (tmp_path / "torch.py").write_text("ANSWER = 1\n" + NET.replace("import torch\n", ""))
    assert load_object("other/net.py:Net") is not load_object("net.py:Net")
    assert load_object("net.py:torch") is torch


def test_a_file_imports_what_lies_beside_it(tmp_path):
    """The file's folder is importable, though it is not the current one."""
    (tmp_path / "beside_targets_test.py").write_text("VALUE = 7\n")
    (tmp_path / "user.py").write_text("from beside_targets_test import VALUE\n")
    assert load_object(f"{tmp_path / 'user.py'}:VALUE") == 7


def test_objects_of_a_file_can_be_pickled(net_file):
    """Pickle finds the class again by its module; so do workers that are forked."""
    network = load_object("net.py:Net")(hidden=2)
    copied = pickle.loads(pickle.dumps(network))
    assert type(copied) is type(network)
    if "fork" in multiprocessing.get_all_start_methods():
        with multiprocessing.get_context("fork").Pool(1) as pool:
            assert pool.apply(type, (network,)) is type(network)


def test_dataclasses_work_in_a_file(net_file):
    """Dataclasses look their own module up while they are made."""
    net_file.write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "@dataclass\nclass Size:\n    width: int = 3\n"
    )
    assert load_object("net.py:Size")().width == 3


def test_modules_are_found_from_the_current_folder(net_file):
    """pkg.mod:name is what `python -m` would find."""
    package = net_file.parent / "targets_test_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "nets.py").write_text(NET)
    assert load_object("targets_test_package.nets:ANSWER") == 42
    assert load_object("targets_test_package.nets").ANSWER == 42
    assert load_object("torch.nn:Linear") is nn.Linear


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "net.py:Ned",
            (
                "'net.py:Ned' expected the name 'Ned' in net.py, which has no such name. "
                "Did you mean 'Net'?"
            ),
        ),
        (
            "net.py:zzz",
            (
                "'net.py:zzz' expected the name 'zzz' in net.py, which has no such name. "
                "Known: ANSWER, Net, make_net."
            ),
        ),
        (
            "net.py:Net.Blok",
            (
                "'net.py:Net.Blok' expected the name 'Blok' in the class 'Net' in "
                "net.py, which has no such name. Did you mean 'Block'?"
            ),
        ),
        ("nett.py:Net", "nett.py expected a file, which does not exist. Did you mean 'net.py'?"),
        (
            "nowhere/net.py:Net",
            "nowhere/net.py expected a file, and the folder nowhere does not exist.",
        ),
        (
            "no_such_package.mod:Net",
            (
                "'no_such_package.mod' expected a module, and there is no "
                "module 'no_such_package'. Fix: run from the folder that holds it, install it, "
                "or give the path of its .py file."
            ),
        ),
        (
            "torch.no_such:Net",
            (
                "'torch.no_such' expected a module, and there is no module "
                "'torch.no_such'. Fix: run from the folder that holds it, install it, "
                "or give the path of its .py file."
            ),
        ),
        ("not a name", "'not a name' expected the form file.py:name or pkg.mod:name."),
    ],
)
def test_what_cannot_be_found_is_named(net_file, spec, message):
    """The message says what was looked for, and what is near."""
    with pytest.raises(TargetError) as caught:
        load_object(spec)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("source", "failure"),
    [
        (
            "x = 1\nimport no_such_module\n",
            "ModuleNotFoundError: No module named 'no_such_module' ({file}, line 2).",
        ),
        ("x = 1\n\nif x\n", "SyntaxError: expected ':' ({file}, line 3)."),
        (
            "def f():\n    return 1 / 0\n\nf()\n",
            ("ZeroDivisionError: division by zero ({file}, line 2)."),
        ),
        (
            "from torch import nn\nnn.Linear(2, 2)(3)\n",
            (
                "TypeError: linear(): argument 'input' "
                "(position 1) must be Tensor, not int ({file}, line 2)."
            ),
        ),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3 ({file}, line 2)."),
    ],
)
def test_a_failing_import_names_the_users_own_line(net_file, source, failure):
    """Not the line of a library that it called; and no half-made module stays behind."""
    net_file.write_text(source)
    modules = set(sys.modules)
    with pytest.raises(TargetError) as caught:
        load_object("net.py:Net")
    assert str(caught.value) == f"{net_file} could not be imported: " + failure.format(
        file=net_file
    )
    assert not [name for name in set(sys.modules) - modules if name.startswith("net_")]


def test_a_failure_inside_a_module_is_not_called_a_missing_module(net_file):
    """pkg.mod exists, and what it imports does not: that is another message."""
    (net_file.parent / "targets_test_broken.py").write_text("\nimport no_such_module\n")
    with pytest.raises(TargetError) as caught:
        load_object("targets_test_broken:Net")
    file = net_file.parent / "targets_test_broken.py"
    assert str(caught.value) == (
        "targets_test_broken could not be imported: ModuleNotFoundError: "
        f"No module named 'no_such_module' ({file}, line 2)."
    )


def test_networks_are_resolved_from_names_targets_and_objects(net_file):
    """A name, a target, a class, a function and an instance all name a network."""
    instance = nn.Linear(2, 2)
    function = partial(nn.Linear, 2, 2)
    assert resolve_network("lenet").__name__ == "LeNet"
    assert resolve_network("net.py:Net").__name__ == "Net"
    assert resolve_network(nn.Linear) is nn.Linear
    assert resolve_network(function) is function
    assert resolve_network(instance) is instance


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("net.py", TargetError, "net.py expected a name after the file, such as net.py:Net."),
        (
            "torch.nn",
            TargetError,
            "'torch.nn' expected a name after the module, such as torch.nn:Net.",
        ),
        (
            "runs/lenet-mnist-1",
            TargetError,
            (
                "runs/lenet-mnist-1 expected a network, and is a run "
                "folder. Fix: layerwright resume runs/lenet-mnist-1"
            ),
        ),
        (
            "some/where",
            TargetError,
            ("'some/where' expected a built-in network's name, or file.py:Net, or pkg.mod:Net."),
        ),
        (
            "net.py:ANSWER",
            OptionError,
            ("network expected a name, an nn.Module or a function that returns one, received 42."),
        ),
        (
            int,
            OptionError,
            (
                "network expected an nn.Module, received the class 'int', which is "
                "none. Fix: derive it from torch.nn.Module."
            ),
        ),
    ],
)
def test_what_is_no_network_is_refused(net_file, spec, error, message):
    """Each message says what would be one."""
    run = net_file.parent / "runs" / "lenet-mnist-1"
    run.mkdir(parents=True)
    (run / "config.json").write_text("{}")
    with pytest.raises(error) as caught:
        resolve_network(spec)
    assert str(caught.value) == message


def test_an_unknown_network_name_gets_the_nearest():
    """A misspelt built-in name names the one that was meant."""
    with pytest.raises(OptionError, match=r"'lennet'.*'lenet'"):
        resolve_network("lennet")


def test_constructors_get_what_they_name(net_file):
    """input_shape and the number of outputs go to the arguments of these names, options win."""
    seen = {}

    class Named(nn.Module):
        def __init__(self, input_shape, num_outputs, depth=1, **rest):
            super().__init__()
            seen.update(shape=input_shape, outputs=num_outputs, depth=depth, rest=rest)

    build_network(Named, input_shape=(1, 8, 8), num_outputs=10, options={"depth": 2, "width": 5})
    assert seen == {"shape": (1, 8, 8), "outputs": 10, "depth": 2, "rest": {"width": 5}}
    built = build_network("net.py:Net", input_shape=(4,), num_outputs=10, options={"hidden": 4})
    assert (built.linear.in_features, built.linear.out_features) == (4, 10)
    built = build_network("net.py:Net", num_outputs=10, options={"hidden": 4, "num_classes": 2})
    assert built.linear.out_features == 2
    assert build_network("net.py:Net", options={"hidden": 4}).linear.out_features == 3
    assert build_network("net.py:make_net", input_shape=(6,)).in_features == 6
    assert isinstance(build_network(lambda: nn.Sequential(nn.ReLU()))[0], nn.ReLU)


def test_a_built_in_network_fits_the_data_or_says_so():
    """The data's shape and classes reach it; a shape that cannot fit is its ShapeError."""
    network = build_network("simplenet", input_shape=(3, 5, 5), num_outputs=7)
    assert network(torch.zeros(2, 3, 5, 5)).shape == (2, 7)
    with pytest.raises(ShapeError, match="LeNet"):
        build_network("lenet", input_shape=(1, 2, 2), num_outputs=10)


def test_an_instance_is_returned_as_it_is():
    """What is built already takes no options."""
    network = nn.Linear(2, 2)
    assert build_network(network, input_shape=(9,), num_outputs=9) is network
    with pytest.raises(OptionError) as caught:
        build_network(network, options={"bias": False})
    assert str(caught.value) == (
        "network_options expected none for a network that is already built, received "
        "{'bias': False}. Fix: give the class Linear instead of an instance."
    )


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        (
            "net.py:Net",
            {},
            (
                "Net needs hidden, which the data does not tell. Fix: --network-option "
                "hidden=value, or in Python network_options={'hidden': value}."
            ),
        ),
        (
            nn.Linear,
            {},
            (
                "Linear needs in_features, out_features, which the data does not tell. "
                "Fix: --network-option in_features=value, or in Python "
                "network_options={'in_features': value}."
            ),
        ),
        ("net.py:Net", {"hiden": 3}, "Net has no option 'hiden'. Did you mean 'hidden'?"),
        (
            partial(nn.Linear, 2, 2),
            {"zzz": 3},
            ("Linear has no option 'zzz'. Known: bias, device, dtype."),
        ),
        (lambda: 3, {}, "<lambda> expected to return an nn.Module, received int."),
    ],
)
def test_missing_and_unknown_arguments_are_named(net_file, spec, options, message):
    """Nothing is passed silently, and the way to give it is said."""
    with pytest.raises(OptionError) as caught:
        build_network(spec, options=options)
    assert str(caught.value) == message


def test_errors_inside_a_constructor_keep_their_traceback():
    """A user's own bug is shown as it is, not called wrong usage."""

    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            raise TypeError("a bug of the user")

    with pytest.raises(TypeError, match="a bug of the user"):
        build_network(Broken)


def test_a_relative_path_is_taken_from_the_current_folder(net_file, monkeypatch):
    """The path means what it means in the shell."""
    (net_file.parent / "sub").mkdir()
    monkeypatch.chdir(net_file.parent / "sub")
    assert load_object(str(Path("..") / "net.py") + ":ANSWER") == 42
