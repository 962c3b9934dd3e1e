"""Optuna over a plain space, trained through `fit`."""

import warnings

import keras
import numpy as np

from .. import files
from .space import load, quiet
from .trials import Trials

STORED = (type(None), bool, int, float, str)  # what Optuna can keep in a database
TRIES = 10  # to be given an untried combination, before one is drawn


def optuna(
    build,
    data,
    space,
    *,
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
    """Search with Optuna's tree-structured Parzen estimator (TPE), for val_accuracy; bad trials are pruned.

    The first ten trials are drawn at random, the others from where the better ones were. No combination is tried twice.
    Once five trials are finished, a trial is pruned after any epoch (but those of the first tenth of `epochs`) in which
    its best val_accuracy so far lies below the median of theirs in that epoch.

    The study is kept in `optuna.db`, an SQLite file in `folder`, under a name that holds a hash of all that its trials
    depend on. A search that is run again, also after a kill, goes on where it stopped, as if nothing had happened;
    with more `trials` it is carried further. A trial that failed is run again. One search at a time may use a study.
    Trials that others add to it, by Optuna's own `study.optimize` say, are left alone and change nothing in the search.

    Args and Raises as for `kit.search.talos`; `trials` is as for `kit.search.keras_tuner`.

    Returns:
        SearchResult; its `library` is the `optuna.Study`, for Optuna's own plots and importances. In the study, the
        values of a parameter that a database cannot keep apart (tuples, 1 and True) are their places in the list.
    """
    search = Trials(
        build, data, space, trials=trials, optimizer=optimizer, loss=loss, batch_size=batch_size, epochs=epochs,
        patience=patience, validation_split=validation_split, seed=seed, folder=folder,
    )  # fmt: skip
    library = load("optuna")
    by_place = {
        name
        for name, values in space.items()
        if not all(isinstance(value, STORED) for value in values) or len(set(values)) < len(values)
    }
    choices = {name: list(range(len(values))) if name in by_place else values for name, values in space.items()}
    distributions = {name: library.distributions.CategoricalDistribution(kept) for name, kept in choices.items()}
    states = library.trial.TrialState
    tried, told = set(), []  # combinations, and Optuna's own account of their trials

    class Sampler(library.samplers.TPESampler):
        """TPE, seeded anew for each trial by its number, so that a search that is taken up again draws the same."""

        def __init__(self):
            numbers = np.random.SeedSequence([search.seed, len(search.rows)]).generate_state(2)
            super().__init__(seed=int(numbers[0]), multivariate=True, constant_liar=False)
            self.random = np.random.default_rng(int(numbers[1]))

        def infer_relative_search_space(self, study, trial):
            return {name: kept for name, kept in distributions.items() if not kept.single()}

        def sample_relative(self, study, trial, search_space):
            for _ in range(TRIES):
                found = super().sample_relative(ours, trial, search_space)
                if not found:  # the first trials
                    break
                if _key(found, choices) not in tried:
                    return found
            while True:
                found = {name: choices[name][self.random.integers(len(choices[name]))] for name in search_space}
                if _key(found, choices) not in tried:
                    return found

    def values(trial):
        return {name: space[name][value] if name in by_place else value for name, value in trial.params.items()}

    verbosity = library.logging.get_verbosity()
    library.logging.set_verbosity(library.logging.CRITICAL)
    try:
        with quiet(r"optuna\b"):
            warnings.simplefilter("ignore", library.exceptions.ExperimentalWarning)
            study = _study(library, search)
            for old in study.get_trials():
                if old.state == states.RUNNING:  # when the search was killed
                    study.tell(old.number, state=states.FAIL)
                elif "record" not in old.user_attrs or len(search.rows) == search.count:
                    continue  # not of this search, or more than it asks for now
                elif old.state in (states.COMPLETE, states.PRUNED):
                    tried.add(_key(old.params, choices))
                    search.add(values(old), old.user_attrs["record"])
                    told.append(old)
            while len(search.rows) < search.count:
                # What the sampler and the pruner learn from: the study without the trials of others.
                ours = library.create_study(direction="maximize", pruner=study.pruner)
                ours.add_trials(told)
                study.sampler = Sampler()
                trial = study.ask(distributions)
                tried.add(_key(trial.params, choices))
                pruner = _Pruner(trial, ours)
                record = search.run(values(trial), pruner=pruner)
                if not pruner.reported:  # the record of an earlier search
                    for epoch, score in enumerate(record["history"].get("val_accuracy", ())):
                        trial.report(score, epoch)
                kept = ("status", "metrics", "epochs", "seconds", "best_epoch")
                trial.set_user_attr("record", {name: record[name] for name in kept if name in record})
                if record["status"] == "finished":
                    told.append(study.tell(trial, record["metrics"]["val_accuracy"]))
                else:  # TPE learns from what was pruned or diverged, not from an error
                    failed = record["status"].startswith("failed")
                    told.append(study.tell(trial, state=states.FAIL if failed else states.PRUNED))
            # The one above would look for an untried combination for ever, where others go on and none is left.
            study.sampler = library.samplers.TPESampler(seed=search.seed)
    finally:
        library.logging.set_verbosity(verbosity)
    return search.result(study)


class _Pruner(keras.callbacks.Callback):
    """Reports each epoch's val_accuracy to Optuna, and stops the trial where the pruner of the study `ours` says so."""

    def __init__(self, trial, ours):
        super().__init__()
        self.trial, self.ours, self.pruned, self.reported = trial, ours, False, False

    def on_epoch_end(self, epoch, logs):
        self.trial.report(logs["val_accuracy"], epoch)
        self.reported = True
        reported = self.trial.study.get_trials(deepcopy=False)[self.trial.number]
        if self.ours.pruner.prune(self.ours, reported):
            self.pruned = self.model.stop_training = True


def _key(parameters, choices):
    """A combination, as something that a set can hold; a parameter with one value may be missing."""
    return tuple(parameters.get(name, kept[0]) for name, kept in choices.items())


def _study(library, search):
    """The study of this search in the folder's database; a damaged database is set aside with a warning."""
    path = search.folder / "optuna.db"
    settings = {
        "study_name": search.name(),
        "direction": "maximize",
        "pruner": library.pruners.MedianPruner(n_warmup_steps=search.epochs // 10),
        "load_if_exists": True,
    }
    import sqlalchemy

    try:
        return library.create_study(storage=f"sqlite:///{path.as_posix()}", **settings)
    except sqlalchemy.exc.DatabaseError as error:
        files.set_aside(path, error.orig, "the search starts anew")
        return library.create_study(storage=f"sqlite:///{path.as_posix()}", **settings)
