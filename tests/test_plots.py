"""The figures: what they draw, on data small enough to check by hand, and that they leave nothing behind."""

from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import keras
import matplotlib
import matplotlib.pyplot as plt
import nbclient
import nbformat
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from kit import plots

NAMES = ("bag", "boot", "coat")


class Split(NamedTuple):
    x: np.ndarray
    y: np.ndarray


def dataset(x=None, y=(0, 2, 2, 1, 2, 0), validation=True, classes=NAMES):
    y = np.asarray(y)
    x = np.zeros((len(y), 4, 4, 1), np.uint8) if x is None else x
    held = Split(x[:2], y[:2])
    return SimpleNamespace(
        train=Split(x, y),
        validation=held if validation else None,
        test=held,
        classes=classes,
        origin="synthetic",
        card=SimpleNamespace(title="Fashion-MNIST"),
    )


def history(epochs, metric="accuracy", validation=True):
    values = {"loss": [1 / (e + 1) for e in range(epochs)], metric: [e / epochs for e in range(epochs)]}
    return values | ({f"val_{name}": [v + 0.1 for v in run] for name, run in values.items()} if validation else {})


def table(**columns):
    rows = {
        "metric": "accuracy",
        "reported": [0.87, 0.88, np.nan],
        "reproduced": [0.875, np.nan, 0.86],
        "low": [0.873, np.nan, 0.85],
        "high": [0.877, np.nan, 0.87],
        "verdict": ["reproduced", "failed", "not comparable"],
        "origin": "real",
    }
    return pd.DataFrame(rows | columns, index=["small 64", "small 128", "large 64"])


def words(ax):
    return [text.get_text() for text in ax.texts]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.fixture(scope="module")
def net():
    """A convolution whose two filters pass the image on and double it; its maps are known."""
    net = keras.Sequential(
        [
            keras.Input((5, 6, 1)),
            keras.layers.Conv2D(2, 1, use_bias=False, name="first"),
            keras.layers.Conv2D(3, 3, name="second"),
            keras.layers.Flatten(name="flat"),
        ]
    )
    net.get_layer("first").set_weights([np.array([[[[1.0, 2.0]]]])])
    return net


