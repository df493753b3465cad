"""Which digits are in a picture, and where: one network with two outputs, trained on scenes.

A scene holds one to four of the bundled digits, in sizes of their own, at places of their own. For
each cell of its map the network says which digit is there, or none, and in which box: a softmax and
four numbers, over the same convolutions. One loss trains both outputs.

The number to look at is mean average precision: a digit counts as found when its class is right and
the box overlaps with the true one by half or more ("map-50"), or by 0.5 to 0.95, on average
("map"). At the end a scene that the network has never seen is drawn, with what was found in it.

Run it: python examples/06_classify_and_locate.py [picture.png]
(the picture needs matplotlib)
"""

import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from torch import Tensor

import layerwright as lw
from layerwright.data.scenes import CANVAS, load_scenes

SHADES = " .:-=+*#%@"


def drawn(scene: Tensor, found: Any, names: Sequence[str]) -> str:
    """Draw a scene, (40, 40) from 0 to 255, in letters, two for a pixel, with the boxes found."""
    pixels = [[SHADES[int(value) * 9 // 255] * 2 for value in row] for row in scene.tolist()]
    for box, name, score in zip(found.boxes, names, found.scores, strict=True):
        left, top, right, bottom = (box * CANVAS).round().int().tolist()
        left, top = max(left - 1, 0), max(top - 1, 0)  # the frame goes around the ink
        right, bottom = min(right, CANVAS - 1), min(bottom, CANVAS - 1)
        for column in range(left, right + 1):
            pixels[top][column] = pixels[bottom][column] = "--"
        for row in range(top + 1, bottom):
            pixels[row][left], pixels[row][right] = "| ", " |"
        label = f"{name} {100 * score:.0f}%".ljust(6)
        for place in range(3):
            pixels[top][min(left + place, CANVAS - 1)] = label[2 * place : 2 * place + 2]
    return "\n".join("".join(row).rstrip() for row in pixels)


def save_picture(file: str, scene: Tensor, found: Any, names: Sequence[str]) -> None:
    """Write the same as an image."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - only where a picture is wanted
    from matplotlib.patches import Rectangle  # noqa: PLC0415

    figure = Figure(figsize=(5, 5), layout="tight")
    axes = figure.add_subplot()
    axes.imshow(scene, cmap="gray_r", extent=(0, 1, 1, 0))
    for (left, top, right, bottom), name in zip(found.boxes.tolist(), names, strict=True):
        frame = Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor="C1")
        axes.add_patch(frame)
        axes.text(left, top - 0.01, name, color="C1")
    axes.set_axis_off()
    figure.savefig(file)


def main() -> int:
    """Tell the story; return 1 if it ends differently."""
    print("1. Training on 1,500 scenes\n")
    run = lw.fit(
        "single-shot-detector",
        "scenes",
        limit=1500,
        epochs=6,
        console=Console(width=100),
    )

    print("\n2. A scene of the test split, and what was found in it\n")
    test: Any = load_scenes().test
    fullest = int((test.targets[:, :, 0] >= 0).sum(1).argmax())
    scenes = test.inputs[0][fullest : fullest + 1]
    prediction = lw.predict(run, scenes)
    found = (prediction.objects or [])[0]
    names = prediction.names(found.classes)
    print(drawn(scenes[0, 0], found, names))
    if len(sys.argv) > 1:
        save_picture(sys.argv[1], scenes[0, 0], found, names)

    there = sorted(int(row[0]) for row in test.targets[fullest] if row[0] >= 0)
    print(f"\nin the scene {there}, found {sorted(found.classes.tolist())}")
    precision = (run.test or {})["map-50"]
    print(f"mean average precision over the test scenes, at an overlap of 0.5: {precision:.3f}")
    return 0 if precision > 0.9 else 1


if __name__ == "__main__":
    sys.exit(main())
