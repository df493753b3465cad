"""From a trained network to answers over HTTP: export, compare, serve, ask.

The network is trained, and exported to ONNX: the file is kept because onnxruntime gives the
network's answers. A server of its own, with Starlette, uvicorn and onnxruntime and without torch,
reads from the file how pixels are scaled and what the classes are called. Requests that come at
the same time are answered together, as one batch. What is no image, too large or of the wrong
shape gets a 4xx and a sentence that says what was expected.

    python examples/08_serve_a_network.py                       # the whole story, a few seconds
    python examples/08_serve_a_network.py --serve net.onnx 8000 # serve a file of your own
    curl --data-binary @digit.png -H "Content-Type: image/png" http://127.0.0.1:8000/predict
    curl -d '{"samples": [[[[0.5, ...]]]]}' -H "Content-Type: application/json" .../predict

Needs: pip install "layerwright[data,export]" starlette uvicorn
"""

import asyncio
import contextlib
import http.client
import io
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from layerwright.data.input_arrays import read_pixels
from layerwright.errors import LayerwrightError
from layerwright.exporting.opened_file import OpenedFile, open_exported
from layerwright.exporting.preprocessing import normalised

MAX_BATCH = 32  # samples of one call of the network
WAIT_S = 0.005  # for further requests, when there is one
MAX_BYTES = 4 * 2**20  # of a request


class Batches:
    """Answers requests that come at the same time by one call of the network.

    Args:
        network: an exported file.

    Attributes:
        sizes: of the batches so far.
    """

    def __init__(self, network: OpenedFile) -> None:
        self.network = network
        self.waiting: asyncio.Queue[tuple[Any, asyncio.Future[Any]]] = asyncio.Queue()
        self.sizes: list[int] = []

    async def answer(self, samples: Any) -> Any:
        """Return the network's outputs for samples, `(n, ...)`."""
        future = asyncio.get_running_loop().create_future()
        await self.waiting.put((samples, future))
        return await future

    async def work(self) -> None:
        """Collect requests and answer them, for ever."""
        while True:
            group = [await self.waiting.get()]
            deadline = asyncio.get_running_loop().time() + WAIT_S
            while sum(len(samples) for samples, _ in group) < MAX_BATCH:
                left = deadline - asyncio.get_running_loop().time()
                try:
                    group.append(await asyncio.wait_for(self.waiting.get(), max(left, 0)))
                except TimeoutError:
                    break
            batch = np.concatenate([samples for samples, _ in group])
            self.sizes.append(len(batch))
            try:
                (outputs, *_) = await asyncio.to_thread(self.network.run, [batch])
            except Exception as error:  # noqa: BLE001 - whoever asked is told, the server lives on
                for _, future in group:
                    future.set_exception(RuntimeError(str(error)))
                continue
            start = 0
            for samples, future in group:
                future.set_result(outputs[start : start + len(samples)])
                start += len(samples)


