"""What images with several labels, one or none are made of, and where a net errs on each label."""

import numpy as np
import seaborn as sns
from sklearn.metrics import multilabel_confusion_matrix

from ._figure import COLORS, figure_of, origin
from .nets import confusion_matrices


def label_combinations(data):
    """How many images bear each combination of labels, none included: one panel for each split that has labels.

    Args:
        data: a `kit.datasets.Dataset` of a multilabel task, its y 0 and 1 for each label (n, labels).

    Raises:
        ValueError: labels of another shape.
    """
    splits = {name: getattr(data, name) for name in ("train", "validation", "test")}
    labelled = {name: np.asarray(split.y) for name, split in splits.items() if split and split.y is not None}
    for name, y in labelled.items():
        if y.ndim != 2 or y.shape[1] != len(data.classes):
            raise ValueError(f"{name} has labels of shape {y.shape}: (n, {len(data.classes)}) would be right")
    digits = 2 ** np.arange(len(data.classes))
    sets = sorted(range(2 ** len(digits)), key=lambda number: (number.bit_count(), number))
    names = [" + ".join(np.asarray(data.classes)[number & digits > 0]) or "none" for number in sets]
    figure, axes = figure_of(2 + 2.8 * len(labelled), 1 + 0.28 * len(sets), 1, len(labelled), sharey=True)
    figure.suptitle(origin(data))
    for ax, (name, y) in zip(axes[0], labelled.items(), strict=True):
        counts = np.bincount(y @ digits, minlength=len(sets))[sets]
        bars = ax.barh(range(len(sets)), counts, color=COLORS[0])
        ax.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=9)
        ax.set_title(f"{name}: {len(y):,} images", fontsize=10)
        ax.margins(x=0.25)
        ax.set(xticks=[], xlabel="images", yticks=range(len(sets)), yticklabels=names)
        ax.tick_params(axis="y", length=0)
        sns.despine(ax=ax, bottom=True)
    axes[0, 0].invert_yaxis()
    return figure


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
