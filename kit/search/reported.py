"""The reports' searches as data: `run` searches and evaluates the best net, `recorded` recalls what was found."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial

import keras
import numpy as np
import pandas as pd

from .. import models, studies
from ..studies import fashion_compare, fashion_ladder, organ
from ._keras_tuner import keras_tuner
from ._optuna import optuna
from ._talos import talos
from .trials import SearchResult


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
    """A report's search: the space, the library that searches it, and what the report gives for the best net."""

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
    train = (np.concatenate(pair) for pair in zip(data.train, data.validation))
    return dataclasses.replace(data, train=type(data.train)(*train), validation=None)


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


def organ_mlp(input_shape, classes, **penalties):
    """The base net of the study, on pixels as they come."""
    return organ.on_pixels(input_shape, classes, build=models.mlp, hidden=organ.BASE, **penalties)


def organ_cnn(input_shape, classes, *, channels, kernel_size, pool, dense_layers, units):
    """Two convolutions of so many channels, pooled or not, and so many dense layers of so many units."""
    return organ.on_pixels(
        input_shape, classes, build=models.cnn, filters=(channels,) * 2, kernel_size=kernel_size, pool=pool,
        dense=(units,) * dense_layers,
    )  # fmt: skip


def organ_head(input_shape, classes, *, hidden_layers, units):
    """A head on the features of the frozen back bone."""
    return models.mlp(input_shape, classes, hidden=(units,) * hidden_layers)


ORGAN_RATES = [0.001, 0.003, 0.01, 0.03, organ.RATE, 0.2]

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
            title="Fashion-MNIST: CNNs, 60 of the 864 in the grid at random",
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
            trials=60,  # of 864
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
        Search(
            name="organ-mlp-optuna",
            title="OrganAMNIST: the base MLP",
            data=organ.data,
            library=optuna,
            build=organ_mlp,
            optimizer=keras.optimizers.SGD,
            space={"learning_rate": ORGAN_RATES, "patience": [2, 4, 8]},
            trials=12,  # of 18
            epochs=organ.EPOCHS,
            reported={"accuracy": 0.716},
        ),
        Search(
            name="organ-mlp-penalties-optuna",
            title="OrganAMNIST: the base MLP with L1 and L2",
            data=organ.data,
            library=optuna,
            build=organ_mlp,
            optimizer=keras.optimizers.SGD,
            space={
                "learning_rate": ORGAN_RATES,
                "l1": [0.0, 0.00002, 0.00006, organ.L1, 0.0006],
                "l2": [0.0, 0.00015, 0.0005, organ.L2, 0.005],
                "patience": [2, 4, 8],
            },
            trials=30,  # of 450
            epochs=organ.EPOCHS,
            reported={"accuracy": 0.753},
        ),
        Search(
            name="organ-cnn-optuna",
            title="OrganAMNIST: CNNs at 28 pixels",
            data=organ.data,
            library=optuna,
            build=organ_cnn,
            space={
                "channels": [8, 16, 32, 64],
                "kernel_size": [3, 5],
                "pool": [1, 2],
                "dense_layers": [1, 2, 3],
                "units": [50, 100, 200, 286],
            },
            trials=20,  # of 192
            epochs=30,
            patience=5,
            reported={"accuracy": 0.856},
        ),
        Search(
            name="organ-transfer-optuna",
            title="OrganAMNIST: the head on ResNet50",
            data=organ.features,
            library=optuna,
            build=organ_head,
            space={"hidden_layers": [1, 2, 3], "units": [28, 56, 112, 224, 448]},
            trials=10,  # of 15
            epochs=organ.EPOCHS,
            patience=organ.PATIENCE,
            reported={"accuracy": 0.923},
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
    """Run a report's search, then fit the best net again, once a seed, and evaluate it on the test split.

    What is finished is recorded at once, as by `kit.studies.run` and the searches; a killed run goes on.

    Returns:
        (SearchResult, Results): the trials, and the best net beside the report's; None if no trial finished.
    """
    search = get(name)
    found = search.library(
        search.build, search.data(source), search.space, trials=search.trials, optimizer=search.optimizer,
        epochs=search.epochs, patience=search.patience, validation_split=search.validation_split,
    )  # fmt: skip
    if found.best is None:
        return found, None
    return found, studies.run(search.best_study(found.best, found.best_epoch), seeds=seeds, source=source)


def save(path, found, results):
    """Write what `run` returned as JSON, for `recorded`. Raises ValueError unless it is a whole, full run."""
    if found.best is None:
        raise ValueError("no trial finished, so there is no best net to record")
    trials = found.table.to_dict("records")
    results.save(path, best=found.best, best_epoch=found.best_epoch, trials=trials)


def recorded(name):
    """(SearchResult, Results) that `results/` holds for a search: finished, full runs. The SearchResult has no library.

    FileNotFoundError if there are none yet.
    """
    search = get(name)
    held = studies.read_recorded(name, f"kit.search.run({name!r})")
    held["best"] = {parameter: _hashable(value) for parameter, value in held["best"].items()}
    found = SearchResult(pd.DataFrame(held["trials"]).map(_hashable), held["best"], None, held["best_epoch"])
    study = search.best_study(found.best, found.best_epoch)
    return found, studies.Results(study, tuple(held["classes"]), held["records"])


def _hashable(value):
    return tuple(value) if isinstance(value, list) else value  # JSON has no tuples
