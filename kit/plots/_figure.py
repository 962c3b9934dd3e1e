"""What the figures share: colours, and how a Figure is made."""

import math

import matplotlib.pyplot as plt
import seaborn as sns

COLORS = sns.color_palette("colorblind")


def figure_of(width, height, rows=1, columns=1, **options):
    """A Figure of `width` x `height` inches and its array of Axes (rows, columns)."""
    # Made with pyplot, because a notebook can display Figures only once pyplot has started its back end; closed at
    # once, so that pyplot neither holds it in memory nor displays it a second time when the cell ends.
    figure = plt.figure(figsize=(width, height), layout="constrained")
    plt.close(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def grid(count, columns, side, margin=0.0):
    """A Figure with `count` square Axes of `side` inches in rows of `columns`; places left over stay empty."""
    if columns < 1:
        raise ValueError(f"columns={columns}: 1 or more would be right")
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    # Even one small image leaves room for a heading.
    figure, axes = figure_of(max(side * columns + margin, 4), side * rows + margin, rows, columns)
    for ax in axes.flat[count:]:
        ax.remove()
    return figure, axes.flat[:count]


def origin(data):
    return f"{data.card.title} ({data.origin})"
