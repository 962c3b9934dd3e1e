"""Where a net errs, and what its filters see."""

from collections.abc import Mapping

import numpy as np
import seaborn as sns
from sklearn.metrics import confusion_matrix as count_pairs

from ._figure import LEFT, bars, figure_of, grid, pictures


def confusion_matrix(counts, classes, *, normalize=False, title=None, ax=None):
    """Confusion matrix: true classes down, predicted classes across; the colour is the share of the true class.

    Args:
        counts: a matrix (k, k) of counts, or a tuple (y_true, y_pred) of class numbers, both of shape (n,).
        classes: the k names.
        normalize: write the shares of the true class, rows that sum to 1, in place of the counts.
        title: of the Axes: which net, on which data.
        ax: Axes to draw on, which are then returned in place of a Figure.

    Raises:
        ValueError: a shape or a label that does not fit the classes.
    """
    counts = _matrix(counts, classes)
    figure = None
    if ax is None:
        side = 1.5 + 0.42 * len(classes)
        figure, [[ax]] = figure_of(side, side)
    _heat(ax, counts, classes, normalize)
    ax.set_title(title or "")
    return figure or ax


def confusion_matrices(matrices, classes, columns=3, *, normalize=False, title=None):
    """A grid of confusion matrices, `columns` in a row, with the class names at its left and lower edges only.

    Args:
        matrices: a dict from the name of each to what `confusion_matrix` takes; the rest as there.

    Raises:
        ValueError: as there, or no matrices.
    """
    counts = _matrices(matrices, classes)
    figure, axes = grid(len(counts), columns, 0.3 + 0.34 * len(classes), margin=1.2, title=title)
    columns = min(columns, len(counts))
    for i, (ax, (name, matrix)) in enumerate(zip(axes, counts.items(), strict=True)):
        _heat(ax, matrix, classes, normalize)
        ax.set_title(name, fontsize=10)
        if i % columns:
            ax.set(ylabel="", yticks=[])
        if i + columns < len(counts):
            ax.set(xlabel="", xticks=[])
    figure.draw_without_rendering()  # the layout of square axes needs two draws, or their titles touch the figure's
    return figure


def class_recall(matrices, classes, name, *, title=None):
    """Of the images of one class, the share that each net recognizes: a bar for each net.

    Args:
        matrices, classes: as `confusion_matrices` takes them.
        name: of the class.
        title: of the figure: on which data.

    Raises:
        ValueError: as there; a name that is no class, or a matrix without an image of that class.
    """
    counts = _matrices(matrices, classes)
    if name not in classes:
        raise ValueError(f"name={name!r}: one of {', '.join(classes)} would be right")
    row = list(classes).index(name)
    without = [net for net, matrix in counts.items() if not matrix[row].sum()]
    if without:
        raise ValueError(f"{without[0]!r} has no image of {name!r}: at least one would be right")
    shares = [matrix[row, row] / matrix[row].sum() for matrix in counts.values()]
    figure, [[ax]] = figure_of(6.5, 1 + 0.3 * len(counts), title=title, heading=LEFT)
    bars(ax, list(counts), shares, "{:.3f}")
    ax.set(xlim=(0, 1.1), xlabel=f"recall of {name}")
    ax.invert_yaxis()
    return figure


def _matrices(matrices, classes):
    """{name: counts} of a dict of what `confusion_matrix` takes."""
    if not isinstance(matrices, Mapping) or not matrices:
        raise ValueError(f"matrices is {str(matrices)[:60]}: a dict such as {{'small 64': matrix}} would be right")
    return {name: _matrix(matrix, classes, repr(name)) for name, matrix in matrices.items()}


def _matrix(counts, classes, name="the matrix"):
    """Square counts (true class, predicted class) of a matrix, or of a tuple (y_true, y_pred)."""
    size = len(classes)
    if isinstance(counts, tuple):
        if len(counts) != 2 or np.shape(counts[0]) != np.shape(counts[1]) or np.ndim(counts[0]) != 1:
            raise ValueError(
                f"{name} is a tuple of shapes {[np.shape(part) for part in counts]}: "
                "(y_true, y_pred) of class numbers, both of shape (n,), would be right"
            )
        strange = np.setdiff1d(counts, range(size))
        if len(strange):
            raise ValueError(
                f"{name} has the label {strange[0]}: whole numbers from 0 to {size - 1}, as there are "
                f"{size} class names, would be right"
            )
        return count_pairs(*counts, labels=range(size))
    counts = np.asarray(counts)
    if counts.shape != (size, size):
        raise ValueError(
            f"{name} has shape {counts.shape}: {(size, size)}, as there are {size} class names, "
            "or a tuple (y_true, y_pred) would be right"
        )
    strange = counts[(counts < 0) | (counts % 1 != 0)]
    if len(strange):
        raise ValueError(f"{name} has the value {strange[0]}: counts would be right; normalize=True writes shares")
    return counts


