"""Nothing that is loaded runs code: crafted files are refused, with a reason, and run nothing."""

import io
import json
import pickle
import zipfile

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from layerwright.cli.app import main
from layerwright.errors import ExportError
from layerwright.exporting.opened_file import open_exported
from layerwright.exporting.vetted_pt2 import vetted_archive


class Bomb:
    """What a pickle can do when it is loaded: here it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture
def trace(tmp_path):
    """The file that would appear if code of a crafted file ran."""
    path = tmp_path / "ran"
    yield path
    assert not path.exists()


def rewritten(source, target, change):
    """Copy an archive; `change` gets each member's name and content, and returns the content."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for item in old.infolist():
            content = change(item.filename.partition("/")[2], old.read(item))
            if content is not None:
                new.writestr(item.filename, content)
    return target


def program_with(pt2_file, target, change):
    """Copy a .pt2 file with another program."""

    def edited(name, content):
        if name != "models/model.json":
            return content
        program = json.loads(content)
        change(program)
        return json.dumps(program).encode()

    return rewritten(pt2_file, target, edited)


def refusal(path):
    """Return why a file is refused."""
    with pytest.raises(ExportError) as caught:
        open_exported(path)
    return str(caught.value)


def test_an_untouched_file_opens(pt2_file, tmp_path):
    """The rewriting of the tests below breaks nothing by itself."""
    path = program_with(pt2_file, tmp_path / "same.pt2", lambda _: None)
    assert open_exported(path).facts["task"] == "classification"


@pytest.mark.parametrize("suffix", [".onnx", ".pt2", ".safetensors"])
def test_a_pickle_under_another_suffix_is_refused(suffix, tmp_path, trace, capsys):
    """Of Python and of torch.save; predict says so in one line."""
    path = tmp_path / f"net{suffix}"
    path.write_bytes(pickle.dumps(Bomb(trace)))
    assert "is a pickle, and loading a pickle can run any code" in refusal(path)
    torch.save(Bomb(trace), path)
    assert "is a pickle, and loading a pickle can run any code" in refusal(path)
    np.save(tmp_path / "x.npy", np.zeros((1, 8, 8)))
    assert main(["predict", str(path), str(tmp_path / "x.npy")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_script_under_another_suffix_is_refused(tmp_path):
    """TorchScript holds code too."""
    with pytest.warns(DeprecationWarning, match=r"torch.jit"):
        scripted = torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2))
    with pytest.warns(DeprecationWarning, match=r"torch.jit"):
        torch.jit.save(scripted, tmp_path / "net.pt2")
    assert "is refused" in refusal(tmp_path / "net.pt2")


def test_a_pickle_of_sample_inputs_is_refused(pt2_file, tmp_path, trace):
    """torch.export.load falls back to unpickling them without restriction."""
    content = io.BytesIO()
    torch.save(((Bomb(trace),), {}), content)
    path = rewritten(
        pt2_file,
        tmp_path / "net.pt2",
        lambda name, old: content.getvalue() if "sample_inputs" in name else old,
    )
    assert "its sample inputs hold more than tensors" in refusal(path)


def test_pickled_weights_are_refused(pt2_file, tmp_path, trace):
    """torch.export.load unpickles those that are marked so."""
    content = io.BytesIO()
    torch.save(Bomb(trace), content)

    def changed(name, old):
        if name.endswith("model_weights_config.json"):
            config = json.loads(old)
            for payload in config["config"].values():
                payload["use_pickle"] = True
            return json.dumps(config).encode()
        return content.getvalue() if "/weight_" in name else old

    path = rewritten(pt2_file, tmp_path / "net.pt2", changed)
    assert "are a pickle, which can run any code" in refusal(path)


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        ("data/constants/custom_obj_0", "holds a pickled object"),
        ("data/constants/opaque_obj_0", "holds a pickled object"),
        ("data/aotinductor/model/model.so", "holds machine code"),
        ("data/weights/model.pt", "which torch.export does not write"),
        ("../outside", "which torch.export does not write"),
    ],
)
def test_members_that_run_or_escape_are_refused(member, reason, pt2_file, tmp_path):
    """Whatever else lies in the archive."""
    path = rewritten(pt2_file, tmp_path / "net.pt2", lambda _, old: old)
    with zipfile.ZipFile(path, "a") as archive:
        root = archive.namelist()[0].partition("/")[0]
        archive.writestr(f"{root}/{member}", b"")
    assert reason in refusal(path)


def test_two_members_of_one_name_are_refused(pt2_file, tmp_path):
    """Two readers could read different ones."""
    path = rewritten(pt2_file, tmp_path / "net.pt2", lambda _, old: old)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(archive.namelist()[0], b"")
    assert "two of its members have one name" in refusal(path)


def call(program, target, argument):
    """Put a call of `target` on a text into a program."""
    node = json.loads(json.dumps(program["graph_module"]["graph"]["nodes"][-1]))
    node["target"] = target
    node["inputs"] = [{"name": "x", "arg": {"as_string": argument}, "kind": 1}]
    program["graph_module"]["graph"]["nodes"].append(node)


def size(program, text):
    """Replace a size of a program by an expression."""
    for meta in program["graph_module"]["graph"]["tensor_values"].values():
        meta["sizes"] = [
            {"as_expr": {"expr_str": text, "hint": None}} if "as_expr" in item else item
            for item in meta["sizes"]
        ]


def tree(program, kind, context=None):
    """Replace the description of the inputs."""
    spec = json.dumps([1, {"type": kind, "context": context, "children_spec": []}])
    for entry in program["graph_module"]["module_call_graph"]:
        if entry["signature"] is not None:
            entry["signature"]["in_spec"] = spec


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda p, t: call(p, "torch.os.system", f"touch {t}"), "calls 'torch.os.system'"),
        (lambda p, t: call(p, "torch.serialization.load", "x"), "is no operator of torch's own"),
        (lambda p, t: call(p, "torch.ops.aten.from_file.default", str(t)), "aten.from_file"),
        (lambda p, t: call(p, "torch.ops.loaded.anything.default", "x"), "ops.loaded.anything"),
        (lambda p, t: call(p, "_operator.attrgetter", "x"), "_operator.attrgetter"),
        (lambda p, t: size(p, f"open('{t}', 'w')"), "which could run code"),
        (lambda p, t: size(p, f"__import__('os').system('touch {t}')"), "which could run code"),
        (lambda p, t: size(p, "Add(exit)"), "which could run code"),
        (lambda p, t: size(p, "().__class__"), "which could run code"),
        (lambda p, t: size(p, "Integer('exit()')"), "which could run code"),
        (lambda p, t: tree(p, "collections.namedtuple"), "hold 'collections.namedtuple'"),
        (lambda p, t: tree(p, "collections.defaultdict", "[]"), "collections.defaultdict"),
        (
            lambda p, t: tree(p, "builtins.dict", json.dumps([{"__enum__": True, "fqn": "a:B"}])),
            "inputs or outputs are described by",
        ),
        (
            lambda p, t: tree(p, "builtins.dict", json.dumps(["x):\n import os #"])),
            "inputs or outputs are described by",
        ),
        (
            lambda p, t: p["graph_module"]["graph"]["inputs"].append(
                {"as_tensor": {"name": 'x"); print("x'}}
            ),
            "a text in its program is",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_program_that_could_run_code_is_refused(change, reason, pt2_file, tmp_path, trace):
    """Operators, sizes, names and the nesting of inputs are read by a list of what is allowed."""
    path = program_with(pt2_file, tmp_path / "net.pt2", lambda program: change(program, trace))
    assert reason in refusal(path)


def test_torch_would_have_run_it(pt2_file, tmp_path):
    """The danger is real: torch.export.load evaluates a size."""
    trace = tmp_path / "ran"
    text = f"__import__('pathlib').Path('{trace}').touch()"
    path = program_with(pt2_file, tmp_path / "net.pt2", lambda program: size(program, text))
    with pytest.raises(Exception, match=r"."):
        torch.export.load(path)
    assert trace.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + b"\0" * 18, b"PK\x03\x04 and no more"])
def test_damaged_archives_are_refused(content, tmp_path):
    """Not a crash of torch."""
    path = tmp_path / "net.pt2"
    path.write_bytes(content)
    with pytest.raises(ExportError, match=r"is refused"):
        vetted_archive(path)


def onnx_model(location=None, node=None):
    """A model that adds a constant whose values lie in a file, or that has one node."""
    constant = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[2])
    if location is None:
        constant.raw_data = np.ones(2, np.float32).tobytes()
    else:
        constant.data_location = TensorProto.EXTERNAL
        constant.external_data.add(key="location", value=str(location))
    nodes = [helper.make_node("Add", ["x", "c"], ["y"])] if node is None else [node]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], [constant])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize(
    "location",
    ["../secret", "/etc/hostname", "sub/../../secret", "link", r"C:\secret", r"..\secret"],
)
def test_external_data_outside_the_folder_is_refused(location, tmp_path):
    """By its path, or by a link that leads there."""
    (tmp_path / "secret").write_bytes(np.ones(2, np.float32).tobytes())
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "net.onnx").write_bytes(onnx_model(location).SerializeToString())
    assert "lie outside its folder" in refusal(folder / "net.onnx")


def test_external_data_is_found_wherever_it_hides(tmp_path):
    """In a constant of a branch, and of a function."""
    hidden = onnx_model("../secret").graph.initializer[0]
    branch = helper.make_graph([helper.make_node("Constant", [], ["y"], value=hidden)], "b", [], [])
    node = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    model = onnx_model(node=node)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    assert "lie outside its folder" in refusal(tmp_path / "net.onnx")


def test_external_data_beside_the_file_is_read(tmp_path):
    """As large models have it."""
    (tmp_path / "data.bin").write_bytes(np.full(2, 3, np.float32).tobytes())
    (tmp_path / "net.onnx").write_bytes(onnx_model("data.bin").SerializeToString())
    (found,) = open_exported(tmp_path / "net.onnx").run([np.ones(2, np.float32)])
    assert found.tolist() == [4, 4]
    (tmp_path / "data.bin").unlink()
    assert "which is missing" in refusal(tmp_path / "net.onnx")


def test_other_onnx_files_that_cannot_run_are_refused(tmp_path):
    """A compiled file by its path, an unknown operator, no model at all, damaged facts."""
    path = tmp_path / "net.onnx"
    node = helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft", embed_mode=0)
    path.write_bytes(onnx_model(node=node).SerializeToString())
    assert "its operator EPContext loads a compiled file" in refusal(path)
    path.write_bytes(onnx_model(node=helper.make_node("Own", ["x"], ["y"])).SerializeToString())
    assert "onnxruntime refuses the file" in refusal(path)
    for content in (b"", b"no model", onnx_model().SerializeToString()[:40]):
        path.write_bytes(content)
        assert "is refused" in refusal(path)
    model = onnx_model()
    model.metadata_props.add(key="layerwright", value='{"format": 1, "class_names": "abc"}')
    onnx.save(model, path)
    assert "received values of another kind" in refusal(path)
    model.metadata_props[0].value = '{"format": 99}'
    onnx.save(model, path)
    assert "expected facts of format 1, received 99" in refusal(path)