def make_app(file: Path) -> Starlette:
    """Return the server of an exported classifier."""
    network = open_exported(file)
    facts, batches = network.facts, Batches(network)

    async def predict(request: Request) -> JSONResponse:
        samples = read_samples(request.headers.get("content-type", ""), await body(request), facts)
        outputs = await batches.answer(samples)
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        chances = powers / powers.sum(axis=1, keepdims=True)
        names = facts["class_names"] or list(map(str, range(outputs.shape[1])))
        found = [{"class": names[row.argmax()], "probability": float(row.max())} for row in chances]
        return JSONResponse({"predictions": found})

    async def about(_: Request) -> JSONResponse:
        known = {name: facts[name] for name in ("network", "input_shape", "class_names")}
        return JSONResponse(
            {**known, "batches": len(batches.sizes), "largest": max(batches.sizes, default=0)}
        )

    async def refused(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for those alone
        return JSONResponse({"error": error.detail}, status_code=error.status_code)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        worker = asyncio.create_task(batches.work())
        yield
        worker.cancel()

    return Starlette(
        routes=[Route("/predict", predict, methods=["POST"]), Route("/", about)],
        exception_handlers={HTTPException: refused},
        lifespan=lifespan,
    )


async def body(request: Request) -> bytes:
    """Read a request, and stop where it is too large."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MAX_BYTES:
            raise HTTPException(413, f"expected at most {MAX_BYTES} bytes")
    return bytes(content)


def read_samples(kind: str, content: bytes, facts: dict[str, Any]) -> Any:
    """Turn a request into samples, `(n, *input_shape)`, ready for the network."""
    shape = facts["input_shape"]
    if kind.startswith("image/"):
        try:
            return normalised(read_pixels(io.BytesIO(content), shape), facts, scale=255.0)
        except LayerwrightError as error:
            raise HTTPException(422, "expected an image that can be read") from error
    if not kind.startswith("application/json"):
        raise HTTPException(415, f"expected image/png or application/json, received {kind!r}")
    try:
        samples = np.asarray(json.loads(content)["samples"], dtype=np.float32)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise HTTPException(400, 'expected JSON such as {"samples": [[...], ...]}') from error
    if list(samples.shape[1:]) != shape or not 0 < len(samples) <= MAX_BATCH:
        raise HTTPException(
            422, f"expected 1 to {MAX_BATCH} samples of shape {shape}, received {samples.shape}"
        )
    if not np.isfinite(samples).all():
        raise HTTPException(422, "expected finite values")
    return samples


def serve(file: Path, port: int) -> None:
    """Serve a file on loopback; port 0 takes a free one, which is printed."""
    listening = socket.create_server(("127.0.0.1", port))
    assert "torch" not in sys.modules  # noqa: S101 - the story would be wrong
    config = uvicorn.Config(make_app(file), log_level="warning")
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run(sockets=[listening])


def ask(port: int, content: bytes, kind: str) -> tuple[int, dict[str, Any]]:
    """Send one request, over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/predict", content, {"Content-Type": kind})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def story(folder: Path) -> None:
    """Train, export, serve, ask."""
    import layerwright as lw  # noqa: PLC0415 - brings torch, which the server does not need

    run = lw.fit("lenet", "digits", epochs=6)
    exported = lw.export(run, folder / "net.onnx")
    print(exported)
    print(f"\ntest accuracy of the run: {100 * run.test['accuracy']:.1f} %")

    server = subprocess.Popen(  # noqa: S603 - this file
        [sys.executable, __file__, "--serve", str(exported.path), "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None  # noqa: S101
        address = server.stdout.readline().strip()
        print(f"serving at {address}, without torch")
        talk(int(address.rpartition(":")[2]), run)
    finally:
        server.terminate()
        server.wait()


def talk(port: int, run: Any) -> None:
    """Ask for many images at once, and compare with the run; then send what is wrong."""
    from PIL import Image  # noqa: PLC0415

    import layerwright as lw  # noqa: PLC0415
    from layerwright.data.catalog import load_data  # noqa: PLC0415

    pixels = (load_data("digits").test.inputs[0][:200] * (255 / 16)).round().byte().numpy()
    images = []
    for digit in pixels:
        stream = io.BytesIO()
        Image.fromarray(digit[0]).save(stream, "png")
        images.append(stream.getvalue())
    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(lambda image: ask(port, image, "image/png"), images))
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{place}.png" for place in range(len(images))]
        for file, image in zip(files, images, strict=True):
            file.write_bytes(image)
        expected = lw.predict(run, files).labels()
    same = [answer["predictions"][0]["class"] for _, answer in answers] == expected
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/")
    about = json.loads(connection.getresponse().read())
    connection.close()
    print(
        f"{len(images)} images answered in {about['batches']} batches, the largest of "
        f"{about['largest']}; the classes are {'those of the run' if same else 'OTHERS'}"
    )
    assert same  # noqa: S101 - the story would be wrong
    wrong = {
        "no JSON": (b"{", "application/json"),
        "no image": (b"a text", "image/png"),
        "no known kind": (b"a text", "text/plain"),
        "wrong shape": (b'{"samples": [[1, 2]]}', "application/json"),
        "too large": (bytes(MAX_BYTES + 1), "image/png"),
    }
    for name, request in wrong.items():
        status, answer = ask(port, *request)
        print(f"  {name:<13}  {status}  {answer['error']}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 8000)
    else:
        with tempfile.TemporaryDirectory() as place:
            story(Path(place))
