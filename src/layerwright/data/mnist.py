"""MNIST: 70,000 handwritten digits, 28x28, grey."""

from pathlib import Path

from layerwright.data.image_archive import ImageArchive, load_archive
from layerwright.data.normalization import Normalization
from layerwright.data.splits import Data

MNIST = ImageArchive(
    name="mnist",
    repository="ylecun/mnist",
    revision="77f3279092a1c1579b2250db8eafed0ad422088c",
    config="mnist",
    image_column="image",
    shape=(1, 28, 28),
    class_names=tuple("0123456789"),
    normalization=Normalization((0.1307,), (0.3081,)),
)


def load_mnist(data_dir: str | Path | None = None) -> Data:
    """Load MNIST: 60,000 images to train on and 10,000 to test on, `(1, 28, 28)`, ten classes.

    Mean 0.1307 and standard deviation 0.3081, of the training split, normalise the pixels.

    Args:
        data_dir: holds `mnist/train.parquet` and `mnist/test.parquet`; None looks at
            LAYERWRIGHT_DATA_DIR and then asks the Hugging Face hub.

    Raises:
        DataError: files are missing or damaged, or the hub cannot be reached.
        MissingExtraError: the extra "data" is not installed.

    Reference:
        LeCun, Bottou, Bengio, Haffner (1998), "Gradient-based learning applied to document
        recognition", Proceedings of the IEEE 86(11).
    """
    return load_archive(MNIST, data_dir)
