"""How a fit went, and what a report said beside what came out."""

import textwrap
from collections.abc import Mapping

import numpy as np
import seaborn as sns
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ._figure import COLORS, LEFT, figure_of

VERDICTS = ("reproduced", "within scatter", "undecided", "better", "worse", "not comparable")
VERDICT_COLORS = dict(zip(VERDICTS, (COLORS[2], COLORS[8], "0.55", COLORS[0], COLORS[3], COLORS[7])))


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
    figure, axes = figure_of(
        1.5 + 4.2 * len(metrics), max(3.6, 0.25 * len(runs)), 1, len(metrics), title=title, heading=LEFT
    )
    for ax, metric in zip(axes[0], metrics, strict=True):
        for run, color in zip(runs.values(), colors, strict=True):
            for key, style in ((metric, "--"), (f"val_{metric}", "-")):
                values = run.get(key, [])
                ax.plot(
                    range(1, len(values) + 1), values, style, color=color, lw=1.5, markersize=4,
                    marker="o" if len(values) < 4 else None,  # a line needs two points
                )  # fmt: skip
        ax.set(xlabel="epoch", ylabel=metric)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        sns.despine(ax=ax)
    named = [(run, color) for run, color in zip(runs, colors, strict=True) if run is not None]
    handles = [Line2D([], [], color=color, lw=3, label=run) for run, color in named]
    handles.append(Line2D([], [], color="0.3", ls="--", label="training"))
    if any(key.startswith("val_") for key in keys):
        handles.append(Line2D([], [], color="0.3", label="validation"))
    figure.legend(handles=handles, loc="outside right upper", frameon=False)
    return figure


def curve_panels(histories, metric="accuracy", *, columns=4, title=None):
    """One metric by epoch, a panel a run, all on one scale: training dashed, a solid line for each other split.

    Where `curves` would draw more lines than can be told apart.

    Args:
        histories: a dict from the names of runs to histories, as `curves` takes them; beside "loss" and "val_loss" they
            may have those of further splits, "test_loss" for one.
        metric: its name on the training images.
        columns: panels in a row.
        title: of the figure: which data it was.

    Raises:
        ValueError: anything else, or a run without that metric.
    """
    runs = _runs(histories)
    lines = {name: [key for key in run if _of(metric, key, run)] for name, run in runs.items()}
    without = [name for name, keys in lines.items() if not keys]
    if without:
        raise ValueError(
            f"metric={metric!r}: {without[0]!r} has no such history, but {', '.join(runs[without[0]])}; one that all "
            "runs have would be right"
        )
    splits = dict.fromkeys(key for keys in lines.values() for key in keys if key != metric)
    styles = {key: {"color": color, "lw": 1.5} for key, color in zip(splits, COLORS)}
    styles[metric] = {"color": "0.3", "ls": "--", "lw": 1}
    columns = min(columns, len(runs))
    rows = -(-len(runs) // columns)
    figure, axes = figure_of(2.5 * columns + 1, 2.1 * rows + 0.4, rows, columns, title=title, heading=LEFT, sharey=True)
    for ax, (name, run) in zip(axes.flat, runs.items()):
        for key in lines[name]:
            ax.plot(range(1, len(run[key]) + 1), run[key], marker="o" if len(run[key]) < 4 else None, **styles[key])
        ax.set_title(textwrap.fill(name or "", 30), fontsize=9)
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        sns.despine(ax=ax)
    for ax in axes.flat[len(runs) :]:
        ax.remove()
    figure.supxlabel("epoch", fontsize=10)
    figure.supylabel(metric, fontsize=10)
    names = {metric: "training", f"val_{metric}": "validation"}
    handles = [
        Line2D([], [], label=names.get(key, key.removesuffix(f"_{metric}")), **style) for key, style in styles.items()
    ]
    figure.legend(handles=handles, loc="outside right upper", frameon=False)
    return figure


def _of(metric, key, run):
    """Whether a history is the metric's, on some split: neither another metric's whose name ends alike, nor that's."""
    another = key.startswith("val_") or f"val_{key}" in run
    return key in (metric, f"val_{metric}") or (key.endswith(f"_{metric}") and not another)


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


def reported_beside_reproduced(table):
    """A row for each experiment: the report's figure (hollow), the reproduced mean (filled), and its 95% interval.

    The interval is the prediction interval of one more run, as the report's figure is one.

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
    origin = " and ".join(table["origin"].dropna().unique())
    title = f"Reported, and reproduced with the 95% interval of one more run ({origin} data)"
    figure, axes = figure_of(
        8, 1 + 0.26 * sum(heights), len(groups), title=title, heading={"fontsize": 11}, height_ratios=heights
    )
    for ax, (metric, rows) in zip(axes[:, 0], groups, strict=True):
        for place, row in enumerate(rows.itertuples()):
            color = VERDICT_COLORS.get(row.verdict, "0.3")
            if row.verdict != "not comparable":
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
