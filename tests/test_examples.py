"""The examples: each tells its story to the end, in a process of its own, offline."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

# by example: what its last lines say, in order, as regular expressions
LAST_LINES = {
    "01_a_wrong_layer.py": [
        r"epoch 10  validation accuracy 9\d\.\d\d %",
        r"test accuracy 9\d\.\d\d %",
    ],
    "02_the_articles_snippets.py": [r"25 of 25 verdicts as expected"],
    "03_prove_your_own_backward.py": [r"[6-9]\d passed, \d+ skipped in .*", r"as expected"],
    "05_cure_a_network_that_does_not_learn.py": [r"test accuracy [7-9]\d\.\d\d % after 8 epochs"],
    "04_start_from_another_run.py": [
        r"from scratch \d\d\.\d%, started from the first run \d\d\.\d%"
    ],
    "06_classify_and_locate.py": [
        r"in the scene \[[\d, ]+\], found \[[\d, ]+\]",
        r"mean average precision over the test scenes, at an overlap of 0\.5: 0\.9\d\d",
    ],
    "07_sentiment_from_text.py": [
        r"right about sentences held out: words alone \d\d(\.\d)? %, words and pairs \d+(\.\d)? %",
        r"'the ending was not bad' is positive \(\d\d\.\d %\)",
    ],
    "08_serve_a_network.py": [
        r"200 images answered in \d+ batches, the largest of \d+; the classes are those of the run",
        r"  no JSON        400  expected JSON such as .*",
        r"  no image       422  expected an image that can be read",
        r"  no known kind  415  expected image/png or application/json, received 'text/plain'",
        r"  wrong shape    422  expected 1 to 32 samples of shape \[1, 28, 28\], received \(1, 2\)",
        r"  too large      413  expected at most 4194304 bytes",
    ],
}


def test_every_example_is_run():
    """None is forgotten, and each begins with its story."""
    names = sorted(item.name for item in EXAMPLES.iterdir() if item.name != "__pycache__")
    assert names == sorted(LAST_LINES)
    for name in names:
        assert (EXAMPLES / name).read_text(encoding="utf-8").startswith('"""')


@pytest.mark.parametrize("name", LAST_LINES)
def test_the_example_ends_as_it_promises(name, tmp_path):
    """Exit code 0, nothing on standard error, nothing written, and the visible result."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
        cwd=tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "http_proxy": "http://127.0.0.1:9"},
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout[-3000:] + done.stderr
    lines = done.stdout.rstrip().splitlines()[-len(LAST_LINES[name]) :]
    for line, pattern in zip(lines, LAST_LINES[name], strict=True):
        assert re.fullmatch(pattern, line), line
    assert list(tmp_path.iterdir()) == []
