"""The server of the example, asked by a real client on loopback."""

import http.client
import itertools
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

EXAMPLE = Path(__file__).parents[2] / "examples" / "08_serve_a_network.py"


@pytest.fixture(scope="module")
def port(onnx_file):
    """A server of the exported run, in a process of its own."""
    server = subprocess.Popen(
        [sys.executable, str(EXAMPLE), "--serve", str(onnx_file), "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield int(server.stdout.readline().rpartition(":")[2])
        assert server.poll() is None  # nothing that was sent has ended it
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


def ask(port, content, kind="application/json", method="POST", path="/predict"):
    """Send one request; return the status and what was answered."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, content, {"Content-Type": kind})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def as_json(samples):
    """Return the body of a request."""
    return json.dumps({"samples": np.asarray(samples).tolist()})


def test_every_sample_of_every_request_gets_its_own_answer(run, port):
    """Forty requests of one to three samples at once, answered in fewer batches."""
    x = torch.randn(80, 1, 8, 8)
    with torch.no_grad():
        chances, classes = run.network.eval()(x).softmax(1).max(1)
    starts = [sum(1 + place % 3 for place in range(end)) for end in range(41)]
    parts = [x[start:end] for start, end in itertools.pairwise(starts)]
    with ThreadPoolExecutor(20) as clients:
        answers = list(clients.map(lambda part: ask(port, as_json(part)), parts))
    assert {status for status, _ in answers} == {200}
    rows = [row for _, answer in answers for row in answer["predictions"]]
    assert [int(row["class"]) for row in rows] == classes[: len(rows)].tolist()
    expected = chances[: len(rows)].tolist()
    assert [row["probability"] for row in rows] == pytest.approx(expected, rel=1e-5)
    _, about = ask(port, None, method="GET", path="/")
    assert about["batches"] < len(parts)
    assert about["input_shape"] == [1, 8, 8]


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"[1, 2]", "application/json", 400),
        (b'{"samples": "abc"}', "application/json", 400),
        (b'{"samples": [[1], [1, 2]]}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"samples": []}', "application/json", 422),
        (as_json(np.zeros((33, 1, 8, 8))), "application/json", 422),
        (as_json(np.zeros((1, 8, 8))), "application/json", 422),
        (as_json(np.full((1, 1, 8, 8), np.nan)), "application/json", 422),
        (b"\x89PNG\r\n\x1a\nno more", "image/png", 422),
        (b"", "image/png", 422),
        (b"x", "text/plain", 415),
        (bytes(4 * 2**20 + 1), "application/json", 413),
    ],
    ids=lambda value: str(value)[:20],
)
def test_bad_requests_get_4xx_and_a_reason(content, kind, status, port):
    """And the next one is answered."""
    found, answer = ask(port, content, kind)
    assert (found, list(answer)) == (status, ["error"])
    assert answer["error"].startswith("expected ")
    assert ask(port, as_json(np.zeros((1, 1, 8, 8))))[0] == 200


def test_other_methods_and_paths_are_refused(port):
    """As HTTP has it."""
    assert ask(port, None, method="GET")[0] == 405
    assert ask(port, b"", path="/elsewhere")[0] == 404
