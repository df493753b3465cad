"""Write the weights of a network as safetensors, and compare what a fresh process reads."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from layerwright.errors import ExportError
from layerwright.exporting import facts as facts_of_file

# Reads the file without torch and without us, as another program would: names, bytes, hashes.
_READ = """
import hashlib, json, sys
from safetensors import deserialize
tensors = deserialize(open(sys.argv[1], "rb").read())
print(json.dumps({n: [t["dtype"], list(t["shape"]), hashlib.sha256(t["data"]).hexdigest()]
                  for n, t in tensors}))
"""
_ALIASES = "aliases"  # metadata: names of tied tensors, which are written once


def write_safetensors(network: nn.Module, path: Path, facts: Mapping[str, Any]) -> None:
    """Write a network's state_dict; tied tensors once, with their other names in the metadata.

    Raises:
        ExportError: the state holds something that is no dense tensor.
    """
    tensors, aliases = _state(network)
    metadata = {facts_of_file.KEY: facts_of_file.as_text(facts), "format": "pt"}
    if aliases:
        metadata[_ALIASES] = json.dumps(aliases, sort_keys=True)
    save_file(tensors, path, metadata)


def check_safetensors(network: nn.Module, path: Path) -> int:
    """Compare every bit of a file, as a fresh process reads it, with a network's state.

    Returns:
        The number of tensors.

    Raises:
        ExportError: a tensor is missing or differs.
    """
    done = subprocess.run(  # noqa: S603 - this interpreter, and a file of ours
        [sys.executable, "-P", "-c", _READ, str(path)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ExportError(f"the file cannot be read again: {done.stderr.strip()[-300:]}")
    found = json.loads(done.stdout)
    tensors, _ = _state(network)
    for name in {**tensors, **found}:
        expected = [list(tensors[name].shape), _sha256(tensors[name])] if name in tensors else None
        read = found[name][1:] if name in found else None
        if expected != read:
            raise ExportError(f"{name} in the file is not {name} of the network.")
    return len(tensors)


def _state(network: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors by their first name, and the other names of tied ones."""
    tensors: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    first: dict[tuple[Any, ...], str] = {}
    for name, value in network.state_dict().items():
        if not isinstance(value, Tensor):
            raise ExportError(
                f"{name} expected to be a tensor, and is a {type(value).__name__}, which "
                "safetensors cannot hold. Fix: keep extra state out of get_extra_state, or export "
                ".pt2."
            )
        if value.layout != torch.strided:
            raise ExportError(f"{name} expected to be dense, and has the layout {value.layout}.")
        place = (value.data_ptr(), value.dtype, tuple(value.shape), value.stride())
        if value.numel() and place in first:
            aliases[name] = first[place]
            continue
        first[place] = name
        tensors[name] = value.detach().cpu().contiguous().clone()
    return tensors, aliases


def _sha256(tensor: Tensor) -> str:
    flat = tensor.contiguous().flatten()
    content = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
    return hashlib.sha256(content).hexdigest()
