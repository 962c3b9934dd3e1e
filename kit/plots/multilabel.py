"""What images with several labels, one or none are made of, and where a net errs on each label."""

import numpy as np
from sklearn.metrics import multilabel_confusion_matrix

from ._figure import split_bars
from .nets import confusion_matrices


def label_combinations(data):
    """How many images bear each combination of labels, none included: one panel for each split that has labels.

    Args:
        data: a `kit.datasets.Dataset` of a multilabel task, its y 0 and 1 for each label (n, labels).

    Raises:
        ValueError: labels of another shape.
    """
    digits = 2 ** np.arange(len(data.classes))
    sets = sorted(range(2 ** len(digits)), key=lambda number: (number.bit_count(), number))
    names = [" + ".join(np.asarray(data.classes)[number & digits > 0]) or "none" for number in sets]

    def count(split, y):
        if y.ndim != 2 or y.shape[1] != len(digits):
            raise ValueError(f"{split} has labels of shape {y.shape}: (n, {len(digits)}) would be right")
        return np.bincount(y @ digits, minlength=len(sets))[sets]

    return split_bars(data, names, count, room=2)


def label_confusion_matrices(true, predicted, labels, *, title=None):
    """A confusion matrix of two by two for each label: whether an image bears it, and whether the net says so.

    Args:
        true: (n, labels) of 0 and 1.
        predicted: the same, or of False and True, such as `probabilities >= 0.5`.
        labels: their names.
        title: of the figure: which net, on which data.

    Raises:
        ValueError: other shapes, or predictions that are not 0 and 1.
    """
    true, predicted = np.asarray(true), np.asarray(predicted)
    if true.shape != predicted.shape or true.ndim != 2 or true.shape[1] != len(labels):
        raise ValueError(
            f"true is {true.shape}, predicted {predicted.shape}: both (n, {len(labels)}), a column for each label, "
            "would be right"
        )
    if not np.isin(predicted, (0, 1)).all() or not np.isin(true, (0, 1)).all():
        raise ValueError("true and predicted must be 0 and 1, such as `probabilities >= 0.5`")
    matrices = multilabel_confusion_matrix(true.astype(int), predicted.astype(int))
    return confusion_matrices(
        dict(zip(labels, matrices, strict=True)), ("absent", "borne"), columns=len(labels), title=title
    )
