"""What the data are."""

import math

import numpy as np
import seaborn as sns

from ._figure import COLORS, figure_of, grid, origin


def class_distribution(data):
    """How many images each class has, one panel for each of train, validation and test that has labels.

    Args:
        data: a `kit.datasets.Dataset`, its labels y class numbers (n,); or 0 and 1 for each label (n, labels), where
            an image counts once for each label it has; or masks (n, height, width, ...), counted in pixels.

    Raises:
        ValueError: a label without a class name.
    """
    splits = {name: getattr(data, name) for name in ("train", "validation", "test")}
    splits = {name: split for name, split in splits.items() if split and split.y is not None}
    names = list(data.classes)
    figure, axes = figure_of(1.5 + 2.8 * len(splits), 1 + 0.28 * len(names), 1, len(splits), sharey=True)
    figure.suptitle(origin(data))
    for ax, (name, split) in zip(axes[0], splits.items(), strict=True):
        y = np.asarray(split.y)
        several_labels = y.ndim == 2 and y.shape[1] > 1
        counts = y.sum(axis=0) if several_labels else np.bincount(y.ravel().astype(int), minlength=len(names))
        if len(counts) != len(names):
            raise ValueError(f"{name} has labels up to {len(counts) - 1}, but there are {len(names)} class names")
        bars = ax.barh(range(len(names)), counts, color=COLORS[0])
        ax.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=9)
        ax.set_title(f"{name}: {len(y):,} images", fontsize=10)
        ax.margins(x=0.25)
        ax.set(xticks=[], xlabel="pixels" if y.ndim > 2 else "images", yticks=range(len(names)), yticklabels=names)
        ax.tick_params(axis="y", length=0)
        sns.despine(ax=ax, bottom=True)
    axes[0, 0].invert_yaxis()
    return figure


def images(data, n=25):
    """The first `n` training images under the names of their classes; the heading gives the range of their pixels.

    Args:
        data: a `kit.datasets.Dataset` whose images are (n, height, width, 1) or, in colour, (n, height, width, 3).
            Whole numbers are shown from 0 to 255, floats in [0, 1] from 0 to 1, others from their least to their most.
        n: how many; fewer when there are not so many.

    Raises:
        ValueError: images of another shape, or n below 1.
    """
    if n < 1:
        raise ValueError(f"n={n}: 1 or more images would be right")
    x, labels = np.asarray(data.train.x[:n]), np.asarray(data.train.y[:n])
    if x.ndim != 4 or x.shape[-1] not in (1, 3):
        raise ValueError(f"images of shape {x.shape}: (n, height, width, 1 or 3) would be right")
    low, high = x.min(), x.max()
    figure, axes = grid(len(x), math.ceil(math.sqrt(len(x))), 1.4)
    figure.suptitle(f"{origin(data)}\nfirst {len(x)} training images, pixels {low:.3g} to {high:.3g}", fontsize=11)
    if np.issubdtype(x.dtype, np.integer):
        low, high = 0, 255
    elif low >= 0 and high <= 1:
        low, high = 0, 1
    for ax, image, label in zip(axes, x, labels, strict=True):
        ax.imshow((image - low) / (high - low), cmap="gray", vmin=0, vmax=1)
        ax.axis("off")
        if label.size == 1:
            ax.set_title(data.classes[int(label.item())], fontsize=9)
        elif label.ndim == 1:
            ax.set_title("\n".join(np.asarray(data.classes)[label == 1]) or "none", fontsize=9)
    return figure
