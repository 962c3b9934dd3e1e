"""What the figures share: colours, how a Figure is made, bars and pictures."""

import math

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

COLORS = sns.color_palette("colorblind")
LEFT = {"x": 0.01, "ha": "left"}  # a heading that must not run into the legend


def figure_of(width, height, rows=1, columns=1, *, title=None, heading=None, **options):
    """A Figure of `width` x `height` inches, its title set as `heading` says, and its array of Axes (rows, columns)."""
    # Made with pyplot, because a notebook can display Figures only once pyplot has started its back end; closed at
    # once, so that pyplot neither holds it in memory nor displays it a second time when the cell ends.
    figure = plt.figure(figsize=(width, height), layout="constrained")
    plt.close(figure)
    figure.suptitle(title or "", **(heading or {}))
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def grid(count, columns, side, margin=0.0, **titled):
    """A Figure with `count` square Axes of `side` inches in rows of `columns`; places left over stay empty."""
    if columns < 1:
        raise ValueError(f"columns={columns}: 1 or more would be right")
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    # Even one small image leaves room for a heading.
    figure, axes = figure_of(max(side * columns + margin, 4), side * rows + margin, rows, columns, **titled)
    for ax in axes.flat[count:]:
        ax.remove()
    return figure, axes.flat[:count]


def pictures(images, names, columns, side, fontsize=9, cmap="gray", clim=None, **titled):
    """A Figure of images, each under its name and on a scale of its own, unless `clim` says which."""
    figure, axes = grid(len(images), columns, side, **titled)
    for ax, image, name in zip(axes, images, names, strict=True):
        ax.imshow(image, cmap=cmap, clim=clim)
        ax.set_title(name, fontsize=fontsize)
        ax.axis("off")
    return figure


def bars(ax, names, lengths, written):
    """A bar for each name, its length written beside it in the form `written`, in place of an axis."""
    drawn = ax.barh(range(len(names)), lengths, color=COLORS[0])
    ax.bar_label(drawn, fmt=written, padding=3, fontsize=9)
    ax.set(xticks=[], yticks=range(len(names)), yticklabels=names)
    ax.tick_params(axis="y", length=0)
    sns.despine(ax=ax, bottom=True)


def split_bars(data, names, count, room=1.5):
    """Bars `count(split's name, y)`, one for each name, in a panel for each split of the data that has labels."""
    splits = {name: getattr(data, name) for name in ("train", "validation", "test")}
    labels = {name: np.asarray(split.y) for name, split in splits.items() if split and split.y is not None}
    figure, axes = figure_of(
        room + 2.8 * len(labels), 1 + 0.28 * len(names), 1, len(labels), title=origin(data), sharey=True
    )
    for ax, (name, y) in zip(axes[0], labels.items(), strict=True):
        bars(ax, names, count(name, y), "{:,.0f}")
        ax.set_title(f"{name}: {len(y):,} images", fontsize=10)
        ax.set_xlabel("pixels" if y.ndim > 2 else "images")
        ax.margins(x=0.25)
    axes[0, 0].invert_yaxis()
    return figure


def origin(data):
    return f"{data.card.title} ({data.origin})"
