"""AOTInductor packages: compared as the others, and never loaded from elsewhere."""

import shutil
import zipfile

import pytest
import torch
from torch import nn

import layerwright
from layerwright.errors import ExportError, OptionError
from layerwright.exporting.opened_file import open_exported


class Named(nn.Module):
    """Named inputs and a dict of outputs."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x, *, mask):
        hidden = self.linear(x).masked_fill(~mask.unsqueeze(-1), 0.0)
        return {"sum": hidden.sum(1), "best": hidden.sum(1).argmax(-1)}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
def test_a_package_is_compared_and_not_opened_by_predict(tmp_path):
    """On every batch, in a fresh process; the sources of this machine's folders are not in it."""
    network = Named().eval()
    inputs = {"x": torch.randn(4, 5, 4), "mask": torch.rand(4, 5) < 0.7}
    path = tmp_path / "net.pt2"
    exported = layerwright.export(network, path, inputs=inputs, aot=True)
    assert {item.batch for item in exported.comparisons} == {1, 2, 3, 4, 8}
    assert [item.name for item in tmp_path.iterdir()] == ["net.pt2"]
    with zipfile.ZipFile(path) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".cpp")]
    with pytest.raises(ExportError, match=r"holds machine code .* which runs when it is loaded"):
        open_exported(path)
    package = torch._inductor.aoti_load_package(str(path))
    x, mask = torch.randn(7, 5, 4), torch.rand(7, 5) < 0.5
    assert torch.allclose(package(x=x, mask=mask)["sum"], network(x, mask=mask)["sum"], atol=1e-5)
    assert '"network": "Named"' in package.get_metadata()["layerwright"]


def test_without_a_compiler_nothing_is_begun(tmp_path, monkeypatch):
    """And with other options that do not go together."""
    options = {"inputs": torch.randn(2, 2), "aot": True}
    with pytest.raises(OptionError, match=r"aot expected a \.pt2 file"):
        layerwright.export(nn.Linear(2, 2), tmp_path / "net.onnx", **options)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ExportError, match=r"there is no g\+\+\. Fix: install g\+\+"):
        layerwright.export(nn.Linear(2, 2), tmp_path / "net.pt2", **options)
    assert list(tmp_path.iterdir()) == []
