"""Optuna over a plain space, trained through `fit`."""

import itertools
import uuid
import warnings

import keras
import numpy as np

from .. import files
from .settings import load, quiet, with_settings
from .trials import Trials

TRIES = 10  # to be given an untried combination by TPE, before one is drawn


@with_settings
def optuna(build, data, space, **settings):
    """Search with Optuna's tree-structured Parzen estimator (TPE); bad trials are pruned.

    The first ten trials are drawn at random, the others from where the better ones were. No combination is tried twice.
    Once five trials are finished, a trial is pruned after any epoch (but those of the first tenth of `epochs`) in which
    its best objective so far is worse than the median of theirs in that epoch.

    The study is kept in `optuna.db`, an SQLite file in `folder`, under a name that holds a hash of all that its trials
    depend on. A search that is run again, also after a kill, goes on where it stopped, as if nothing had happened;
    with more `trials` it is carried further. A trial that failed is run again. One search at a time may use a study.
    Trials that others add to it, by Optuna's own `study.optimize` say, are left alone and change nothing in the search.

    Args and Raises as for `kit.search.talos`; `trials` is as for `kit.search.keras_tuner`.

    Returns:
        SearchResult; its `library` is the `optuna.Study`, for Optuna's own plots and importances. In the study,
        values that are not all int, float or str (tuples, None, bool, mixed types) are their places in the list.
    """
    library, search = load("optuna"), Trials(build, data, space, settings)
    distributions = {name: library.distributions.CategoricalDistribution(c) for name, c in search.choices.items()}
    states = library.trial.TrialState

    def ask(done):
        """A trial of a combination that none of the trials `done` has, in a study of these alone.

        The samplers are seeded by its number, so that a search that is taken up again draws the same.
        """
        first, second = map(int, np.random.SeedSequence([search.seed, len(done)]).generate_state(2))
        tpe = library.samplers.TPESampler(seed=first, multivariate=True)
        ours = library.create_study(direction=study.direction, pruner=study.pruner)
        ours.add_trials(done)
        for sampler in itertools.chain([tpe] * TRIES, itertools.repeat(library.samplers.RandomSampler(second))):
            ours.sampler = sampler
            trial = ours.ask(distributions)
            if trial.params not in [old.params for old in done]:
                return trial

    verbosity = library.logging.get_verbosity()
    library.logging.set_verbosity(library.logging.CRITICAL)
    try:
        with quiet(r"optuna\b"):
            warnings.simplefilter("ignore", library.exceptions.ExperimentalWarning)
            study = _study(library, search)
            done = [old for old in study.get_trials() if "record" in old.user_attrs and old.state != states.FAIL]
            del done[search.count :]
            for old in done:
                search.add(search.values(old.params), old.user_attrs["record"])
            while len(done) < search.count:
                trial = ask(done)
                pruner = _Pruner(trial, search.objective)
                record = search.run(search.values(trial.params), pruner=pruner)
                if pruner.model is None:  # the record of an earlier search
                    for epoch, score in enumerate(record["history"].get(search.objective, ())):
                        trial.report(score, epoch)
                trial.set_user_attr("record", record | {"history": {}})
                # TPE learns from what was pruned or diverged, not from an error.
                state = {"finished": states.COMPLETE, "failed:": states.FAIL}.get(record["status"].split()[0])
                score = record["metrics"][search.objective] if state == states.COMPLETE else None
                done.append(trial.study.tell(trial, score, state or states.PRUNED))
                study.add_trial(done[-1])
    finally:
        library.logging.set_verbosity(verbosity)
    return search.result(study)


class _Pruner(keras.callbacks.Callback):
    """Reports each epoch's objective to Optuna, and stops the trial where Optuna says so."""

    def __init__(self, trial, objective):
        super().__init__()
        self.trial, self.objective, self.pruned = trial, objective, False

    def on_epoch_end(self, epoch, logs):
        self.trial.report(logs[self.objective], epoch)
        if self.trial.should_prune():
            self.pruned = self.model.stop_training = True


def _study(library, search):
    """The study of this search in the folder's database; a damaged database is set aside with a warning."""
    import sqlalchemy

    path, fit = search.folder / "optuna.db", search.fit(search.space, search.epochs)
    settings = {
        "storage": f"sqlite:///{path.as_posix()}",
        "study_name": f"{fit.experiment}-{fit.description or uuid.uuid4()}",
        "direction": f"{search.direction}imize",
        "sampler": library.samplers.TPESampler(seed=search.seed),  # of those who carry it on
        "pruner": library.pruners.MedianPruner(n_warmup_steps=search.epochs // 10),
        "load_if_exists": True,
    }
    try:
        return library.create_study(**settings)
    except sqlalchemy.exc.DatabaseError as error:
        files.set_aside(path, error.orig, "the search starts anew")
        return library.create_study(**settings)
