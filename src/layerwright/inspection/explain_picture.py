"""An explained image: the image, what speaks for and against the class, and both together."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from layerwright.errors import OptionError
from layerwright.inspection.trace_heat_map import require_figure

_SHOWN = 0.99  # quantile of the magnitudes that gets the full colour: one pixel must not take it


def save_explained_image(image: Tensor, values: Tensor, title: str, note: str, file: Path) -> None:
    """Draw a PNG.

    Args:
        image: `(C, H, W)`, values from 0 to 1; of other than 1, 3 or 4 channels the mean is shown.
        values: attributions, `(C, H, W)`.
        title: what the network says.
        note: method and completeness.
        file: where to draw to.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OptionError: the suffix is not .png, or the file cannot be written.
    """
    if file.suffix.lower() != ".png":
        raise OptionError(f"an explained image expected a file .png, received {str(file)!r}.")
    figure_class = require_figure()
    summed = values.sum(0)
    limit = float(summed.abs().flatten().quantile(_SHOWN)) or float(summed.abs().max()) or 1.0
    shown, gray = image.permute(1, 2, 0).clamp(0, 1), image[:3].mean(0).clamp(0, 1)
    if shown.shape[2] not in (3, 4):
        shown = gray
    figure = figure_class(figsize=(10.5, 3.9), layout="constrained")
    panels: Any = figure.subplots(1, 3)
    panels[0].imshow(shown.numpy(), cmap="gray", vmin=0, vmax=1)
    panels[0].set_title("input", fontsize=10)
    colours = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
    drawn = panels[1].imshow(summed.numpy(), **colours)
    panels[1].set_title("attribution", fontsize=10)
    panels[2].imshow(0.3 + 0.7 * gray.numpy(), cmap="gray", vmin=0, vmax=1)
    panels[2].imshow(_overlay(summed, limit).numpy())
    panels[2].set_title("both", fontsize=10)
    for panel in panels:
        panel.set_xticks([])
        panel.set_yticks([])
    bar = figure.colorbar(drawn, ax=list(panels), shrink=0.8, pad=0.01, extend="both")
    bar.set_label("against  <-  score  ->  for")
    figure.suptitle(title, fontsize=12)
    figure.supxlabel(note, fontsize=8)
    try:
        figure.savefig(file, dpi=120)
    except OSError as error:
        raise OptionError(f"{file} cannot be written: {error.strerror}.") from error


def _overlay(summed: Tensor, limit: float) -> Tensor:
    """Return `(H, W, 4)`: strong colours that let the image through where little is attributed."""
    red, blue = summed.new_tensor([0.84, 0.1, 0.1]), summed.new_tensor([0.05, 0.3, 0.85])
    colour = torch.where((summed > 0).unsqueeze(2), red, blue)
    strength = (summed.abs() / limit).clamp(0, 1).unsqueeze(2)
    return torch.cat([colour, 0.85 * strength], 2)
