"""A search as data: `run` searches and evaluates the best net."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial

import keras
import numpy as np
import pandas as pd

from .. import studies
from .trials import SearchResult


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
    """A search of a report's: the space, the library that searches it, and what the report gives for the best net."""

    name: str  # the study's name, then the library's
    title: str
    data: Callable  # (source) -> kit.datasets.Dataset
    library: Callable  # `talos`, `keras_tuner`, `optuna`
    build: Callable  # (input_shape, classes, **parameters) -> uncompiled keras.Model
    space: Mapping  # {parameter: list of values}
    trials: int | None = None  # None runs all combinations
    epochs: int = 100
    patience: int = 10
    optimizer: Callable = keras.optimizers.Adam  # called with the learning rate, where the space has one
    validation_split: float = 0.0  # where the data has no validation split
    reported: Mapping = dataclasses.field(default_factory=dict)  # of the best net, on the test split

    def best_study(self, best, epochs):
        """A Study of one row: the net with the parameters `best`, fitted for so many epochs.

        On all training images, those that the search validated on too, as scikit-learn's `GridSearchCV` does it.
        """
        rest = {name: best[name] for name in best if name not in ("batch_size", "learning_rate", "patience")}
        rate = (best["learning_rate"],) if "learning_rate" in best else ()
        experiment = studies.Experiment(
            name="best: " + ", ".join(f"{name} {value}" for name, value in best.items()),
            build=partial(self.build, **rest),
            optimizer=partial(self.optimizer, *rate),
            epochs=epochs,
            batch_size=best.get("batch_size", 32),
            reported=self.reported,
        )
        data = partial(everything, self.data)
        return studies.Study(name=self.name, title=self.title, data=data, experiments=(experiment,))


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
    found = search.library(
        search.build, search.data(source), search.space, trials=search.trials, optimizer=search.optimizer,
        epochs=search.epochs, patience=search.patience, validation_split=search.validation_split,
    )  # fmt: skip
    if found.best is None:
        return found, None
    return found, studies.run(search.best_study(found.best, found.best_epoch), seeds=seeds, source=source)


def save(path, found, results):
    """Write what `run` returned as JSON, for `recall`. Raises ValueError unless it is a whole, full run."""
    if found.best is None:
        raise ValueError("no trial finished, so there is no best net to record")
    trials = found.table.to_dict("records")
    results.save(path, best=found.best, best_epoch=found.best_epoch, trials=trials)


def recall(search, held):
    """(SearchResult, Results) from what `save` wrote and `kit.studies.read` read; the SearchResult has no library."""
    best = {parameter: _hashable(value) for parameter, value in held["best"].items()}
    found = SearchResult(pd.DataFrame(held["trials"]).map(_hashable), best, None, held["best_epoch"])
    study = search.best_study(found.best, found.best_epoch)
    return found, studies.Results(study, tuple(held["classes"]), held["records"])


def _hashable(value):
    return tuple(value) if isinstance(value, list) else value  # JSON has no tuples
