"""Texts as data: IMDB's files, a user's lists and folders, and the vocabulary of the split."""

import pytest
import torch

from layerwright.data.catalog import load_data
from layerwright.data.imdb import IMDB, load_imdb
from layerwright.errors import DataError, OptionError

TEXTS = ["good good film", "a bad film", "good", "bad bad", "", "a good film", "bad film", "bad a"]
LABELS = [1, 0, 1, 0, 1, 1, 0, 0]


def words_of(data, split):
    """The texts of a split in words, from its numbers; by their rows."""
    part = getattr(data, split)
    names = ["<pad>", "<unk>", *part.vocabulary.words]
    tokens, lengths = part.texts.padded(torch.arange(len(part)))
    texts = [
        " ".join(names[number] for number in row[:length])
        for row, length in zip(tokens.tolist(), lengths.tolist(), strict=True)
    ]
    rows = range(len(part)) if part.indices is None else part.indices.tolist()
    return dict(zip(rows, texts, strict=True))


def test_the_vocabulary_is_that_of_what_is_trained_on():
    """Neither validation, nor test, nor what `limit` leaves out adds a word."""
    texts = [f"common word{number}" for number in range(40)]
    spec = {"train": (texts, [0, 1] * 20), "test": (["common word0 other", "never"], [0, 1])}
    options = {"min_count": 1}
    data = load_data(spec, validation=0.25, limit=12, text_options=options)
    assert (len(data.train), len(data.validation), len(data.test)) == (12, 10, 2)
    rows = data.train.indices.tolist()
    assert set(data.vocabulary.words) == {"common", *(f"word{row}" for row in rows)}
    assert words_of(data, "train") == {row: texts[row] for row in rows}
    assert set(words_of(data, "validation").values()) == {"common <unk>"}
    assert words_of(data, "test")[1] == "<unk>"
    assert data.test.vocabulary is data.train.vocabulary
    known = load_data(spec, vocabulary=data.vocabulary)
    assert known.vocabulary is data.vocabulary


def test_a_list_of_texts_is_data():
    """Classes are counted, and text options apply."""
    data = load_data((TEXTS, LABELS), validation=0)
    assert (data.task, data.num_classes, data.input_shape) == ("classification", 2, None)
    assert words_of(data, "train") == dict(enumerate(TEXTS))
    assert data.train.targets.tolist() == LABELS
    short = load_data((TEXTS, LABELS), validation=0, text_options={"max_length": 1})
    assert words_of(short, "train")[0] == "film"
    numbers = load_data((TEXTS, [float(label) for label in LABELS]), validation=0)
    assert numbers.task == "regression"


def test_a_folder_of_texts_is_data(tmp_path):
    """One subfolder a class, in a train and a test folder; names of the classes are kept."""
    for split, texts, labels in (("train", TEXTS, LABELS), ("test", ["good film"], [1])):
        for number, (text, label) in enumerate(zip(texts, labels, strict=True)):
            folder = tmp_path / split / ("neg", "pos")[label]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    (tmp_path / "test" / "neg").mkdir()
    (tmp_path / "test" / "neg" / "0.txt").write_text("bad film é", encoding="utf-8")
    data = load_data(tmp_path, validation=0, text_options={"min_count": 1})
    assert data.class_names == ("neg", "pos")
    assert data.train.targets.tolist() == [0] * 4 + [1] * 4
    assert sorted(words_of(data, "train").values()) == sorted(TEXTS)
    assert list(words_of(data, "test").values()) == ["bad film <unk>", "good film"]
    (tmp_path / "test" / "pos" / "0.txt").write_bytes(b"caf\xe9")
    with pytest.raises(DataError) as caught:
        load_data(tmp_path)
    assert str(caught.value).startswith(
        f"{tmp_path}/test/pos/0.txt expected a text in UTF-8, and cannot be read: "
    )
    (tmp_path / "test" / "pos" / "0.txt").unlink()
    (tmp_path / "test" / "neutral").mkdir()
    with pytest.raises(DataError) as caught:
        load_data(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/test expected the classes neg, pos, received a folder 'neutral'. "
        "Fix: give every split the same classes."
    )
    (tmp_path / "test" / "neutral").rmdir()
    with pytest.raises(DataError) as caught:
        load_data(tmp_path)
    assert str(caught.value) == (
        f"the class folder {tmp_path}/test/pos expected texts (.txt), received none. "
        "Fix: add texts or remove the folder."
    )


def test_options_for_texts_need_texts():
    """They are refused for images."""
    with pytest.raises(OptionError) as caught:
        load_data("digits", text_options={"ngrams": 2})
    assert str(caught.value) == (
        "text_options expected texts, received {'ngrams': 2} for the data 'digits'. "
        "Fix: leave them out."
    )


def write_reviews(root, texts, labels):
    """Write IMDB's files with a few reviews."""
    pa = pytest.importorskip("pyarrow", reason="needs the extra 'data'")
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra 'data'")
    (root / "imdb").mkdir(exist_ok=True)
    for split in ("train", "test"):
        table = pa.table({"text": texts, "label": labels})
        parquet.write_table(table, root / "imdb" / f"{split}.parquet")


def test_reviews_are_split_into_words_once(tmp_path, monkeypatch):
    """Texts and labels arrive; the second time nothing is split."""
    write_reviews(tmp_path, TEXTS, LABELS)
    data = load_imdb(tmp_path)
    assert (data.name, data.task, data.class_names) == (
        "imdb", "classification", ("negative", "positive"),
    )  # fmt: skip
    assert words_of(data, "train") == words_of(data, "test") == dict(enumerate(TEXTS))
    assert data.test.targets.tolist() == LABELS
    monkeypatch.setattr("layerwright.data.words.split_words", None)
    again = load_imdb(tmp_path)
    assert words_of(again, "test") == dict(enumerate(TEXTS))
    whole = load_data("imdb", data_dir=tmp_path, validation=0)
    assert whole.vocabulary.words == ("bad", "film", "good", "a")
    assert len(IMDB.revision) == 40


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        (["a", None], [0, 1], ("row 1 of {} expected a text and a label below 2, received NoneType "
                              "and 1. Fix: use the files of imdb.")),
        (["a", "b"], [0, -1], ("row 1 of {} expected a text and a label below 2, received str "
                              "and -1. Fix: use the files of imdb.")),
    ],
)  # fmt: skip
def test_damaged_reviews_are_named(tmp_path, texts, labels, message):
    """The message says which row of which file; -1 is how unlabelled reviews are marked."""
    write_reviews(tmp_path, texts, labels)
    with pytest.raises(DataError) as caught:
        load_imdb(tmp_path)
    assert str(caught.value) == message.format(tmp_path / "imdb" / "train.parquet")


@pytest.mark.slow
def test_imdb_is_what_it_is_known_to_be(real_data):
    """Sizes, balanced classes, and a review word by word."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra 'data'")
    data = load_imdb(real_data)
    for split in (data.train, data.test):
        assert torch.bincount(split.targets).tolist() == [12_500, 12_500]
        assert 240 < split.texts.lengths.double().mean() < 300
    text = parquet.read_table(real_data / "imdb" / "test.parquet").column("text")[4321].as_py()
    plain = [word.strip('.,!?"()') for word in text.replace("<br />", " ").lower().split()]
    assert {word for word in plain if word.isalpha()} <= set(words_of(data, "test")[4321].split())
