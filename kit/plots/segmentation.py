"""What segmentation nets see: the outlines of true and predicted masks on their image."""

from collections.abc import Mapping

import numpy as np
from matplotlib.lines import Line2D

from ._figure import figure_of

# White and black can be told apart on stained tissue, in print too.
OUTLINES = {"true": {"color": "white", "lw": 1.8}, "predicted": {"color": "black", "lw": 1.2, "ls": "--"}}


def segmentations(images, masks, predicted, names, *, title=None):
    """A row an image: the image, and for each net the outlines of the true and of its objects on it, with its Dice.

    Args:
        images: (n, height, width, 3), whole numbers from 0 to 255 or floats in [0, 1].
        masks: (n, height, width, 1) of 0 and 1.
        predicted: the same, or a net's probabilities (n, height, width, 2) of background and foreground; or a dict
            from the names of several nets to such.
        names: of the n rows: which image.
        title: of the figure: on which data.

    Raises:
        ValueError: shapes that do not fit together, or no net.
    """
    images, masks = np.asarray(images), np.asarray(masks)
    nets = predicted if isinstance(predicted, Mapping) else {"outlines": predicted}
    nets = {net: np.asarray(found) for net, found in nets.items()}
    n = len(names)
    size = (n, *images.shape[1:3])
    fit = images.shape == (*size, 3) and masks.shape == (*size, 1) and nets
    if n < 1 or not fit or any(found.shape not in ((*size, 1), (*size, 2)) for found in nets.values()):
        shapes = ", ".join(f"{net} {found.shape}" for net, found in nets.items())
        raise ValueError(
            f"images {images.shape}, masks {masks.shape}, predicted {shapes} and {n} names: as many of each, images "
            "(n, height, width, 3), masks with 1 channel and predicted with 1 or 2 would be right"
        )
    figure, axes = figure_of(2.4 * (1 + len(nets)), 0.8 + 2.6 * n, n, 1 + len(nets), title=title)
    for row, name, image in zip(axes, names, images, strict=True):
        for ax in row:
            ax.imshow(image)
            ax.set(xticks=[], yticks=[])
        row[0].set_ylabel(name)
    for column, (net, found) in zip(axes.T[1:], nets.items(), strict=True):
        column[0].set_title(net, fontsize=10)
        glands = found.argmax(-1) == 1 if found.shape[-1] == 2 else found[..., 0] == 1
        for ax, mask, guess in zip(column, masks[..., 0] == 1, glands, strict=True):
            _outline(ax, mask, **OUTLINES["true"])
            _outline(ax, guess, **OUTLINES["predicted"])
            either = mask.sum() + guess.sum()
            ax.set_xlabel(f"Dice {2 * (mask & guess).sum() / either if either else 1:.2f}", fontsize=9)
    handles = [Line2D([], [], label=name, **style) for name, style in OUTLINES.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=True, facecolor="0.7")
    return figure


def _outline(ax, mask, **style):
    from skimage.measure import find_contours  # Here, because no other figure needs scikit-image.

    for rows, columns in (line.T - 1 for line in find_contours(np.pad(mask, 1).astype(float), 0.5)):
        ax.plot(np.clip(columns, -0.5, mask.shape[1] - 0.5), np.clip(rows, -0.5, mask.shape[0] - 0.5), **style)
