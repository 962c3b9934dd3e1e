"""How a search went: what the trials reached, which hyper-parameters mattered, which values went together.

All take a `kit.search.SearchResult`, whichever library searched, or one that was recorded. Optuna's own figures need
its study, which the others and a record lack, and switch matplotlib's style for everything that is drawn after them.
"""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator

from ._figure import COLORS, LEFT, bars, figure_of

NOT_PARAMETERS = ("trial", "val_loss", "epochs", "seconds", "status")  # nor is the objective


def optimization_history(found, *, title=None):
    """The objective of each trial in the order they were run, and the best of the finished ones so far.

    Trials that were pruned are hollow; those without a figure (diverged, failed) are crosses at the lower edge.

    Args:
        found: a SearchResult.
        title: of the figure: which search, on which data.

    Raises:
        ValueError: a table without trials, or without the columns of a SearchResult.
    """
    table, score, _ = _table(found)
    figure, [[ax]] = figure_of(7, 3.4, title=title, heading=LEFT)
    finished = table.status == "finished"
    pruned, nothing = score.notna() & ~finished, score.isna()
    best = score.where(finished).agg(f"cum{found.direction}").ffill()
    ax.step(table.trial, best, where="post", color=COLORS[1], label="best so far")
    dots = {"marker": "o", "linestyle": "", "color": COLORS[0]}
    ax.plot(table.trial[finished], score[finished], label="finished", **dots)
    if pruned.any():
        ax.plot(table.trial[pruned], score[pruned], label="pruned", **dots, markerfacecolor="none")
    if nothing.any():
        ax.plot(
            table.trial[nothing], np.zeros(nothing.sum()), "x", color=COLORS[3], label="diverged or failed",
            transform=ax.get_xaxis_transform(), clip_on=False,
        )  # fmt: skip
    ax.set(xlabel="trial", ylabel=_said(found))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    sns.despine(ax=ax)
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def hyperparameter_importance(found, *, title=None):
    """How much of the scatter of the objective is each hyper-parameter's, the most important first.

    Of a search with Optuna it is Optuna's own importance (fANOVA, which sums to 1). Else it is the share of the
    variance over the finished trials that lies between the means of a parameter's values (eta squared): with few
    trials a value for each, too high.

    Args and Raises as for `optimization_history`; and ValueError for fewer than two finished trials, or no parameter
    of which more than one value was tried.
    """
    table, score, names = _table(found)
    table, score = table[table.status == "finished"], score[table.status == "finished"]
    varied = [name for name in names if table[name].map(str).nunique() > 1]
    if len(table) < 2 or not varied:
        raise ValueError(
            f"{len(table)} finished trials that differ in {varied or 'nothing'}: at least two trials and one "
            "parameter would be right"
        )
    if type(found.library).__module__.partition(".")[0] == "optuna":
        import optuna

        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        importances = pd.Series(optuna.importance.get_param_importances(found.library, evaluator=evaluator))
        measure = "importance (fANOVA)"
    else:
        means = {name: score.groupby(table[name].map(str)).transform("mean") for name in varied}
        importances = pd.Series({name: mean.var(ddof=0) for name, mean in means.items()}) / (score.var(ddof=0) or 1)
        measure = "share of the variance between its values"
    importances = importances.sort_values()
    figure, [[ax]] = figure_of(6.5, 1 + 0.34 * len(importances), title=title, heading=LEFT)
    bars(ax, importances.index, importances, "{:.2f}")
    ax.set_xlabel(measure)
    ax.margins(x=0.12)
    return figure


def parallel_coordinates(found, *, title=None):
    """A line for each trial through the values of its hyper-parameters to its objective, lighter if better.

    The values of a parameter stand evenly spaced, numbers in their order; lines that share one lie a little apart.

    Args and Raises as for `optimization_history`; and ValueError where no trial has a figure.
    """
    table, score, names = _table(found)
    score = score.dropna().sort_values(ascending=found.direction == "max")  # the best are drawn last
    table = table.loc[score.index]
    if table.empty:
        raise ValueError(f"no trial has a {_said(found)}: at least one would be right")
    figure, [[ax]] = figure_of(2.5 + 1.3 * len(names), 4, title=title, heading=LEFT)
    norm = Normalize(score.min(), score.max() or 1)
    heights = []
    for place, name in enumerate(names):
        ordered = table[name].sort_values(key=lambda v: v if pd.api.types.is_numeric_dtype(v) else v.map(str))
        values = {str(value): value for value in ordered}
        step = 1 / max(len(values) - 1, 1)
        apart = np.linspace(-0.12, 0.12, len(table)) * min(step, 0.5)
        heights.append([list(values).index(str(value)) * step for value in table[name]] + apart)
        ax.axvline(place, color="0.8", lw=1, zorder=0)
        for i, value in enumerate(values.values()):
            ax.annotate(
                f"{value:.3g}" if isinstance(value, float) else str(value), (place, i * step), (4, 0),
                textcoords="offset points", va="center", fontsize=9, zorder=4,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5},
            )  # fmt: skip
    heights.append(np.asarray(norm(score)))
    lines = np.stack([np.broadcast_to(np.arange(len(heights)), (len(table), len(heights))), np.transpose(heights)], -1)
    colors = "viridis" if found.direction == "max" else "viridis_r"
    drawn = ax.add_collection(LineCollection(lines, array=score.to_numpy(), cmap=colors, norm=norm, lw=1.5, alpha=0.8))
    ax.set(xlim=(-0.1, len(names)), ylim=(-0.1, 1.1), yticks=[])
    ax.set_xticks(range(len(names)), names, rotation=20, ha="right")
    ax.tick_params(axis="x", length=0)
    sns.despine(ax=ax, left=True, bottom=True)
    figure.colorbar(drawn, ax=ax, label=_said(found), pad=0)
    return figure


def _table(found):
    """Of a SearchResult the table, the objective's column, and the names of the parameters."""
    table, objective = getattr(found, "table", None), getattr(found, "objective", "val_accuracy")
    missing = {*NOT_PARAMETERS, objective} - set(getattr(table, "columns", ()))
    if missing or table.empty:
        raise ValueError(
            f"found is {type(found).__name__}, its table of {0 if table is None else len(table)} trials lacking "
            f"{', '.join(sorted(missing)) or 'nothing'}: a kit.search.SearchResult with a trial or more would be right"
        )
    return table, table[objective], [name for name in table if name not in (*NOT_PARAMETERS, objective)]


def _said(found):
    """The objective in words: "validation accuracy"."""
    return found.objective.replace("val_", "validation ").replace("_", " ")
