"""Files that are refused before anything reads them: another format under a known suffix.

Torch is not needed.
"""

import zipfile
from pathlib import Path

from layerwright.errors import ExportError, OptionError

SUFFIXES = (".safetensors", ".pt2", ".onnx")
_PICKLE = b"\x80"  # the first byte of protocol 2 and later
_SIZE_OF_HEADER = 8


def format_of(path: str | Path) -> str:
    """Return the suffix of an exported file.

    Raises:
        OptionError: it is none that layerwright writes.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise OptionError(
            f"export expected a file ending in {', '.join(SUFFIXES)}, received {str(path)!r}. "
            "Fix: net.onnx for onnxruntime, net.pt2 for torch, net.safetensors for weights alone."
        )
    return suffix


def check_content(path: Path) -> str:
    """Refuse a file that is not what its suffix says; return the suffix.

    Raises:
        ExportError: it is a pickle, or something else.
        OptionError: there is no such file, or its suffix is none that layerwright writes.
    """
    suffix = format_of(path)
    if not path.is_file():
        raise OptionError(
            f"{path} expected a file that layerwright export wrote, and there is none. "
            "Fix: check the path."
        )
    with path.open("rb") as file:
        start = file.read(_SIZE_OF_HEADER + 1)
    if start[:1] == _PICKLE and suffix != ".safetensors":
        raise ExportError(_pickle(path, suffix))
    is_zip = zipfile.is_zipfile(path)
    if is_zip and _holds_pickled_network(path):
        raise ExportError(_pickle(path, suffix))
    if suffix == ".safetensors" and start[_SIZE_OF_HEADER:] != b"{":
        if start[:1] == _PICKLE:
            raise ExportError(_pickle(path, suffix))
        raise ExportError(f"{path} is refused: it is no safetensors file.")
    if is_zip != (suffix == ".pt2"):
        what = "a zip archive" if is_zip else "no archive of torch.export"
        raise ExportError(f"{path} is refused: it ends in {suffix}, and is {what}.")
    return suffix


def _holds_pickled_network(path: Path) -> bool:
    """Tell what `torch.save` and `torch.jit.save` write: data.pkl in the archive's one folder."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return False
    return any(name.count("/") <= 1 and name.endswith("data.pkl") for name in names)


def _pickle(path: Path, suffix: str) -> str:
    return (
        f"{path} is refused: it ends in {suffix} and is a pickle, and loading a pickle can run any "
        "code. Fix: ask for the weights as .safetensors."
    )
