"""A folder of images with one subfolder for each class."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from layerwright.data.class_folders import class_folders, split_folders
from layerwright.data.facts import Facts
from layerwright.data.normalization import Normalization
from layerwright.data.splits import DatasetSplit
from layerwright.errors import DataError, MissingExtraError

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
# Photographs, as shares of white, come out with mean about 0 and spread about 1.
NORMALIZATION = Normalization((0.5,), (0.25,))
_GRAY_MODES = ("1", "L", "LA")
_DEEP_MODES = ("F", "I", "I;16", "I;16B", "I;16L", "I;16N")
_MOST_LOOKED_AT = 5000  # images whose size and colours are looked at before training starts


@dataclass(frozen=True)
class ImageForm:
    """What every image is turned into.

    Args:
        mode: "L" for grey, "RGB" for colour.
        size: `(height, width)` in pixels.
        scaled: scale the shorter side and cut the middle out; otherwise another size is an error.
    """

    mode: str
    size: tuple[int, int]
    scaled: bool


class ImageFolder(Dataset[tuple[Tensor, int]]):
    """Images by class, decoded when they are asked for.

    Args:
        root: the folder; each subfolder is a class, in the order of their names.
        form: what images are turned into.
        classes: names of the classes; None takes the subfolders.

    Attributes:
        files: the images, sorted by class and name.
        targets: the class of each image.
        classes: the names of the classes.

    Raises:
        DataError: there is no class, an empty one, or one that `classes` does not hold.
    """

    def __init__(
        self, root: Path, form: ImageForm | None = None, classes: tuple[str, ...] | None = None
    ) -> None:
        folders = class_folders(root, "images")
        self.classes = classes or tuple(folder.name for folder in folders)
        self.files: list[Path] = []
        self.targets: list[int] = []
        for folder in folders:
            if folder.name not in self.classes:
                raise DataError(
                    f"{root} expected the classes {', '.join(self.classes)}, received a folder "
                    f"{folder.name!r}. Fix: give every split the same classes."
                )
            found = _images(folder)
            self.files += found
            self.targets += [self.classes.index(folder.name)] * len(found)
        self.form = form or _common_form(self.files, None)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return image `index`, uint8 of shape `(C, H, W)`, and its class.

        Raises:
            DataError: the file is damaged or has another size; the message names it.
        """
        return read_image(self.files[index], self.form), self.targets[index]


def read_image(path: Path, form: ImageForm) -> Tensor:
    """Read one image.

    Args:
        path: the file.
        form: what it is turned into.

    Returns:
        uint8, shape `(C, H, W)`, C is 1 or 3.

    Raises:
        DataError: the file is damaged, holds more than 8 bits, or has another size.
        MissingExtraError: pillow is not installed.
    """
    pillow, image_ops = _pillow()
    height, width = form.size
    try:
        with pillow.open(path) as opened:
            if opened.mode in _DEEP_MODES:
                raise DataError(
                    f"the image {path} expected 8 bits per channel, received mode {opened.mode}. "
                    "Fix: convert it to 8 bits."
                )
            image = opened.convert(form.mode)
    except (OSError, SyntaxError, ValueError, pillow.DecompressionBombError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"the image {path} expected a readable picture, received damaged or unknown content "
            f"({error}). Fix: replace it or remove it."
        ) from error
    if form.scaled:
        image = image_ops.fit(image, (width, height), pillow.Resampling.BILINEAR)
    if image.size != (width, height):
        raise _other_size(path, (image.size[1], image.size[0]), form.size)
    pixels = torch.from_numpy(np.array(image, dtype=np.uint8))
    return pixels[None] if form.mode == "L" else pixels.permute(2, 0, 1).contiguous()


def splits_from_folder(
    root: Path, image_size: int | None = None
) -> dict[str, tuple[DatasetSplit, Facts]]:
    """Make splits of a folder, of its train, validation and test subfolders where it has them.

    Args:
        root: holds one subfolder for each class, or `train`, `val` and `test` that do.
        image_size: scale the shorter side of each image to this and cut out the middle square;
            None expects images of one size.

    Returns:
        "train", and where they exist "validation" and "test".

    Raises:
        DataError: images are missing, damaged or of different sizes.
    """
    roots = split_folders(root)
    train = ImageFolder(roots["train"], _common_form(_all_images(roots["train"]), image_size))
    splits = {"train": _described(train)}
    for name in ("validation", "test"):
        if name in roots:
            splits[name] = _described(ImageFolder(roots[name], train.form, train.classes))
    return splits


def _described(folder: ImageFolder) -> tuple[DatasetSplit, Facts]:
    shape = (1 if folder.form.mode == "L" else 3, *folder.form.size)
    split = DatasetSplit(
        folder,
        input_shapes=(shape,),
        labels=torch.tensor(folder.targets, dtype=torch.int64),
        normalization=NORMALIZATION,
    )
    facts = Facts(
        task="classification",
        input_shape=shape,
        target_shape=(),
        num_classes=len(folder.classes),
        class_names=folder.classes,
    )
    return split, facts


def _images(folder: Path) -> list[Path]:
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )
    if not found:
        raise DataError(
            f"the class folder {folder} expected images ({', '.join(SUFFIXES)}), received none. "
            "Fix: add images or remove the folder."
        )
    return found


def _all_images(root: Path) -> list[Path]:
    return [path for folder in class_folders(root, "images") for path in _images(folder)]


def _common_form(files: list[Path], image_size: int | None) -> ImageForm:
    """Look at the headers of up to 5,000 images, evenly spread: colours, and one size."""
    pillow, _ = _pillow()
    step = -(-len(files) // _MOST_LOOKED_AT)
    gray, size = True, None
    for path in files[::step]:
        try:
            with pillow.open(path) as image:
                gray = gray and image.mode in _GRAY_MODES
                this = (image.size[1], image.size[0])
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(
                f"the image {path} expected a readable picture, received damaged or unknown "
                f"content ({error}). Fix: replace it or remove it."
            ) from error
        if image_size is None and size not in (None, this):
            raise _other_size(path, this, size or this)
        size = this
    if image_size is not None:
        return ImageForm("L" if gray else "RGB", (image_size, image_size), scaled=True)
    return ImageForm("L" if gray else "RGB", size or (0, 0), scaled=False)


def _other_size(path: Path, size: tuple[int, int], expected: tuple[int, int]) -> DataError:
    return DataError(
        f"the image {path} expected {expected[0]}x{expected[1]} pixels like the others, received "
        f"{size[0]}x{size[1]}. Fix: give image_size, to which all are scaled, or scale the files."
    )


def _pillow() -> tuple[Any, Any]:
    try:
        from PIL import Image, ImageOps  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise MissingExtraError("reading images", "pillow", "data") from error
    return Image, ImageOps