def test_class_distribution_counts_each_class_of_each_split():
    figure = plots.class_distribution(dataset())
    assert [ax.get_title() for ax in figure.axes] == ["train: 6 images", "validation: 2 images", "test: 2 images"]
    assert [[bar.get_width() for bar in ax.patches] for ax in figure.axes] == [[2, 1, 3], [1, 0, 1], [1, 0, 1]]
    assert words(figure.axes[0]) == ["2", "1", "3"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(NAMES)
    assert all(ax.yaxis_inverted() for ax in figure.axes)
    assert figure.get_suptitle() == "Fashion-MNIST (synthetic)"
    assert len(plots.class_distribution(dataset(validation=False)).axes) == 2


def test_class_distribution_of_labels_and_of_masks():
    labels = np.array([[1, 0, 1], [1, 0, 0], [0, 0, 0]])
    assert [bar.get_width() for bar in plots.class_distribution(dataset(y=labels)).axes[0].patches] == [2, 0, 1]
    masks = np.zeros((2, 4, 4, 1), np.uint8)
    masks[0, :2] = 1
    ax = plots.class_distribution(dataset(y=masks, classes=("tissue", "gland"))).axes[0]
    assert [bar.get_width() for bar in ax.patches] == [24, 8] and ax.get_xlabel() == "pixels"


@pytest.mark.parametrize(
    "x, shown",
    [
        (np.array([0, 51, 102], np.uint8), [0, 0.2, 0.4]),
        (np.array([0, 0.2, 0.5], np.float32), [0, 0.2, 0.5]),
        (np.array([-1, 0, 3], np.float32), [0, 0.25, 1]),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_images_show_any_scale_with_class_names(x, shown, channels):
    x = np.broadcast_to(x[:, None, None, None], (3, 4, 4, channels))
    figure = plots.images(dataset(x=x, y=[2, 0, 1]))
    assert [ax.get_title() for ax in figure.axes] == ["coat", "bag", "boot"]
    np.testing.assert_allclose([ax.images[0].get_array().max() for ax in figure.axes], shown, atol=1e-6)
    assert figure.axes[0].images[0].get_clim() == (0, 1)
    assert "Fashion-MNIST (synthetic)" in figure.get_suptitle()
    assert f"pixels {x.min():.3g} to {x.max():.3g}" in figure.get_suptitle()


def test_images_are_the_first_n():
    assert len(plots.images(dataset(), n=5).axes) == 5
    assert len(plots.images(dataset(), n=25).axes) == 6
    titles = [ax.get_title() for ax in plots.images(dataset(y=[[1, 0, 1], [0, 0, 0]])).axes]
    assert titles == ["bag\ncoat", "none"]


@pytest.mark.parametrize("wrap", [dict, lambda values: SimpleNamespace(history=values)])
def test_curves_of_one_history(wrap):
    figure = plots.curves(wrap(history(4)), title="Fashion-MNIST (synthetic)")
    assert [ax.get_ylabel() for ax in figure.axes] == ["loss", "accuracy"]
    training, validation = figure.axes[0].lines
    assert training.get_linestyle() == "--" and validation.get_linestyle() == "-"
    assert list(training.get_xdata()) == [1, 2, 3, 4] and list(training.get_ydata()) == [1, 1 / 2, 1 / 3, 1 / 4]
    assert list(validation.get_ydata()) == pytest.approx([1.1, 0.6, 1 / 3 + 0.1, 0.35])
    assert legend(figure) == ["training", "validation"] and figure.get_suptitle() == "Fashion-MNIST (synthetic)"


def test_curves_of_several_runs():
    runs = {"SGD": history(5), "Adam": SimpleNamespace(history=history(3, validation=False)), "net": history(2, "dice")}
    figure = plots.curves(runs)
    assert [ax.get_ylabel() for ax in figure.axes] == ["loss", "accuracy", "dice"]
    drawn = [line for line in figure.axes[0].lines if len(line.get_xdata())]
    assert [len(line.get_xdata()) for line in drawn] == [5, 5, 3, 2, 2]
    assert len({line.get_color() for line in drawn}) == 3
    assert legend(figure) == ["SGD", "Adam", "net", "training", "validation"]


def test_curves_mark_the_epochs_of_a_run_too_short_for_a_line():
    assert plots.curves(history(1)).axes[0].lines[0].get_marker() == "o"


def test_curves_leave_out_validation_and_learning_rate_when_there_is_nothing_to_see():
    figure = plots.curves(history(3, validation=False) | {"learning_rate": [0.1, 0.1, 0.01]})
    assert [ax.get_ylabel() for ax in figure.axes] == ["loss", "accuracy"] and legend(figure) == ["training"]


# Truth down, prediction across: of two bags one is taken for a coat; both boots are right; the coat is right.
TRUE, PREDICTED, MATRIX = [0, 0, 1, 1, 2], [0, 2, 1, 1, 2], [[1, 0, 1], [0, 2, 0], [0, 0, 1]]


@pytest.mark.parametrize("counts", [MATRIX, (TRUE, PREDICTED), (np.array(TRUE), np.array(PREDICTED))])
def test_confusion_matrix_is_the_one_worked_out_by_hand(counts):
    ax = plots.confusion_matrix(counts, NAMES, title="small 64").axes[0]
    assert words(ax) == ["1", "", "1", "", "2", "", "", "", "1"]
    assert [label.get_text() for label in ax.get_xticklabels()] == list(NAMES)
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("predicted", "true", "small 64")
    np.testing.assert_allclose(ax.collections[0].get_array(), [[0.5, 0, 0.5], [0, 1, 0], [0, 0, 1]])
    shares = plots.confusion_matrix(counts, NAMES, normalize=True).axes[0]
    assert words(shares) == [".50", "", ".50", "", "1.00", "", "", "", "1.00"]


def test_confusion_matrix_takes_a_class_without_images_and_draws_on_given_axes():
    ax = Figure().subplots()
    assert plots.confusion_matrix(([0, 0], [0, 2]), NAMES, normalize=True, ax=ax) is ax
    assert words(ax) == [".50", "", ".50", *[""] * 6]


def test_confusion_matrices_share_their_labels():
    figure = plots.confusion_matrices({f"net {i}": MATRIX for i in range(5)}, NAMES, title="Fashion-MNIST (synthetic)")
    assert [ax.get_title() for ax in figure.axes] == [f"net {i}" for i in range(5)]
    assert [len(ax.get_yticks()) for ax in figure.axes] == [3, 0, 0, 3, 0]
    # The third has nothing below it.
    assert [len(ax.get_xticks()) for ax in figure.axes] == [0, 0, 3, 3, 3]
    assert words(figure.axes[4]) == ["1", "", "1", "", "2", "", "", "", "1"]


def test_feature_maps_are_the_outputs_of_the_first_convolution(net):
    image = np.arange(30.0).reshape(5, 6, 1)
    figure = plots.feature_maps(net, image)
    assert figure.get_suptitle() == "first: 2 feature maps of 5 x 6"
    for ax, factor in zip(figure.axes, (1, 2), strict=True):
        np.testing.assert_allclose(ax.images[0].get_array(), factor * image[..., 0], rtol=1e-6)
    assert len(plots.feature_maps(net, image, layer="second", columns=2).axes) == 3


def test_curve_panels_have_a_panel_a_run_and_a_line_a_split():
    plain, tested = history(5, validation=False), history(3) | {"test_loss": [0.5] * 3, "test_accuracy": [0.4] * 3}
    runs = {"first": plain, "second": tested, "third": history(4)}
    figure = plots.curve_panels(runs, columns=2, title="which data")
    axes = figure.axes
    assert [ax.get_title() for ax in axes] == list(runs) and figure.get_suptitle() == "which data"
    assert [len(ax.lines) for ax in axes] == [1, 3, 2]
    assert list(axes[0].lines[0].get_ydata()) == plain["accuracy"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["validation", "test", "training"]
    assert len({ax.get_ylim() for ax in axes}) == 1
    alike = {"loss": [2, 1], "val_loss": [3, 2], "soft_loss": [4, 3], "val_soft_loss": [5, 4]}
    [ax] = plots.curve_panels({"one": alike}, "loss").axes
    assert [list(line.get_ydata()) for line in ax.lines] == [[2, 1], [3, 2]]
    with pytest.raises(ValueError, match="metric='auc': 'first' has no such history, but loss, accuracy; one that all"):
        plots.curve_panels(runs, "auc")


def test_no_line_joins_figures_that_are_not_compared():
    one = table().loc[["small 64"]]
    [compared], [not_compared] = (plots.reported_beside_reproduced(one.assign(verdict=verdict)).axes for verdict in
                                  ("reproduced", "not comparable"))  # fmt: skip
    assert len(compared.lines) == len(not_compared.lines) + 1


def test_reported_beside_reproduced_places_marks_and_intervals():
    figure = plots.reported_beside_reproduced(table())
    [ax] = figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["small 64", "small 128", "large 64"]
    _, interval, filled, hollow = ax.lines[:4]
    assert list(interval.get_xdata()) == [0.873, 0.877] and list(filled.get_xdata()) == [0.875]
    assert list(hollow.get_xdata()) == [0.87] and hollow.get_markerfacecolor() == "none"
    assert list(hollow.get_ydata()) == list(filled.get_ydata()) == [0]
    assert words(ax) == ["failed"] and ax.get_xlabel() == "accuracy"
    assert legend(figure) == ["reported", "reproduced", "not comparable"]
    assert "(real data)" in figure.get_suptitle()
    two = table(metric=["accuracy", "dice", "dice"], origin=["real", "synthetic", None])
    by_metric = plots.reported_beside_reproduced(two)
    assert [ax.get_xlabel() for ax in by_metric.axes] == ["accuracy", "dice"]
    assert "(real and synthetic data)" in by_metric.get_suptitle()


def test_figures_can_be_drawn_and_leave_nothing_behind(net):
    figures = [
        plots.class_distribution(dataset()),
        plots.images(dataset()),
        plots.curves({f"run {i}": history(3) for i in range(12)}),
        plots.confusion_matrix(MATRIX, NAMES),
        plots.confusion_matrices({"a": MATRIX}, NAMES),
        plots.feature_maps(net, np.ones((5, 6, 1))),
        plots.reported_beside_reproduced(table()),
    ]
    for figure in figures:
        figure.canvas.draw()
    assert plt.get_fignums() == []
    # The settings are still those that Matplotlib starts with; the back end is chosen when it first draws.
    start = matplotlib.rcParamsOrig
    assert [name for name, value in matplotlib.rcParams.items() if value != start[name] and name != "backend"] == []


def test_a_notebook_displays_a_figure_once_and_only_when_a_cell_ends_with_it():
    # The first cell draws with no figure before it, when the notebook does not yet know how to display one.
    draw = "plots.curves({'loss': [2, 1]})"
    cells = [f"from kit import plots\n{draw}", f"figure = {draw}", "figure"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    root = Path(__file__).parent.parent
    nbclient.NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(root)}}).execute()
    pictures = [sum("image/png" in output.get("data", {}) for output in cell.outputs) for cell in notebook.cells]
    assert pictures == [1, 0, 1]


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda net: plots.class_distribution(dataset(y=[0, 1, 3])), "3 class names"),
        (lambda net: plots.images(dataset(), n=0), "n=0"),
        (lambda net: plots.images(dataset(x=np.zeros((6, 4, 4, 2)))), r"\(6, 4, 4, 2\)"),
        (lambda net: plots.curves({}), "Keras History"),
        (lambda net: plots.curves(0.87), "0.87"),
        (lambda net: plots.curves({"SGD": history(2), "Adam": {"loss": []}}), "'Adam'"),
        (lambda net: plots.curves({"loss": 0.5}), "0.5"),
        (lambda net: plots.confusion_matrix(np.ones((2, 2)), NAMES), r"\(2, 2\).*\(3, 3\)"),
        (lambda net: plots.confusion_matrix(np.eye(3) / 2, NAMES), "0.5"),
        (lambda net: plots.confusion_matrix(([0, 1], [0]), NAMES), r"\(2,\).*\(1,\)"),
        (lambda net: plots.confusion_matrix(([0, 3], [0, 1]), NAMES), "label 3"),
        (lambda net: plots.confusion_matrices({}, NAMES), "matrices is {}"),
        (lambda net: plots.confusion_matrices({"a": [[1]]}, NAMES), "'a' has shape"),
        (lambda net: plots.confusion_matrices({"a": MATRIX}, NAMES, columns=0), "columns=0"),
        (lambda net: plots.feature_maps(net, np.ones((1, 5, 6, 1))), r"\(1, 5, 6, 1\).*\(5, 6, 1\)"),
        (lambda net: plots.feature_maps(net, np.ones((5, 6, 1)), layer="third"), "third"),
        (lambda net: plots.feature_maps(net, np.ones((5, 6, 1)), layer="flat"), "'flat'"),
        (
            lambda net: plots.feature_maps(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]), np.ones(4)),
            "no Conv2D",
        ),
        (
            lambda net: plots.feature_maps(keras.Sequential([keras.layers.Conv2D(2, 3)]), np.ones((5, 6, 1))),
            "not built",
        ),
        (lambda net: plots.reported_beside_reproduced(table().drop(columns="low")), r"\['low'\]"),
        (lambda net: plots.reported_beside_reproduced(table().head(0)), "0 rows"),
    ],
)
def test_bad_input_is_an_error_in_one_line(draw, message, net):
    with pytest.raises(ValueError, match=message) as error:
        draw(net)
    assert "\n" not in str(error.value)


