"""A search as data: `run` searches and evaluates the best net."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import pandas as pd

from .. import studies
from .settings import Settings, taken
from .trials import SearchResult


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
    """A search as data: the space, the library that searches it, and what a report gives for the best net."""

    name: str  # of a report's: the study's name, then the library's
    title: str
    data: Callable  # (source) -> kit.datasets.Dataset
    library: Callable  # `talos`, `keras_tuner`, `optuna`
    build: Callable  # (input_shape, classes, **parameters) -> uncompiled keras.Model
    space: Mapping  # {parameter: list of values}
    settings: Settings = dataclasses.field(default_factory=Settings)
    reported: Mapping = dataclasses.field(default_factory=dict)  # of the best net, by metric

    def best_study(self, best, epochs, data=None):
        """A Study of one row: the net with the parameters `best`, fitted for so many epochs.

        It is fitted on all training images, those that the search validated on too, as scikit-learn's `GridSearchCV`
        does it, and judged on the test split by what the search was for. Where the Dataset `data` has no labels of the
        test images, it is fitted on what the search trained on, and judged by the objective itself.
        """
        own, rate = taken(self.build, best)
        tested = data is None or data.test.y is not None
        objective = self.settings.objective[0]
        experiment = studies.Experiment(
            name="best: " + ", ".join(f"{name} {value}" for name, value in best.items()),
            build=partial(self.build, **own),
            optimizer=partial(self.settings.optimizer, *rate),
            loss=self.settings.loss,
            metrics=tuple(self.settings.metrics),
            epochs=epochs,
            batch_size=best.get("batch_size", self.settings.batch_size),
            validation_split=0.0 if tested or data.validation else self.settings.validation_split,
            precision=self.settings.precision,
            reported=self.reported,
        )
        return studies.Study(
            name=self.name,
            title=self.title,
            data=partial(everything, self.data) if tested else self.data,
            experiments=(experiment,),
            metric=objective.removeprefix("val_") if tested else objective,
        )


def everything(load, source=None):
    """The Dataset that `load(source)` gives, its validation images among the training images."""
    data = load(source)
    if data.validation is None:
        return data
    train = data.train._make(np.concatenate(pair) for pair in zip(data.train, data.validation))
    return dataclasses.replace(data, train=train, validation=None)


def run(search, *, seeds=(0,), source=None):
    """Run a Search, then fit the best net again, once a seed, and evaluate it on the test split.

    What is finished is recorded at once, as by `kit.studies.run` and the searches; a killed run goes on.

    Returns:
        (SearchResult, Results): the trials, and the best net beside the report's; None if no trial finished.
    """
    if not isinstance(search, Search):
        raise ValueError(f"search={search!r}; it must be a Search, such as kit.reports.get({str(search)!r})")
    data = search.data(source)
    found = search.library(search.build, data, search.space, **vars(search.settings))
    if found.best is None:
        return found, None
    study = search.best_study(found.best, found.best_epoch, data)
    return found, studies.run(study, seeds=seeds, source=source)


def save(path, found, results):
    """Write what `run` returned as JSON, for `load`. Raises ValueError unless it is a finished, full run."""
    if found.best is None:
        raise ValueError("no trial finished, so there is no best net to record")
    best = pd.Series(found.best, dtype=object).to_dict()  # NumPy's numbers made Python's own, as in the next line
    trials, objective = found.table.to_dict("records"), (found.objective, found.direction)
    results.save(path, best=best, best_epoch=found.best_epoch, objective=objective, trials=trials)


def load(path, search=None):
    """(SearchResult, Results) from what `save` wrote; the SearchResult has no library, the Results cannot be run.

    search: the Search, for a file of kit 0.1, which does not say what is reported.
    """
    held = studies.read(path)
    best = {parameter: _hashable(value) for parameter, value in held["best"].items()}
    objective = held.get("objective", ("val_accuracy", "max"))
    found = SearchResult(pd.DataFrame(held["trials"]).map(_hashable), best, None, held["best_epoch"], *objective)
    study = None if "rows" in held else search.best_study(best, found.best_epoch)
    return found, studies.Results.load(path, study)


def _hashable(value):
    return tuple(map(_hashable, value)) if isinstance(value, list) else value  # JSON has no tuples
