"""CIFAR-10: 60,000 photographs, 32x32, in colour."""

from pathlib import Path

from layerwright.data.image_archive import ImageArchive, load_archive
from layerwright.data.normalization import Normalization
from layerwright.data.splits import Data

CIFAR10 = ImageArchive(
    name="cifar10",
    repository="uoft-cs/cifar10",
    revision="0b2714987fa478483af9968de7c934580d0bb9a2",
    config="plain_text",
    image_column="img",
    shape=(3, 32, 32),
    class_names=(
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ),
    normalization=Normalization((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
)


def load_cifar10(data_dir: str | Path | None = None) -> Data:
    """Load CIFAR-10: 50,000 images to train on and 10,000 to test on, `(3, 32, 32)`, ten classes.

    Means (0.4914, 0.4822, 0.4465) and standard deviations (0.2470, 0.2435, 0.2616) of red, green
    and blue, of the training split, normalise the pixels.

    Args:
        data_dir: holds `cifar10/train.parquet` and `cifar10/test.parquet`; None looks at
            LAYERWRIGHT_DATA_DIR and then asks the Hugging Face hub.

    Raises:
        DataError: files are missing or damaged, or the hub cannot be reached.
        MissingExtraError: the extra "data" is not installed.

    Reference:
        Krizhevsky (2009), "Learning multiple layers of features from tiny images".
    """
    return load_archive(CIFAR10, data_dir)
