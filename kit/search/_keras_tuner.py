"""Keras Tuner over a plain space, trained through `fit`."""

import math

import keras

from .. import profile
from ..training import hooks
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
        types) are their places in the list. Its `hypermodel.build` gives the compiled net of some hyper-parameters, and
        `get_best_models` fits the nets of the best trials again, as they were: no weights are kept.
    """
    if tuner not in TUNERS:
        raise ValueError(f"tuner={tuner!r}; it must be one of {', '.join(TUNERS)}")
    search = Trials(
        build, data, space, trials=trials, optimizer=optimizer, loss=loss, batch_size=batch_size, epochs=epochs,
        patience=patience, validation_split=validation_split, seed=seed, folder=folder,
    )  # fmt: skip
    library = load("keras_tuner")
    by_place = {name for name, values in space.items() if {type(value) for value in values} not in PLAIN}
    judged = {}  # after which epoch, by trial

    def parameters(chosen):
        """What the HyperParameters have chosen; those that have nothing to choose from get the space."""
        found = {}
        for name, values in space.items():
            if name in by_place:
                found[name] = values[chosen.Choice(name, list(range(len(values))), ordered=False)]
            else:
                found[name] = chosen.Choice(name, values)
        return found

    def build_net(chosen):
        with hooks.stream(search.seed):
            return search._model(parameters(chosen))

    class Searcher(getattr(library, TUNERS[tuner])):
        def run_trial(self, trial, **_):
            chosen = trial.hyperparameters
            record = search.run(parameters(chosen), chosen.values.get("tuner/epochs"))
            trial.message, judged[trial.trial_id] = record["status"], record["best_epoch"]
            return {"val_accuracy": math.nan} | record["metrics"]  # a trial without a figure is a failed one

        def load_model(self, trial):
            if trial.status != "COMPLETED":
                raise ValueError(f"trial {trial.trial_id} {trial.message}; ask for the nets of finished trials alone")
            found = parameters(trial.hyperparameters)
            with hooks.stream(search.seed):
                model = search._model(found)
                search._train(model, found, judged[trial.trial_id], None)
            return model

    choices = library.HyperParameters()
    parameters(choices)

    # the tuner's own warnings, and those of its Gaussian process in a space of few values
    with quiet(r"keras_tuner\b|sklearn\.gaussian_process\b"):
        searcher = Searcher(
            objective=library.Objective("val_accuracy", "max"),
            hyperparameters=choices,
            seed=search.seed + 1,  # Keras Tuner takes 0 for none
            max_consecutive_failed_trials=None,  # a failure is a row, however many there are
            # The records hold the finished trials. The tuner starts anew, gets them back and so arrives where it was:
            # its own files are several, and a kill between two of them cannot be told from a whole state.
            directory=str(search.folder),
            project_name=f"keras_tuner_{tuner}",
            overwrite=True,
            **({"max_epochs": search.epochs} if tuner == "hyperband" else {"max_trials": search.count}),
        )
        # Set here, because a tuner that is given one builds a net at once, to learn the space that it has already.
        searcher.hypermodel = library.HyperModel()
        searcher.hypermodel.build = build_net
        if tuner == "hyperband" and (trials is not None or profile.name() == "quick"):
            searcher.oracle.max_trials = profile.trials(int(trials or search.count))
        search.bar.total = searcher.oracle.max_trials
        searcher.search(verbose=0)
    return search.result(searcher)
