"""What the page takes from inspection, and what stands there where it cannot."""

from pathlib import Path

import torch
from torch import nn

from layerwright.cli.run_report import inspected
from layerwright.errors import OptionError
from layerwright.reports.run_page.content import LayerNumbers, NotMeasured, Summary

INPUTS = (torch.ones(2, 3),)


def looked_at(folder=Path("nowhere")):
    """Return summary, graph and layers of a small network in evaluation mode."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    target = torch.tensor([0, 1])
    return (
        inspected.summary_of(network, INPUTS),
        inspected.graph_of(network, INPUTS),
        inspected.layers_of(folder, network, INPUTS, target, nn.functional.cross_entropy),
    )


def fails(*_args, **_options):
    """Stand in for a tool that cannot do its work."""
    raise OptionError("this network cannot be seen")


def test_a_tool_that_fails_leaves_its_reason(monkeypatch):
    """The other parts of the page are not its business."""
    for tool in ("summary", "draw", "trace"):
        monkeypatch.setattr(inspected, tool, fails)
    assert looked_at() == (NotMeasured("this network cannot be seen"),) * 3


def test_summary_graph_and_layers_of_a_network(tmp_path):
    """Counts by hand: 3 * 4 + 4 and 4 * 2 + 2 parameters, a multiply-add is two operations."""
    (tmp_path / "watch.png").write_bytes(b"PNG")
    summary, graph, layers = looked_at(tmp_path)
    assert isinstance(summary, Summary)
    rows = {row[0].strip(): row[3:] for row in summary.modules.rows}
    assert rows["0"] == ("16", str(2 * 2 * 3 * 4))
    assert rows["1"] == ("", "")
    assert rows["2"] == ("10", str(2 * 2 * 4 * 2))
    assert summary.totals[0].startswith("26 parameters, 0 of them frozen")
    assert graph.lstrip().startswith(("<?xml", "<svg"))
    assert isinstance(layers, LayerNumbers)
    assert [row[0] for row in layers.table.rows if row[1] == "Linear"] == ["0", "2"]
    assert layers.heat_map == b"PNG"
    assert layers.verdict == ("no layer dies or explodes",)
