"""Digits: 1,797 handwritten digits, 8x8, that come with the package."""

from importlib.resources import files

import numpy as np
import torch

from layerwright.data.normalization import Normalization
from layerwright.data.splits import Data, TensorSplit
from layerwright.errors import DataError

NORMALIZATION = Normalization((0.3052,), (0.3761,), scale=16.0)


def load_digits() -> Data:
    """Load the digits: 1,437 images to train on and 360 to test on, `(1, 8, 8)`, ten classes.

    The split is stored with the images: stratified by class and the same for ever. Pixels have 17
    levels, 0 to 16; mean 0.3052 and standard deviation 0.3761, of the training split and as shares
    of 16, normalise them.

    Raises:
        DataError: the file in the package is damaged.

    Reference:
        Alpaydin, Kaynak (1998), "Optical Recognition of Handwritten Digits", UCI Machine Learning
        Repository, CC BY 4.0; `digits.LICENSE.txt` beside the file has the details.
    """
    place = files("layerwright.data").joinpath("digits.npz")
    try:
        with place.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            images = torch.from_numpy(stored["images"])[:, None]
            labels = torch.from_numpy(stored["labels"]).to(torch.int64)
            is_test = torch.from_numpy(stored["is_test"])
    except Exception as error:
        raise DataError(
            f"{place} expected the digits that come with layerwright, received damaged or no "
            f"content ({error}). Fix: install layerwright again."
        ) from error
    train, test = (
        TensorSplit((images[chosen],), labels[chosen], NORMALIZATION, chosen.nonzero().squeeze(1))
        for chosen in (~is_test, is_test)
    )
    return Data(
        "digits",
        "classification",
        train,
        test=test,
        input_shape=(1, 8, 8),
        num_classes=10,
        class_names=tuple("0123456789"),
        target_shape=(),
    )
