"""What a segmentation net sees: true and predicted masks over their image."""

import numpy as np
from matplotlib.patches import Patch

from ._figure import COLORS, figure_of

AGREEMENT = {"found": COLORS[2], "missed": COLORS[1], "invented": COLORS[4]}


def segmentations(images, masks, predicted, names, *, title=None):
    """A row an image: the image, its true mask, the predicted one, and over the image where the two agree.

    Args:
        images: (n, height, width, 3), whole numbers from 0 to 255 or floats in [0, 1].
        masks: (n, height, width, 1) of 0 and 1.
        predicted: the same, or a net's probabilities (n, height, width, 2) of background and foreground.
        names: of the n rows: which image, and its Dice coefficient.
        title: of the figure: which net, on which data.

    Raises:
        ValueError: shapes that do not fit together.
    """
    images, masks, predicted = map(np.asarray, (images, masks, predicted))
    n = len(names)
    size = (n, *images.shape[1:3])
    fit = images.shape == (*size, 3) and masks.shape == (*size, 1) and predicted.shape in ((*size, 1), (*size, 2))
    if n < 1 or not fit:
        raise ValueError(
            f"images {images.shape}, masks {masks.shape}, predicted {predicted.shape} and {n} names: as many of each, "
            "images (n, height, width, 3), masks with 1 channel and predicted with 1 or 2 would be right"
        )
    true = masks[..., 0] == 1
    guess = predicted.argmax(-1) == 1 if predicted.shape[-1] == 2 else predicted[..., 0] == 1
    shown = images / 255 if np.issubdtype(images.dtype, np.integer) else images
    overlap = 0.5 * shown
    for (_, color), where in zip(AGREEMENT.items(), (true & guess, true & ~guess, ~true & guess), strict=True):
        overlap[where] += 0.5 * np.array(color)
    figure, axes = figure_of(10, 0.8 + 2.4 * n, n, 4, title=title)
    for ax, heading in zip(axes[0], ("image", "true", "predicted", "overlap"), strict=True):
        ax.set_title(heading, fontsize=10)
    for row, name, *pictures in zip(axes, names, shown, true, guess, overlap, strict=True):
        for ax, picture in zip(row, pictures, strict=True):
            ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
        row[0].set_ylabel(name)
    handles = [Patch(color=color, label=f"gland, {word}") for word, color in AGREEMENT.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure
