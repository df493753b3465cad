"""A split evaluated again, with the answers that are worst."""

import pytest
import torch
from torch import nn

import layerwright
from layerwright.errors import DataError, OptionError
from layerwright.training.evaluate import prepared
from layerwright.training.split_answers import NUM_WORST, answers_on


class Known(nn.Module):
    """Gives the first columns of its input as its output."""

    def __init__(self, num_outputs=3):
        super().__init__()
        self.num_outputs = num_outputs

    def forward(self, x):
        """Return the logits that stand in the input."""
        return x[:, : self.num_outputs]


def test_the_values_are_those_of_evaluate(tmp_path):
    """The same pass over the same split, and a matrix whose diagonal gives the accuracy."""
    run = layerwright.fit("softmax-classifier", "digits", epochs=1, run_dir=tmp_path / "run")
    found = answers_on(prepared(run))
    assert found.values == layerwright.evaluate(run)
    right = sum(row[place] for place, row in enumerate(found.confusion))
    assert right / found.num_samples == run.test["accuracy"]
    assert found.num_samples == 360
    assert found.pairs == ()


@pytest.mark.parametrize("batch_size", [7, 256])
def test_the_least_probability_of_the_true_class_comes_first(batch_size):
    """Against a plain loop over all samples; the samples themselves come back."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(100, 3, generator=generator)
    classes = torch.randint(0, 3, (100,), generator=generator)
    evaluation = prepared(Known(), (logits, classes), batch_size=batch_size, device="cpu")
    found = answers_on(evaluation)
    chances = [
        float(row.double().exp()[int(truth)] / row.double().exp().sum())
        for row, truth in zip(logits, classes, strict=True)
    ]
    order = sorted(range(100), key=lambda place: chances[place])[:NUM_WORST]
    assert [answer.row for answer in found.worst] == order
    for answer, place in zip(found.worst, order, strict=True):
        assert torch.equal(answer.inputs[0], logits[place])
        assert int(answer.target) == int(classes[place])
        assert answer.badness == pytest.approx(1 - chances[place], abs=1e-5)
        assert answer.is_wrong == (int(logits[place].argmax()) != int(classes[place]))


def test_samples_that_do_not_count_are_no_mistakes():
    """Class -100 is left out of loss and metrics, and of the mistakes."""
    logits = torch.eye(3)[[0, 1, 2, 0]] * 9
    classes = torch.tensor([0, 1, 0, -100])
    found = answers_on(prepared(Known(), (logits, classes), device="cpu"))
    assert found.worst[0].row == 2
    assert 3 not in [answer.row for answer in found.worst]
    assert [answer.is_wrong for answer in found.worst] == [True, False, False]


def test_yes_or_no_questions_have_a_true_class_too():
    """The probability of "no" is one minus that of "yes"."""
    logits = torch.tensor([[4.0], [-4.0], [3.0], [-2.0]])
    truth = torch.tensor([True, False, False, True])
    found = answers_on(prepared(Known(1), (logits, truth), device="cpu"))
    assert [answer.row for answer in found.worst] == [2, 3, 0, 1]
    assert found.confusion == [[1, 1], [1, 1]]


def test_numbers_are_ordered_by_their_error():
    """The largest absolute error comes first; truth and answer are kept to be drawn."""
    values = torch.tensor([[0.0], [2.0], [5.0]])
    found = answers_on(prepared(Known(1), (values, torch.tensor([[1.0], [2.0], [0.0]]))))
    assert [answer.row for answer in found.worst] == [2, 0, 1]
    assert [answer.badness for answer in found.worst] == [5.0, 1.0, 0.0]
    assert found.pairs == ((1.0, 0.0), (2.0, 2.0), (0.0, 5.0))
    assert found.confusion is None


def test_a_network_that_says_nan_is_at_its_worst():
    """What is not a number is no good answer."""
    logits = torch.tensor([[9.0, 0, 0], [float("nan"), 0, 0], [0, 9.0, 0]])
    found = answers_on(prepared(Known(), (logits, torch.tensor([0, 0, 1])), device="cpu"))
    assert found.worst[0].row == 1


def test_a_stream_has_no_samples_to_show():
    """They cannot be had twice; the values are there."""
    batches = ((torch.eye(3), torch.arange(3)) for _ in range(2))
    found = answers_on(prepared(Known(), batches, device="cpu"))
    assert found.worst is None
    assert "cannot be had twice" in found.reason
    assert found.values["accuracy"] == 1.0


def test_the_first_split_that_the_data_has_is_taken():
    """Of those that are named; one that is named alone must be there."""
    run = layerwright.fit("softmax-classifier", "digits", epochs=1, validation=0.0)
    assert prepared(run, split=("validation", "test")).split == "test"
    assert prepared(run, split=("train", "test")).split == "train"
    assert prepared(Known(), (torch.eye(3), torch.arange(3))).split == "whole"
    with pytest.raises(DataError, match="has no validation split"):
        prepared(run, split="validation")
    with pytest.raises(OptionError, match="split expected train, validation, test"):
        prepared(run, split=("validation", "tests"))