def test_segmentations_show_true_and_predicted_outlines_on_the_image():
    image = np.full((1, 4, 6, 3), 100, np.uint8)
    mask = np.zeros((1, 4, 6, 1), np.uint8)
    mask[0, 1:3, 1:3] = 1  # a square of four pixels
    guess = np.zeros_like(mask)
    guess[0, :, :3] = 1  # twelve pixels up to the edge, the square among them
    figure = plots.segmentations(image, mask, guess, ["image 5"], title="U-Net")
    assert figure.get_suptitle() == "U-Net"
    first, second = figure.axes
    assert first.get_ylabel() == "image 5" and not first.lines and second.get_xlabel() == "Dice 0.50"  # 2*4 / (4 + 12)
    for ax in figure.axes:
        np.testing.assert_array_equal(np.asarray(ax.images[0].get_array()), image[0])
    true, predicted = second.lines
    assert (true.get_color(), predicted.get_color()) == ("white", "black")
    assert (true.get_xdata().min(), true.get_xdata().max()) == (0.5, 2.5)
    assert (predicted.get_xdata().min(), predicted.get_xdata().max()) == (-0.5, 2.5)  # not beyond the image
    probabilities = np.concatenate([1 - guess, guess], -1) * 0.8 + 0.1
    nets = {"one net": probabilities, "nothing": np.zeros_like(mask), "all right": mask}
    again = plots.segmentations(image, mask, nets, ["image 5"]).axes
    assert [ax.get_title() for ax in again] == ["", *nets]
    assert [ax.get_xlabel() for ax in again] == ["", "Dice 0.50", "Dice 0.00", "Dice 1.00"]
    assert [len(ax.lines) for ax in again] == [0, 2, 1, 2]


