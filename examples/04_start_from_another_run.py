"""What one run has learned, another starts from: odd or even, from forty images.

A network learns to read digits from 1,400 images. Somebody else wants to know whether a digit is
odd or even, and has labelled forty images. Trained on these alone, the network makes do with what
forty images tell. Started from the first run's weights, which are frozen up to the last layer, it
can read already, and learns only which digits are odd.

`fit` says what of the first run fitted by name and shape, and what did not: the last layer has ten
outputs there and two here, so it starts anew. On the command line the same is

    layerwright train --from RUN --freeze "conv*" --freeze fc1 --data ...

Run it: python examples/04_start_from_another_run.py
"""

import sys

from rich.console import Console

import layerwright as lw
from layerwright.data.digits import load_digits

NUM_LABELLED = 40


def main() -> int:
    """Tell the story; return 1 if the first run was of no help."""
    console = Console(width=150)
    data = load_digits()
    images, labels = data.train.inputs[0].float() / 16, data.train.targets
    test_images, test_labels = data.test.inputs[0].float() / 16, data.test.targets
    many = (images[NUM_LABELLED:], labels[NUM_LABELLED:])
    few = {
        "train": (images[:NUM_LABELLED], labels[:NUM_LABELLED] % 2),
        "test": (test_images, test_labels % 2),
    }
    options = {"lr": 3e-3, "schedule": "one-cycle", "optimizer": "adamw", "validation": 0.0}

    print("1. The first run reads digits\n")
    first = lw.fit("customnet", many, epochs=10, console=console, **options)

    print("\n2. Odd or even, from forty images and the first run\n")
    options |= {"epochs": 20, "batch_size": 8}
    frozen = ("conv*", "fc1")
    second = lw.fit(data=few, start_from=first, freeze=frozen, console=console, **options)

    print("\n3. The same from scratch\n")
    scratch = lw.fit("customnet", few, console=console, **options)

    with_start, without = second.test["accuracy"], scratch.test["accuracy"]
    print(f"\nfrom scratch {without:.1%}, started from the first run {with_start:.1%}")
    return 0 if with_start > without else 1


if __name__ == "__main__":
    sys.exit(main())
