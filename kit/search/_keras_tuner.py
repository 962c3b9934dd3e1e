"""Keras Tuner over a plain space, trained through `fit`."""

import math

from .. import profile
from ..training import hooks
from .settings import load, quiet, with_settings
from .trials import Trials

TUNERS = {
    "random": "RandomSearch",
    "bayesian": "BayesianOptimization",
    "hyperband": "Hyperband",
    "grid": "GridSearch",
}


@with_settings
def keras_tuner(build, data, space, *, tuner="random", **settings):
    """Search with `keras_tuner`'s RandomSearch, BayesianOptimization, Hyperband or GridSearch.

    Args and Raises as for `kit.search.talos`; and `tuner`: "random", "bayesian", "hyperband" or "grid".

    With `trials=None` there are as many as the space has combinations; for Hyperband, as many as it asks for. All but
    the grid may end sooner, when they find no combination that they have not tried. A Bayesian search may come back to
    one; it is not trained twice. Hyperband gives each trial a number of epochs and trains the better ones again with
    more; here each starts from fresh weights, so that a row is a fit that can be repeated.

    Returns:
        SearchResult; its `library` is the tuner. In the tuner, values that are not all int, float or str (tuples, None,
        bool, mixed types) are their places in the list. Its `hypermodel.build` gives the compiled net of some
        hyper-parameters, and `get_best_models` fits the nets of the best trials again, as they were: no weights are
        kept.
    """
    if tuner not in TUNERS:
        raise ValueError(f"tuner={tuner!r}; it must be one of {', '.join(TUNERS)}")
    library, search = load("keras_tuner"), Trials(build, data, space, settings)
    judged = {}  # after which epoch, by trial

    def parameters(chosen):
        """What the HyperParameters have chosen; those that have nothing to choose from get the space."""
        return search.values({
            name: chosen.Choice(name, choices, ordered=None if choices is space[name] else False)
            for name, choices in search.choices.items()
        })  # fmt: skip

    def build_net(chosen):
        with hooks.stream(search.seed):
            return search.model(parameters(chosen))

    class Searcher(getattr(library, TUNERS[tuner])):
        def run_trial(self, trial, **_):
            chosen = trial.hyperparameters
            record = search.run(parameters(chosen), chosen.values.get("tuner/epochs"))
            trial.message, judged[trial.trial_id] = record["status"], record["best_epoch"]
            return {search.objective: math.nan} | record["metrics"]  # a trial without a figure is a failed one

        def load_model(self, trial):
            if trial.status != "COMPLETED":
                raise ValueError(f"trial {trial.trial_id} {trial.message}; ask for the nets of finished trials alone")
            found = parameters(trial.hyperparameters)
            with hooks.stream(search.seed):
                model = search.model(found)
                search.train(model, found, judged[trial.trial_id])
            return model

    choices = library.HyperParameters()
    parameters(choices)

    # the tuner's own warnings, and those of its Gaussian process in a space of few values
    with quiet(r"keras_tuner\b|sklearn\.gaussian_process\b"):
        searcher = Searcher(
            objective=library.Objective(search.objective, search.direction),
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
        if tuner == "hyperband" and (search.settings.trials or profile.name() == "quick"):
            searcher.oracle.max_trials = profile.trials(search.settings.trials or search.count)
        search.bar.total = searcher.oracle.max_trials
        searcher.search(verbose=0)
    return search.result(searcher)