@pytest.mark.parametrize(
    "image, mask, names",
    [((1, 2, 2, 1), (1, 2, 2, 1), 1), ((1, 2, 2, 3), (1, 2, 2), 1), ((1, 2, 2, 3), (1, 2, 2, 1), 2)],
)
def test_segmentations_of_shapes_that_do_not_fit(image, mask, names):
    with pytest.raises(ValueError, match="would be right"):
        plots.segmentations(np.zeros(image), np.zeros(mask), np.zeros(mask), ["one"] * names)
    with pytest.raises(ValueError, match="would be right"):
        plots.segmentations(np.zeros((1, 2, 2, 3)), np.zeros((1, 2, 2, 1)), {}, ["one"])


def test_misclassified_shows_the_first_wrong_ones_with_both_labels():
    images = np.arange(6)[:, None, None, None] * np.ones((1, 2, 2, 1))
    true, predicted = [0, 1, 2, 0, 1, 2], [0, 2, 2, 1, 1, 0]
    figure = plots.misclassified(images, true, predicted, NAMES, n=2, title="CNN")
    assert [ax.get_title() for ax in figure.axes] == ["boot, taken for coat", "bag, taken for boot"]
    assert [float(np.asarray(ax.images[0].get_array()).flat[0]) for ax in figure.axes] == [1, 3]
    assert figure.get_suptitle() == "CNN\n3 of 6 misclassified, the first 2"
    again = plots.misclassified(images, true, np.eye(3)[predicted], NAMES)
    assert len(again.axes) == 3


@pytest.mark.parametrize("predicted, n", [([0, 1], 5), ([0, 1, 2], 0), ([0, 1, 2], 5)])
def test_nothing_misclassified_or_shapes_that_do_not_fit(predicted, n):
    with pytest.raises(ValueError, match="would be right"):
        plots.misclassified(np.zeros((3, 2, 2, 1)), [0, 1, 2], predicted, NAMES, n)
