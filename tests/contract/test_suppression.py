"""What users switch off, in comments and in pyproject.toml."""

import pytest
from torch import nn

from layerwright.contract.suppression import (
    Config,
    ignore_for,
    ignores_in,
    load_config,
    notes_on,
)
from layerwright.errors import OptionError

SOURCE = '''"""A layer."""
# layerwright: ignore[STA003] the whole file
import torch
from torch import nn

TEXT = "# layerwright: ignore[GRD009]"


@nn.decorated
class Net(  # layerwright: ignore[GRD001, input-mutated] on purpose
    nn.Module,
):
    def forward(self, x):
        return torch.add(
            x,  # layerwright:ignore[PUR002]
            1,
        )

    # layerwright: ignore[GRD007] speaks for nothing
    def other(self):
        pass  # layerwright: ignore


class Other(nn.Module):
    pass
'''
NET_LINES = (10, 21)
KNOWN = {"GRD001": "wrong-gradient", "PUR002": "input-mutated", "STA003": "state-lost"}


@pytest.fixture
def ignores():
    """The comments of SOURCE."""
    return ignores_in(SOURCE)


def test_a_comment_in_a_class_head_speaks_for_the_class(ignores):
    """By id and by name, for the decorator's line, the class line and every line inside."""
    for line in (9, 10, 13, 21):
        assert ignore_for("GRD001", "wrong-gradient", [line], ignores).reason == "on purpose"
        assert ignore_for("XYZ009", "input-mutated", [line], ignores).line == 10
    assert ignore_for("GRD001", "wrong-gradient", [24, None], ignores) is None
    assert ignore_for("GRD002", "other-rule", [10], ignores) is None


def test_a_comment_on_a_statement_speaks_for_the_statement(ignores):
    """All lines of it, and no other; a comment inside a text is none."""
    hits = [line for line in range(1, 26) if ignore_for("PUR002", "a-b", [line], ignores)]
    assert hits == [14, 15, 16, 17]
    assert not any(ignore_for("GRD009", "a-b", [line], ignores) for line in range(1, 26))


def test_a_comment_above_all_code_speaks_for_the_file(ignores):
    """The docstring may stand above it; further down it speaks for its own line only."""
    assert ignore_for("STA003", "state-lost", [25], ignores).reason == "the whole file"
    assert [line for line in range(26) if ignore_for("GRD007", "a-b", [line], ignores)] == [19]


def test_comments_without_effect_are_told(ignores):
    """An unknown rule with the nearest known one, and a comment without brackets."""
    assert notes_on(ignores, KNOWN, "net.py") == (
        "net.py:19 ignores 'GRD007', which is no rule. Did you mean 'GRD001'?",
        (
            "net.py:21 ignores nothing: it expected rules in brackets, such as "
            "# layerwright: ignore[GRD001]."
        ),
    )


def test_a_file_that_is_no_python_has_no_comments():
    """Its fault is told elsewhere."""
    assert ignores_in("class Net(:  # layerwright: ignore[GRD001]\n") == ()
    assert ignores_in("") == ()


def write(folder, text):
    """Write a pyproject.toml."""
    (folder / "pyproject.toml").write_text(text)


def test_the_nearest_pyproject_counts(tmp_path):
    """It is looked for upwards; without one, or without the table, nothing is set."""
    inner = tmp_path / "src" / "net"
    inner.mkdir(parents=True)
    write(tmp_path, "[project]\nname = 'x'\n")
    assert load_config(inner) == Config(file=tmp_path / "pyproject.toml")
    write(tmp_path / "src", '[tool.layerwright]\nselect = ["GRD", "PUR002"]\nrules = ["my.rules"]')
    config = load_config(inner)
    assert config.file == tmp_path / "src" / "pyproject.toml"
    assert (config.select, config.ignore) == (("GRD", "PUR002"), ())
    assert config.rules == ("my.rules",)


def test_traits_and_expected_failures_belong_to_classes(tmp_path):
    """A key is pkg.mod:Class or a pattern of class names; later entries win."""
    write(
        tmp_path,
        """
        [tool.layerwright.traits."*Linear"]
        mixes_batch = true
        batch-dim = "none"
        [tool.layerwright.traits."torch.nn.modules.linear:Linear"]
        mixes_batch = false
        frozen_parameters = ["w*"]
        [tool.layerwright.expect-failures."Linear"]
        GRD001 = "known, see issue 7"
        """,
    )
    config = load_config(tmp_path)
    assert config.traits_of(nn.Linear) == {
        "mixes_batch": False,
        "batch_dim": None,
        "frozen_parameters": ["w*"],
    }
    assert config.traits_of(nn.Bilinear) == {}
    assert config.traits_of(nn.LazyLinear) == {"mixes_batch": True, "batch_dim": None}
    assert config.expected_failures_of(nn.Linear) == {"GRD001": "known, see issue 7"}
    assert config.expected_failures_of(nn.LazyLinear) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[tool.layerwright]\nselct = ['GRD']",
            "[tool.layerwright] of {file} has the unknown key 'selct'. Did you mean 'select'?",
        ),
        (
            "[tool.layerwright]\nzzz = 1",
            (
                "[tool.layerwright] of {file} has the unknown key 'zzz'. "
                "Known: select, ignore, rules, traits, expect-failures."
            ),
        ),
        (
            "[tool.layerwright]\nignore = 'GRD'",
            "[tool.layerwright] of {file} expected ignore to be a list of texts, received 'GRD'.",
        ),
        ("[tool]\nlayerwright = 3", "[tool.layerwright] of {file} expected a table, received 3."),
        (
            "[tool.layerwright.traits.Net]\nmixes_btch = true",
            (
                "[tool.layerwright] of {file}, traits.\"Net\": unknown trait 'mixes_btch'. "
                "Did you mean 'mixes_batch'?"
            ),
        ),
        (
            "[tool.layerwright]\ntraits = {Net = 3}",
            (
                "[tool.layerwright] of {file} expected traits to hold one table a class, such as "
                "traits.\"Net\", received {'Net': 3}."
            ),
        ),
        (
            "[tool.layerwright.expect-failures.Net]\nGRD001 = ''",
            (
                '[tool.layerwright] of {file}, expect-failures."Net" expected a reason for GRD001, '
                "received ''."
            ),
        ),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, text, message):
    """The message names the file, what was expected and what is near."""
    write(tmp_path, text)
    with pytest.raises(OptionError) as caught:
        load_config(tmp_path)
    assert str(caught.value) == message.replace("{file}", str(tmp_path / "pyproject.toml"))


def test_broken_toml_is_told_with_its_line(tmp_path):
    """As tomllib found it."""
    write(tmp_path, "[tool.layerwright]\nselect = [\n")
    with pytest.raises(OptionError, match=r"pyproject\.toml expected TOML, received: .*line 2"):
        load_config(tmp_path)
    write(tmp_path, "a = 1\nb = = 2\n")
    with pytest.raises(OptionError, match="line 2"):
        load_config(tmp_path)
