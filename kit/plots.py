"""The course's figures: what the data are, how a fit went, where a net errs, what a report said beside what came out.

Every function returns its Figure and shows nothing. A notebook displays the Figure that a cell ends with, once;
`figure.savefig("name.png")` writes it. No style is set: yours, if you set one, is used.
"""

import math
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import confusion_matrix as count_pairs

COLORS = sns.color_palette("colorblind")
VERDICT_COLORS = {"reproduced": COLORS[2], "better": COLORS[0], "worse": COLORS[3], "not comparable": COLORS[7]}


def _figure(width, height, rows=1, columns=1, **options):
    """A Figure of `width` x `height` inches and its array of Axes (rows, columns)."""
    # Made with pyplot, because a notebook can display Figures only once pyplot has started its back end; closed at
    # once, so that pyplot neither holds it in memory nor displays it a second time when the cell ends.
    figure = plt.figure(figsize=(width, height), layout="constrained")
    plt.close(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def _grid(count, columns, side, margin=0.0):
    """A Figure with `count` square Axes of `side` inches in rows of `columns`; places left over stay empty."""
    if columns < 1:
        raise ValueError(f"columns={columns}: 1 or more would be right")
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    # Even one small image leaves room for a heading.
    figure, axes = _figure(max(side * columns + margin, 4), side * rows + margin, rows, columns)
    for ax in axes.flat[count:]:
        ax.remove()
    return figure, axes.flat[:count]


def _origin(data):
    return f"{data.card.title} ({data.origin})"


def class_distribution(data):
    """How many images each class has, one panel for each of train, validation and test.

    Args:
        data: a `kit.datasets.Dataset`, its labels y class numbers (n,); or 0 and 1 for each label (n, labels), where
            an image counts once for each label it has; or masks (n, height, width, ...), counted in pixels.

    Raises:
        ValueError: a label without a class name.
    """
    splits = {name: getattr(data, name) for name in ("train", "validation", "test") if getattr(data, name) is not None}
    names = list(data.classes)
    figure, axes = _figure(1.5 + 2.8 * len(splits), 1 + 0.28 * len(names), 1, len(splits), sharey=True)
    figure.suptitle(_origin(data))
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
    figure, axes = _grid(len(x), math.ceil(math.sqrt(len(x))), 1.4)
    figure.suptitle(f"{_origin(data)}\nfirst {len(x)} training images, pixels {low:.3g} to {high:.3g}", fontsize=11)
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


def _runs(histories):
    """{name: {metric: values}} of one history or of several; the name of a single one is None."""

    def values(history):
        return getattr(history, "history", history)

    one = values(histories)
    several = isinstance(one, Mapping) and one and all(isinstance(values(run), Mapping) for run in one.values())
    runs = {str(name): values(run) for name, run in one.items()} if several else {None: one}
    for name, run in runs.items():
        if not isinstance(run, Mapping) or not run or any(np.ndim(v) != 1 or not len(v) for v in run.values()):
            which = "" if name is None else f" of {name!r}"
            raise ValueError(
                f"history{which} is {str(run)[:60]}: a Keras History, or a dict of a list for each metric "
                "with a value for each epoch, would be right"
            )
    return runs


def curves(histories, *, title=None):
    """Loss and every other metric by epoch: training dashed, validation solid, one colour for each run.

    Args:
        histories: a Keras History, or a dict like its `.history`, {"loss": [...], "val_loss": [...]}; or a dict from
            the names of several runs to such. They may differ in length and in metrics, and may lack validation.
        title: of the figure: which data it was.

    Raises:
        ValueError: anything else, or a history without epochs.
    """
    runs = _runs(histories)
    keys = dict.fromkeys(key for run in runs.values() for key in run if key not in ("learning_rate", "lr"))
    metrics = sorted(dict.fromkeys(key.removeprefix("val_") for key in keys), key="loss".__ne__)
    colors = COLORS[: len(runs)] if len(runs) <= len(COLORS) else sns.color_palette("viridis", len(runs))
    figure, axes = _figure(1.5 + 4.2 * len(metrics), max(3.6, 0.25 * len(runs)), 1, len(metrics))
    for ax, metric in zip(axes[0], metrics, strict=True):
        for run, color in zip(runs.values(), colors, strict=True):
            for key, style in ((metric, "--"), (f"val_{metric}", "-")):
                values = run.get(key, [])
                # A line needs two points: the epochs of a very short run are marked.
                marker = "o" if len(values) < 4 else None
                ax.plot(range(1, len(values) + 1), values, style, color=color, marker=marker, markersize=4, lw=1.5)
        ax.set(xlabel="epoch", ylabel=metric)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        sns.despine(ax=ax)
    handles = []
    if None not in runs:
        handles += [Line2D([], [], color=color, lw=3, label=run) for run, color in zip(runs, colors, strict=True)]
    handles.append(Line2D([], [], color="0.3", ls="--", label="training"))
    if any(key.startswith("val_") for key in keys):
        handles.append(Line2D([], [], color="0.3", label="validation"))
    figure.legend(handles=handles, loc="outside right upper", frameon=False)
    figure.suptitle(title or "", x=0.01, ha="left")  # a long one must not run into the legend
    return figure


def _matrix(counts, classes, name="the matrix"):
    """Square counts (true class, predicted class) of a matrix, or of a tuple (y_true, y_pred)."""
    size = len(classes)
    if isinstance(counts, tuple):
        if len(counts) != 2 or np.shape(counts[0]) != np.shape(counts[1]) or np.ndim(counts[0]) != 1:
            raise ValueError(
                f"{name} is a tuple of shapes {[np.shape(part) for part in counts]}: "
                "(y_true, y_pred) of class numbers, both of shape (n,), would be right"
            )
        labels = np.concatenate(counts)
        strange = labels[~np.isin(labels, np.arange(size))]
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
    ax.tick_params(length=0, labelsize=9)
    ax.tick_params(axis="x", rotation=90)
    ax.tick_params(axis="y", rotation=0)
    ax.set(xlabel="predicted", ylabel="true")


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
        figure, [[ax]] = _figure(side, side)
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
    if not isinstance(matrices, Mapping) or not matrices:
        raise ValueError(f"matrices is {str(matrices)[:60]}: a dict such as {{'small 64': matrix}} would be right")
    counts = {name: _matrix(matrix, classes, repr(name)) for name, matrix in matrices.items()}
    figure, axes = _grid(len(counts), columns, 0.3 + 0.34 * len(classes), margin=1.2)
    columns = min(columns, len(counts))
    for i, (ax, (name, matrix)) in enumerate(zip(axes, counts.items(), strict=True)):
        _heat(ax, matrix, classes, normalize)
        ax.set_title(name, fontsize=10)
        if i % columns:
            ax.set(ylabel="", yticks=[])
        if i + columns < len(counts):
            ax.set(xlabel="", xticks=[])
    figure.suptitle(title or "")
    return figure


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
    figure, axes = _grid(filters, columns, 1.1)
    figure.suptitle(title or f"{chosen.name}: {filters} feature maps of {height} x {width}")
    for i, ax in enumerate(axes):
        ax.imshow(maps[..., i], cmap="viridis")
        ax.axis("off")
    return figure


def reported_beside_reproduced(table):
    """A row for each experiment: the report's figure (hollow) and the reproduced mean with its 95% interval (filled).

    Args:
        table: a DataFrame indexed by experiment name, as `kit.studies.Results.table()` gives it, with the columns
            metric (a panel each), reported, reproduced, low, high, verdict and origin. What is missing is NaN.

    Raises:
        ValueError: a column is missing, or there are no rows.
    """
    figures = ["reported", "reproduced", "low", "high"]
    missing = {"metric", *figures, "verdict", "origin"} - set(table.columns)
    if missing or table.empty:
        raise ValueError(
            f"table has {len(table)} rows and lacks the columns {sorted(missing)}: at least one row and "
            "metric, reported, reproduced, low, high, verdict, origin would be right"
        )
    groups = list(table.astype(dict.fromkeys(figures, float)).groupby("metric", sort=False))
    heights = [len(rows) + 2 for _, rows in groups]
    figure, axes = _figure(8, 1 + 0.26 * sum(heights), len(groups), 1, height_ratios=heights)
    origins = " and ".join(table["origin"].dropna().unique())
    figure.suptitle(f"Reported, and reproduced with 95% interval ({origins} data)", fontsize=11)
    for ax, (metric, rows) in zip(axes[:, 0], groups, strict=True):
        for place, row in enumerate(rows.itertuples()):
            color = VERDICT_COLORS.get(row.verdict, "0.3")
            ax.plot([row.reported, row.reproduced], [place, place], color="0.85", lw=1, zorder=1)
            ax.plot([row.low, row.high], [place, place], color=color, lw=2.5, solid_capstyle="butt", zorder=2)
            ax.plot(row.reproduced, place, "o", color=color, markersize=6, zorder=3)
            ax.plot(row.reported, place, "o", color="0.2", markerfacecolor="none", markersize=8, zorder=4)
            if np.isnan(row.reproduced) and not np.isnan(row.reported):
                ax.annotate(
                    row.verdict, (row.reported, place), (8, 0), textcoords="offset points", va="center", fontsize=9
                )
        ax.set(yticks=range(len(rows)), yticklabels=rows.index, ylim=(len(rows) - 0.3, -0.7), xlabel=metric)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="y", color="0.93")
        ax.set_axisbelow(True)
        sns.despine(ax=ax, left=True)
    handles = [Line2D([], [], ls="", marker="o", color="0.2", markerfacecolor="none", markersize=8, label="reported")]
    handles += [
        Line2D([], [], marker="o", color=VERDICT_COLORS[verdict], lw=2.5, label=verdict)
        for verdict in VERDICT_COLORS
        if verdict in set(table["verdict"])
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure
