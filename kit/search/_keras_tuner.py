"""Keras Tuner over a plain space, trained through `fit`."""

import math

import keras

from .. import profile
from .space import load, quiet
from .trials import Trials

TUNERS = {
    "random": "RandomSearch",
    "bayesian": "BayesianOptimization",
    "hyperband": "Hyperband",
    "grid": "GridSearch",
}
PLAIN = ({int}, {float}, {str})  # lists of one of these go into a Choice as they are


def keras_tuner(
    build,
    data,
    space,
    *,
    tuner="random",
    trials=None,
    optimizer=keras.optimizers.Adam,
    loss="sparse_categorical_crossentropy",
    batch_size=32,
    epochs=100,
    patience=10,
    validation_split=0.1,
    seed=0,
    folder=None,
):
    """Search with `keras_tuner`'s RandomSearch, BayesianOptimization, Hyperband or GridSearch, for val_accuracy.

    Args and Raises as for `kit.search.talos`, and beside them:
        tuner: "random", "bayesian", "hyperband" or "grid".
        trials: at most so many. None is as many as the space has combinations; for Hyperband, as many as it asks for.
            All but the grid may end sooner, when they find no combination that they have not tried. A Bayesian search
            may come back to one; it is not trained twice.

    Hyperband gives each trial a number of epochs and trains the better ones again with more; here each starts from
    fresh weights, so that a row is a fit that can be repeated.

    Returns:
        SearchResult; its `library` is the tuner. In the tuner, values that its Choice cannot take (tuples, None, mixed
        types) are their places in the list.
    """
    if tuner not in TUNERS:
        raise ValueError(f"tuner={tuner!r}; it must be one of {', '.join(TUNERS)}")
    search = Trials(
        build, data, space, trials=trials, optimizer=optimizer, loss=loss, batch_size=batch_size, epochs=epochs,
        patience=patience, validation_split=validation_split, seed=seed, folder=folder,
    )  # fmt: skip
    library = load("keras_tuner")
    choices = library.HyperParameters()
    by_place = {name for name, values in space.items() if {type(value) for value in values} not in PLAIN}
    for name, values in space.items():
        if name in by_place:
            choices.Choice(name, list(range(len(values))), ordered=False)
        else:
            choices.Choice(name, values)

    class Searcher(getattr(library, TUNERS[tuner])):
        def run_trial(self, trial, **_):
            values = trial.hyperparameters.values
            parameters = {name: space[name][values[name]] if name in by_place else values[name] for name in space}
            record = search.run(parameters, values.get("tuner/epochs"))
            trial.message = record["status"]
            return {"val_accuracy": math.nan} | record["metrics"]  # a trial without a figure is a failed one

    # the tuner's own warnings, and those of its Gaussian process in a space of few values
    with quiet(r"keras_tuner\b|sklearn\.gaussian_process\b"):
        searcher = Searcher(
            objective=library.Objective("val_accuracy", "max"),
            hyperparameters=choices,
            seed=seed + 1,  # Keras Tuner takes 0 for none
            max_consecutive_failed_trials=None,  # a failure is a row, however many there are
            # The records hold the finished trials. The tuner starts anew, gets them back and so arrives where it was:
            # its own files are several, and a kill between two of them cannot be told from a whole state.
            directory=str(search.folder),
            project_name=f"keras_tuner_{tuner}",
            overwrite=True,
            **({"max_epochs": search.epochs} if tuner == "hyperband" else {"max_trials": search.count}),
        )
        if tuner == "hyperband" and (trials is not None or profile.name() == "quick"):
            searcher.oracle.max_trials = profile.trials(trials or search.count)
        search.bar.total = searcher.oracle.max_trials
        searcher.search(verbose=0)
    return search.result(searcher)