def _heat(ax, counts, classes, normalize):
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    written = np.vectorize(lambda value: f"{value:.2f}".lstrip("0") if normalize else f"{value:.0f}")
    # An empty cell is easier to pass over than one of a hundred zeros.
    words = np.where(counts == 0, "", written(share if normalize else counts))
    sns.heatmap(
        share,
        annot=words,
        fmt="",
        annot_kws={"fontsize": 8},
        cmap="Blues",
        vmin=0,
        vmax=1,
        square=True,
        cbar=False,
        xticklabels=classes,
        yticklabels=classes,
        linewidths=0.5,
        linecolor="0.92",
        ax=ax,
    )
    for axis, rotation in (("x", 90), ("y", 0)):
        ax.tick_params(axis, length=0, labelsize=9, rotation=rotation)
    ax.set(xlabel="predicted", ylabel="true")


def misclassified(images, true, predicted, classes, n=25, *, title=None):
    """The first `n` images that a net takes for another class, each under its true and its predicted class.

    Args:
        images: (m, height, width, 1) or (m, height, width, 3), as `images` takes them.
        true: class numbers (m,).
        predicted: class numbers (m,), or a net's probabilities (m, k).
        classes: the k names.
        n: how many; fewer when there are not so many.
        title: of the figure: which net, on which data.

    Raises:
        ValueError: shapes that do not fit together, or no image that is misclassified.
    """
    images, true, predicted = map(np.asarray, (images, true, predicted))
    guess = predicted.argmax(-1) if predicted.ndim == 2 else predicted
    if images.ndim != 4 or true.shape != (len(images),) or guess.shape != true.shape:
        raise ValueError(
            f"images {images.shape}, true {true.shape}, predicted {predicted.shape}: "
            "(m, height, width, channels), (m,) and (m,) or (m, k) would be right"
        )
    wrong = np.flatnonzero(true != guess)
    if not len(wrong) or n < 1:
        raise ValueError(f"{len(wrong)} of {len(true)} images are misclassified and n={n}: at least 1 would be right")
    shown = wrong[:n]
    names = [f"{classes[true[i]]}, taken for {classes[guess[i]]}" for i in shown]
    title = f"{title or ''}\n{len(wrong):,} of {len(true):,} misclassified, the first {len(shown)}".strip()
    return pictures(images[shown], names, 5, 1.5, fontsize=8, title=title)


def feature_maps(model, image, layer=None, columns=8, *, title=None):
    """What a convolution makes of one image: each filter's output, brighter where larger, on a scale of its own.

    Args:
        model: a built Keras model with one input.
        image: (height, width, channels), scaled as in training.
        layer: name of a layer whose output is (height, width, filters); None is the first Conv2D.
        columns: maps in a row.
        title: of the figure, in place of the layer's name and shape.

    Raises:
        ValueError: an image of another shape, an unknown layer, a model that has no convolution or is not built.
    """
    import keras  # Here, because importing Keras chooses a back end, and no other figure needs one.

    if not model.built:
        raise ValueError(f"model {model.name!r} is not built: one that begins with keras.Input would be right")
    image, shape = np.asarray(image), tuple(model.input_shape[1:])
    if len(shape) != image.ndim or any(want not in (None, got) for want, got in zip(shape, image.shape, strict=True)):
        raise ValueError(f"image of shape {image.shape}: one image of shape {shape} would be right")
    convolutions = [one.name for one in model.layers if isinstance(one, keras.layers.Conv2D)]
    if layer is None and not convolutions:
        raise ValueError(f"model {model.name!r} has no Conv2D layer; name a layer of {[x.name for x in model.layers]}")
    chosen = model.get_layer(layer or convolutions[0])
    part = keras.Model(model.inputs, chosen.output)
    maps = keras.ops.convert_to_numpy(part([image[None]], training=False))[0]
    if maps.ndim != 3:
        raise ValueError(f"layer {chosen.name!r} gives shape {maps.shape}: (height, width, filters) would be right")
    height, width, filters = maps.shape
    title = title or f"{chosen.name}: {filters} feature maps of {height} x {width}"
    return pictures(np.moveaxis(maps, -1, 0), [""] * filters, columns, 1.1, cmap="viridis", title=title)
