"""The figures of a search: what they draw, on tables small enough to check by hand, and with Optuna's own study."""

from dataclasses import replace
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from kit import plots
from kit.search import SearchResult

NAN = np.nan


def found(library=None, **columns):
    """Six trials: four finished, one pruned, one that diverged."""
    table = {
        "trial": range(1, 7),
        "rate": [0.1, 0.01, 0.1, 0.01, 0.1, 10.0],
        "kernel": [(3, 3), (3, 3), (5, 5), (5, 5), (3, 3), (3, 3)],
        "val_accuracy": [0.5, 0.6, 0.7, 0.8, 0.4, NAN],
        "val_loss": [1.0] * 5 + [NAN],
        "epochs": 3,
        "seconds": 1.0,
        "status": ["finished"] * 4 + ["pruned in epoch 1", "diverged in epoch 2"],
    }
    return SearchResult(pd.DataFrame(table | columns), {}, library)


def points(line):
    return list(zip(line.get_xdata(), line.get_ydata()))


def test_the_history_keeps_the_best_of_the_finished():
    table = found(val_accuracy=[0.5, 0.4, 0.7, 0.6, 0.9, NAN])
    figure = plots.optimization_history(table, title="Organs (synthetic)")
    [ax] = figure.axes
    best, finished, pruned, nothing = ax.lines
    assert list(best.get_ydata()) == [0.5, 0.5, 0.7, 0.7, 0.7, 0.7]  # a pruned trial is never the best
    assert points(finished) == [(1, 0.5), (2, 0.4), (3, 0.7), (4, 0.6)]
    assert points(pruned) == [(5, 0.9)] and pruned.get_markerfacecolor() == "none"
    assert list(nothing.get_xdata()) == [6] and figure.get_suptitle() == "Organs (synthetic)"
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert said == ["best so far", "finished", "pruned", "diverged or failed"]
    assert len(plots.optimization_history(SearchResult(table.table.head(3), {}, None)).axes[0].lines) == 2


def test_another_objective_and_less_is_better():
    lower = replace(found(val_loss=[0.5, 0.4, 0.7, 0.3, 0.2, NAN]), objective="val_loss", direction="min")
    ax = plots.optimization_history(lower).axes[0]
    assert list(ax.lines[0].get_ydata()) == [0.5, 0.4, 0.4, 0.3, 0.3, 0.3] and ax.get_ylabel() == "validation loss"
    [lines] = plots.parallel_coordinates(lower).axes[0].collections
    assert list(lines.get_array()) == [0.7, 0.5, 0.4, 0.3, 0.2] and lines.get_cmap().name == "viridis_r"
    f1 = found().table.rename(columns={"val_accuracy": "val_micro_f1"})
    f1 = SearchResult(f1, {}, None, objective="val_micro_f1")
    assert bars(plots.hyperparameter_importance(f1))["kernel"] == pytest.approx(0.1**2 / 0.0125)
    figure = plots.parallel_coordinates(f1)
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["rate", "kernel"]
    assert figure.axes[1].get_ylabel() == "validation micro f1"
    with pytest.raises(ValueError, match="SearchResult, its table of 6 trials lacking val_dice"):
        plots.optimization_history(replace(f1, objective="val_dice"))


def bars(figure):
    ax = figure.axes[0]
    return dict(zip([tick.get_text() for tick in ax.get_yticklabels()], [bar.get_width() for bar in ax.patches]))


def test_the_importance_is_the_variance_between_the_values():
    """The finished: 0.5, 0.6, 0.7, 0.8, of variance 0.0125. Rates have the means 0.6 and 0.7, kernels 0.55 and 0.75."""
    figure = plots.hyperparameter_importance(found())
    shares = bars(figure)
    assert list(shares) == ["rate", "kernel"]  # the most important on top
    assert shares["rate"] == pytest.approx(0.05**2 / 0.0125) and shares["kernel"] == pytest.approx(0.1**2 / 0.0125)
    assert figure.axes[0].get_xlabel() == "share of the variance between its values"


def test_a_parameter_that_does_not_vary_has_no_importance_and_equal_trials_give_none():
    assert list(bars(plots.hyperparameter_importance(found(rate=0.1)))) == ["kernel"]
    assert set(bars(plots.hyperparameter_importance(found(val_accuracy=0.5))).values()) == {0}
    mixed = found(kernel=[None, 2, None, 2, 2, 2], rate=[True, 1, True, 1, 1, 1])
    assert bars(plots.hyperparameter_importance(mixed))["kernel"] == pytest.approx(0.05**2 / 0.0125)


