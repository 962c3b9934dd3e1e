"""What the data are."""

import math

import numpy as np

from ._figure import origin, pictures, split_bars


def class_distribution(data):
    """How many images each class has, one panel for each of train, validation and test that has labels.

    Args:
        data: a `kit.datasets.Dataset`, its labels y class numbers (n,); or 0 and 1 for each label (n, labels), where
            an image counts once for each label it has; or masks (n, height, width, ...), counted in pixels.

    Raises:
        ValueError: a label without a class name.
    """
    names = list(data.classes)

    def count(split, y):
        several_labels = y.ndim == 2 and y.shape[1] > 1
        counts = y.sum(axis=0) if several_labels else np.bincount(y.ravel().astype(int), minlength=len(names))
        if len(counts) != len(names):
            raise ValueError(f"{split} has labels up to {len(counts) - 1}, but there are {len(names)} class names")
        return counts

    return split_bars(data, names, count)


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
    title = f"{origin(data)}\nfirst {len(x)} training images, pixels {low:.3g} to {high:.3g}"
    if np.issubdtype(x.dtype, np.integer):
        low, high = 0, 255
    elif low >= 0 and high <= 1:
        low, high = 0, 1
    names = [""] * len(x)  # of masks
    if labels[0].size == 1:
        names = [data.classes[int(label)] for label in labels.ravel()]
    elif labels.ndim == 2:
        names = ["\n".join(np.asarray(data.classes)[label == 1]) or "none" for label in labels]
    x, columns = (x - low) / (high - low), math.ceil(math.sqrt(len(x)))
    return pictures(x, names, columns, 1.4, clim=(0, 1), title=title, heading={"fontsize": 11})
