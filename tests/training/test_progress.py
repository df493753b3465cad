"""What a person sees."""

import io

from rich.console import Console

from layerwright.training.progress import Progress, format_value

ROW = {
    "epoch": 1,
    "step": 20,
    "lr": 0.001,
    "train": {"loss": 1.25},
    "validation": {"loss": 0.5, "accuracy": 0.9861, "confusion-matrix": [[1, 0], [0, 1]]},
}


def written(*, terminal):
    file = io.StringIO()
    progress = Progress(Console(file=file, force_terminal=terminal, width=100), 3, 20)
    progress.start_epoch(0)
    progress.live(0, 10, 1.5, 0.001)
    progress.row(ROW, 2.0, is_best=True)
    return file.getvalue()


def test_without_a_terminal_there_are_plain_lines_only():
    """No carriage return and no escape sequence; a header, then a row; tables are left out."""
    text = written(terminal=False)
    assert "\r" not in text
    assert "\x1b" not in text
    header, row = text.splitlines()
    names = ["epoch", "step", "train loss", "val loss", "val accuracy", "lr"]
    assert header.split() == " ".join([*names, "seconds"]).split()
    assert max(len(header), len(row)) < 80  # an ordinary terminal
    assert row.split() == ["1/3", "20", "1.2500", "0.5000", "98.61", "%", "0.001", "2.0", "*"]


def test_on_a_terminal_the_live_line_is_wiped_before_a_row():
    """The live line shows epoch, share, rate, loss; it leaves nothing behind."""
    live, wiped, rest = written(terminal=True).split("\r", 3)[1:]
    assert live.startswith("epoch 1/3  ━━━━━━━━━━╌╌╌╌╌╌╌╌╌╌  50%")
    assert "loss 1.5000" in live
    assert wiped.strip() == ""
    assert len(wiped) == len(live)
    assert "98.61 %" in rest


def test_silence():
    """Without a console nothing is written and nothing fails."""
    progress = Progress(None, 1, None)
    progress.live(0, 1, 1.0, 1.0)
    progress.row(ROW, 1.0, is_best=False)
    progress.say("nothing")


def test_shares_are_written_in_percent():
    """Accuracies as people quote them, other values as numbers."""
    assert format_value("accuracy", 0.98611) == "98.61 %"
    assert format_value("top-5", 1.0) == "100.00 %"
    assert format_value("loss", 0.12345) == "0.1235"
