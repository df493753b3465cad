"""Sentiment from text: why a bag of words stumbles over "not bad", and what cures it.

A bag of words adds up one weight for each word. "good" speaks for a sentence and "bad" against it;
but then "not" has to turn both around, and no single weight for "not" can. The answer is a weight
for each pair of words too: "not bad" is then something of its own. This script shows the failure,
the cure, and the weights that were learned.

    python examples/07_sentiment_from_text.py          # on sentences made here, a few seconds
    python examples/07_sentiment_from_text.py --imdb   # on 50,000 film reviews, minutes

The reviews come from LAYERWRIGHT_DATA_DIR (imdb/train.parquet, imdb/test.parquet), or else from
the Hugging Face hub.
"""

import random
import sys
from itertools import product

from rich.console import Console

import layerwright as lw

GOOD = ("good", "great", "clever", "funny", "moving", "fresh")
BAD = ("bad", "awful", "stupid", "boring", "clumsy", "stale")
THINGS = ("acting", "plot", "ending", "music", "camera", "dialogue", "cast", "pace")
FRAMES = ("the {} was {}", "i found the {} {}", "honestly , the {} is {} .")


def sentences() -> tuple[list[str], list[int]]:
    """Every thing with every judgement, plain and denied; 1 is positive."""
    found = []
    for thing, word, frame, denied in product(THINGS, GOOD + BAD, FRAMES, (False, True)):
        judgement = f"not {word}" if denied else word
        found.append((frame.format(thing, judgement), int((word in GOOD) != denied)))
    random.Random(0).shuffle(found)  # noqa: S311 - the same sentences each time
    texts, labels = zip(*found, strict=True)
    return list(texts), list(labels)


def train(ngrams: int) -> lw.Run:
    """Train on three quarters of the sentences, and test on the rest."""
    texts, labels = sentences()
    cut = len(texts) * 3 // 4
    return lw.fit(
        "bag-of-ngrams",
        {"train": (texts[:cut], labels[:cut]), "test": (texts[cut:], labels[cut:])},
        text_options={"ngrams": ngrams},
        validation=0.0,
        epochs=40,
        batch_size=32,
        lr=0.05,
    )


def show_weights(run: lw.Run, what: list[str]) -> None:
    """Print how much some words and pairs speak for "positive"."""
    weights = run.network.weights.weight.detach()
    by_text = {run.vocabulary.text_of(n): n for n in range(run.vocabulary.size)}
    for text in what:
        row = weights[by_text[text]]
        print(f"    {text:<10} {row[1] - row[0]:+.2f}")


def on_sentences() -> None:
    """Tell the story on sentences made here."""
    texts, labels = sentences()
    print(f"{len(texts)} sentences, such as:")
    for text, label in list(zip(texts, labels, strict=True))[:4]:
        print(f"    {('negative', 'positive')[label]}  {text}")
    words, pairs = train(ngrams=1), train(ngrams=2)
    print("\nwhat words alone learned: nothing that could tell")
    show_weights(words, ["good", "bad", "not"])
    print("\nwhat words and pairs learned: the pairs decide")
    show_weights(pairs, ["not good", "not bad", "was good", "was bad"])
    question = "the ending was not bad"
    answer = lw.predict(pairs, [question])
    label = ("negative", "positive")[int(answer.classes[0])]
    chance = float(answer.probabilities[0].max())
    print(
        f"\nright about sentences held out: words alone {100 * words.test['accuracy']:.1f} %, "
        f"words and pairs {100 * pairs.test['accuracy']:.1f} %"
    )
    print(f"{question!r} is {label} ({100 * chance:.1f} %)")
    assert words.test["accuracy"] < 0.7  # noqa: S101 - the story would be wrong
    assert pairs.test["accuracy"] > 0.95  # noqa: S101


def on_reviews() -> None:
    """Train on IMDB with the recipe that was chosen for it, and show what it looks at."""
    run = lw.fit("bag-of-ngrams", "imdb", console=Console())
    difference = run.network.weights.weight.detach() @ run.network.weights.weight.new_tensor(
        [-1, 1]
    )
    for name, order in (("positive", difference), ("negative", -difference)):
        texts = [run.vocabulary.text_of(int(n)) for n in order.topk(12).indices]
        print(f"speaks most for {name}: {', '.join(texts)}")


if __name__ == "__main__":
    if "--imdb" in sys.argv[1:]:
        on_reviews()
    else:
        on_sentences()
