"""The reports' searches as data: `run` searches and evaluates the best net, `recorded` recalls what was found."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial

import keras
import pandas as pd

from .. import models, studies
from ..studies import fashion_compare, fashion_ladder
from ._keras_tuner import keras_tuner
from ._talos import talos
from .trials import SearchResult


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
    """A report's search: the space, the library that searches it, and what the report gives for the best net."""

    name: str  # the study's name, then the library's
    title: str
    data: Callable  # (source) -> kit.datasets.Dataset
    library: Callable  # `talos`, `keras_tuner`
    build: Callable  # (input_shape, classes, **parameters) -> uncompiled keras.Model
    space: Mapping  # {parameter: list of values}
    trials: int | None = None  # None runs all combinations
    epochs: int = 100
    patience: int = 10
    validation_split: float = 0.0  # where the data has no validation split
    reported: Mapping = dataclasses.field(default_factory=dict)  # of the best net, on the test split

    def best_study(self, best):
        """A Study of one row, the net with the parameters `best`, kept at the epoch that the search judged it by."""
        rest = {name: value for name, value in best.items() if name not in ("batch_size", "learning_rate")}
        experiment = studies.Experiment(
            name="best: " + ", ".join(f"{name} {value}" for name, value in best.items()),
            build=partial(self.build, **rest),
            optimizer=partial(keras.optimizers.Adam, best["learning_rate"]),
            epochs=self.epochs,
            batch_size=best.get("batch_size", 32),
            validation_split=self.validation_split,
            callbacks=(
                partial(keras.callbacks.EarlyStopping, "val_loss", patience=self.patience, restore_best_weights=True),
            ),
            reported=self.reported,
        )
        return studies.Study(name=self.name, title=self.title, data=self.data, experiments=(experiment,))


def talos_mlp(input_shape, classes, *, units, hidden_layers, dropout):
    """The ladder's MLP as its search varies it: so many hidden layers of so many units."""
    return models.mlp(input_shape, classes, hidden=(units,) * hidden_layers, dropout=dropout)


def talos_cnn(
    input_shape, classes, *,
    filters_1, kernel_1, strides_1, filters_2, kernel_2, strides_2, dense_units, dropout,
):  # fmt: skip
    """Two convolutions, each with 2x2 pooling, and a dense layer, as the ladder's search varies them."""
    return models.cnn(
        input_shape,
        classes,
        filters=(filters_1, filters_2),
        kernel_size=(kernel_1, kernel_2),
        strides=(strides_1, strides_2),
        dense=(dense_units,),
        dropout=dropout,
    )


_SEARCHES = {
    search.name: search
    for search in (
        Search(
            name="fashion-ladder-mlp-talos",
            title="Fashion-MNIST: MLPs, the whole grid",
            data=fashion_ladder.data,
            library=talos,
            build=talos_mlp,
            space={
                "batch_size": [16, 32, 64],
                "learning_rate": [0.01, 0.001],
                "dropout": [0.1, 0.2],
                "hidden_layers": [1, 2, 3],
                "units": [64, 128, 256],
            },
            reported={"accuracy": 0.8858},
        ),
        Search(
            name="fashion-ladder-cnn-talos",
            title="Fashion-MNIST: CNNs, 26 of the 864 in the grid at random",
            data=fashion_ladder.data,
            library=talos,
            build=talos_cnn,
            space={
                "batch_size": [32, 64],
                "learning_rate": [0.01, 0.001],
                "dropout": [0.2],
                "filters_1": [32, 64, 128],
                "kernel_1": [(3, 3), (5, 5)],
                "strides_1": [1, 2],
                "filters_2": [32, 64, 128],
                "kernel_2": [(3, 3), (5, 5)],
                "strides_2": [2],
                "dense_units": [32, 64, 128],
            },
            trials=26,  # of 864
            patience=5,  # the report's best ran 10 to 13 epochs: it cannot have waited for 10
            reported={"accuracy": 0.9207},
        ),
        Search(
            name="fashion-compare-keras-tuner",
            title="Fashion-MNIST, 10,000 images: the tuned CNN",
            data=fashion_compare.data,
            library=partial(keras_tuner, tuner="random"),
            build=fashion_compare.tuned_cnn,
            space={"learning_rate": [1e-2, 1e-3, 1e-4], "filters": [32, 64], "kernel_size": [(3, 3), (5, 5), (7, 7)]},
            trials=9,  # of 18
            epochs=20,
            patience=5,
            validation_split=0.1,
            reported={"accuracy": 0.8576},
        ),
    )
}


def names():
    """The names of the reports' searches."""
    return tuple(_SEARCHES)


def get(name):
    """The Search of that name; ValueError for an unknown one."""
    if name not in _SEARCHES:
        raise ValueError(f"no search is called {name!r}; there are: {', '.join(_SEARCHES)}")
    return _SEARCHES[name]


def run(name, *, seeds=(0,), source=None):
    """Run a report's search, then fit the best net once a seed and evaluate it on the test split.

    What is finished is recorded at once, as by `kit.studies.run` and the searches; a killed run goes on.

    Returns:
        (SearchResult, Results): the trials, and the best net beside the report's; None if no trial finished.
    """
    search = get(name)
    found = search.library(
        search.build, search.data(source), search.space, trials=search.trials, epochs=search.epochs,
        patience=search.patience, validation_split=search.validation_split,
    )  # fmt: skip
    if found.best is None:
        return found, None
    return found, studies.run(search.best_study(found.best), seeds=seeds, source=source)


def save(path, found, results):
    """Write what `run` returned as JSON, for `recorded`. Raises ValueError unless it is a whole, full run."""
    if found.best is None:
        raise ValueError("no trial finished, so there is no best net to record")
    results.save(path, best=found.best, trials=found.table.to_dict("records"))


def recorded(name):
    """(SearchResult, Results) that `results/` holds for a search: finished, full runs. The SearchResult has no library.

    FileNotFoundError if there are none yet.
    """
    search = get(name)
    held = studies.read_recorded(name, f"kit.search.run({name!r})")
    held["best"] = {parameter: _hashable(value) for parameter, value in held["best"].items()}
    found = SearchResult(pd.DataFrame(held["trials"]).map(_hashable), held["best"], None)
    return found, studies.Results(search.best_study(found.best), tuple(held["classes"]), held["records"])


def _hashable(value):
    return tuple(value) if isinstance(value, list) else value  # JSON has no tuples
