"""Diabetes: ten measurements of 442 patients, and how the disease progressed within a year."""

import torch

from layerwright.data.seeding import fixed_order
from layerwright.data.splits import Data, TensorSplit
from layerwright.errors import MissingExtraError

FEATURES = ("age", "sex", "bmi", "bp", "tc", "ldl", "hdl", "tch", "ltg", "glu")
_TEST_SHARE = 0.2


def load_diabetes() -> Data:
    """Load the diabetes data from scikit-learn: 354 patients to train on and 88 to test on.

    Inputs have shape `(10,)`: age, sex, body mass index, blood pressure and six blood values.
    Targets have shape `(1,)`. Both are standardised by mean and standard deviation of the 354, so
    that a default learning rate fits; the note of the returned data says how to turn a prediction
    back. The split is fixed.

    Raises:
        MissingExtraError: the extra "data" is not installed.

    Reference:
        Efron, Hastie, Johnstone, Tibshirani (2004), "Least angle regression", Annals of Statistics.
    """
    try:
        from sklearn import datasets  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise MissingExtraError("the diabetes data", "scikit-learn", "data") from error
    inputs, targets = datasets.load_diabetes(return_X_y=True, scaled=False)
    inputs, targets = torch.from_numpy(inputs), torch.from_numpy(targets)[:, None]
    order = fixed_order(len(inputs), "diabetes", "test")
    num_test = round(len(inputs) * _TEST_SHARE)
    test_rows, train_rows = order[:num_test].sort().values, order[num_test:].sort().values
    spread, middle = torch.std_mean(inputs[train_rows], dim=0, correction=0)
    target_spread, target_middle = torch.std_mean(targets[train_rows], dim=0, correction=0)
    inputs = ((inputs - middle) / spread).to(torch.float32)
    targets = ((targets - target_middle) / target_spread).to(torch.float32)
    train, test = (
        TensorSplit((inputs[rows],), targets[rows], None, rows) for rows in (train_rows, test_rows)
    )
    note = (
        f"Targets are standardised: disease progression = {target_middle.item():.4f} + "
        f"{target_spread.item():.4f} * target."
    )
    return Data(
        "diabetes",
        "regression",
        train,
        test=test,
        input_shape=(10,),
        target_shape=(1,),
        notes=(note,),
    )
