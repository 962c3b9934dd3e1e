"""The figures of several labels an image: what they draw, on labels small enough to count by hand."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from kit import plots
from kit.datasets import Split

LABELS = ("blob", "ring", "rim")
Y = np.array([[0, 0, 0], [1, 0, 0], [1, 0, 1], [1, 1, 0], [0, 0, 0], [0, 0, 1]], np.uint8)


def dataset(y=Y, test_y=None):
    def split(y, n):
        return Split(np.zeros((n, 4, 4, 3), np.uint8), y if y is None else np.asarray(y))

    return SimpleNamespace(
        train=split(y, len(y)),
        validation=split(y[:2], 2),
        test=split(test_y, 5),
        classes=LABELS,
        origin="synthetic",
        card=SimpleNamespace(title="MRI"),
    )


def widths(ax):
    return [bar.get_width() for bar in ax.patches]


def test_combinations_are_counted_for_each_split_that_has_labels():
    figure = plots.label_combinations(dataset())
    assert [ax.get_title() for ax in figure.axes] == ["train: 6 images", "validation: 2 images"]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    # fewer labels before more
    assert names == [
        "none", "blob", "ring", "rim", "blob + ring", "blob + rim", "ring + rim", "blob + ring + rim",
    ]  # fmt: skip
    assert [widths(ax) for ax in figure.axes] == [[2, 1, 0, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0]]
    assert [text.get_text() for text in figure.axes[0].texts] == ["2", "1", "0", "1", "1", "1", "0", "0"]
    assert figure.get_suptitle() == "MRI (synthetic)" and figure.axes[0].yaxis_inverted()
    assert widths(plots.label_combinations(dataset(test_y=[[1, 1, 0]] * 5)).axes[2])[4] == 5


def test_the_distribution_passes_over_a_split_without_labels():
    figure = plots.class_distribution(dataset())
    assert [widths(ax) for ax in figure.axes] == [[3, 1, 2], [1, 0, 0]]
    assert len(plots.class_distribution(dataset(test_y=Y)).axes) == 3


def test_each_label_has_a_matrix_of_its_own():
    scores = [[0.1, 0.2, 0], [0.9, 0.1, 0], [0.4, 0.8, 0], [0.5, 0.3, 0], [0.0, 0.6, 0], [0.2, 0.1, 0]]
    predicted = np.array(scores) >= 0.5
    figure = plots.label_confusion_matrices(Y, predicted, LABELS, title="CNN (synthetic)")
    assert [ax.get_title() for ax in figure.axes] == list(LABELS) and figure.get_suptitle() == "CNN (synthetic)"
    # true down, predicted across: absent before borne; an empty cell is a zero
    # blob: one of three missed; ring: two of five invented, the only one missed; rim: never predicted
    cells = [[text.get_text() for text in ax.texts] for ax in figure.axes]
    assert cells == [["3", "", "1", "2"], ["3", "2", "1", ""], ["4", "", "2", ""]]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["absent", "borne"]


def test_they_can_be_drawn_and_leave_nothing_behind():
    for figure in (plots.label_combinations(dataset()), plots.label_confusion_matrices(Y, Y, LABELS)):
        figure.canvas.draw()
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    "draw, said",
    [
        (lambda: plots.label_combinations(dataset(np.array([0, 1, 1]))), r"train has labels of shape \(3,\): \(n, 3\)"),
        (lambda: plots.label_confusion_matrices(Y, Y[:3], LABELS), r"true is \(6, 3\), predicted \(3, 3\)"),
        (lambda: plots.label_confusion_matrices(Y[:, :1], Y[:, :1], LABELS), r"both \(n, 3\)"),
        (lambda: plots.label_confusion_matrices(Y, Y * 0.7, LABELS), "must be 0 and 1, such as"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(draw, said):
    with pytest.raises(ValueError, match=said) as error:
        draw()
    assert "\n" not in str(error.value)