def test_the_importance_of_an_optuna_search_is_optunas_own():
    optuna = pytest.importorskip("optuna")
    space = {
        "rate": optuna.distributions.CategoricalDistribution([0.01, 0.1]),
        "kernel": optuna.distributions.CategoricalDistribution([0, 1]),
    }
    study, rows = optuna.create_study(direction="maximize"), []
    for rate in (0.01, 0.1):
        for kernel in (0, 1):
            value = 10 * rate + 0.01 * kernel  # the rate is nearly all
            trial = optuna.trial.create_trial(params={"rate": rate, "kernel": kernel}, distributions=space, value=value)
            study.add_trial(trial)
            rows.append((rate, kernel, value))
    table = found().table.head(4).drop(columns=["rate", "kernel", "val_accuracy"])
    table[["rate", "kernel", "val_accuracy"]] = rows
    figure = plots.hyperparameter_importance(SearchResult(table, {}, study))
    shares = bars(figure)
    assert list(shares) == ["kernel", "rate"] and shares["rate"] > 0.8
    assert sum(shares.values()) == pytest.approx(1) and figure.axes[0].get_xlabel() == "importance (fANOVA)"
    again = bars(plots.hyperparameter_importance(SearchResult(table, {}, study)))
    assert again == shares  # its trees are grown from a seed


def test_parallel_coordinates_pass_through_the_values():
    figure = plots.parallel_coordinates(found())
    ax = figure.axes[0]
    [lines] = ax.collections
    paths = [path.vertices for path in lines.get_paths()]
    assert len(paths) == 5  # the one without a figure is left out
    assert list(lines.get_array()) == [0.4, 0.5, 0.6, 0.7, 0.8]
    rate, kernel, score = np.transpose([path[:, 1] for path in paths])
    np.testing.assert_allclose(rate, [1, 1, 0, 1, 0], atol=0.07)  # 0.01 below, 0.1 above
    np.testing.assert_allclose(kernel, [0, 0, 0, 1, 1], atol=0.07)
    np.testing.assert_allclose(score, [0, 0.25, 0.5, 0.75, 1])
    assert len(set(rate)) == 5  # lines of one value lie apart
    assert [text.get_text() for text in ax.texts] == ["0.01", "0.1", "(3, 3)", "(5, 5)"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["rate", "kernel"]
    units = plots.parallel_coordinates(found(rate=[128, 64, 64, 128, 64, 64]))
    assert [text.get_text() for text in units.axes[0].texts][:2] == ["64", "128"]  # numbers in their order


def test_a_single_trial_and_mixed_values_are_drawn():
    one = SearchResult(found().table.head(1), {}, None)
    plots.parallel_coordinates(one).canvas.draw()
    plots.optimization_history(one).canvas.draw()
    mixed = plots.parallel_coordinates(found(kernel=[None, "b", "a", 3, True, None]))
    assert [text.get_text() for text in mixed.axes[0].texts][2:] == ["3", "None", "True", "a", "b"]
    mixed.canvas.draw()
    assert plt.get_fignums() == []


def test_class_recall_is_the_diagonal_over_its_row():
    matrices = {"MLP": [[1, 1, 0], [0, 2, 0], [1, 0, 3]], "CNN": [[2, 0, 0], [0, 2, 0], [0, 0, 4]]}
    figure = plots.class_recall(matrices, ("liver", "lung", "spleen"), "spleen", title="Organs (synthetic)")
    assert bars(figure) == {"MLP": 0.75, "CNN": 1.0}
    assert figure.axes[0].get_xlabel() == "recall of spleen" and figure.axes[0].yaxis_inverted()


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda: plots.optimization_history(SimpleNamespace(table=None)), "SimpleNamespace, its table of 0 trials"),
        (lambda: plots.optimization_history(SearchResult(found().table.head(0), {}, None)), "table of 0 trials"),
        (lambda: plots.parallel_coordinates(found().table), "DataFrame, .*lacking epochs"),
        (lambda: plots.parallel_coordinates(found(val_accuracy=NAN)), "no trial has a validation accuracy"),
        (lambda: plots.hyperparameter_importance(found(status="failed")), "0 finished trials"),
        (lambda: plots.hyperparameter_importance(found(rate=1, kernel=1)), "4 finished trials that differ in nothing"),
        (lambda: plots.class_recall({"a": np.eye(2)}, ("x", "y"), "z"), "name='z': one of x, y would be right"),
        (lambda: plots.class_recall({"a": [[0, 0], [1, 1]]}, ("x", "y"), "x"), "'a' has no image of 'x'"),
        (lambda: plots.class_recall({}, ("x", "y"), "x"), "matrices is {}"),
    ],
)
def test_bad_input_is_an_error_in_one_line(draw, message):
    with pytest.raises(ValueError, match=message) as error:
        draw()
    assert "\n" not in str(error.value)
