"""What the searches share: a trial trained through `fit` and recorded at once, and the table of all."""

import contextlib
import dataclasses
import itertools
import math
import time
import traceback
from pathlib import Path

import keras
import pandas as pd

from .. import files, profile, progress, training
from ..studies import describe, ledger, nets
from ..training import hooks
from .settings import Settings, check, taken


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """What a search found.

    table: a row a trial, in the order they were run: trial (from 1), the parameters, the objective and val_loss (both
        of the epoch with the lowest val_loss, or of the last one without early stopping), epochs (all that were run),
        seconds, status ("finished", "pruned in epoch 2", "diverged in epoch 2", "failed: ...").
    best: the parameters of the finished trial with the best objective, as a dict; None if no trial finished. Of several
        as good as each other it is the one with the lowest val_loss.
    library: the library's own object, a `talos.Scan`, a `keras_tuner` tuner or an `optuna.Study`.
    best_epoch: the number of epochs after which that trial was judged.
    objective: the name of the metric that was searched for, a column of the table; `direction` says which is better.
    failures: the tracebacks of the trials that failed, by their numbers.
    """

    table: pd.DataFrame
    best: dict | None
    library: object
    best_epoch: int | None = None
    objective: str = "val_accuracy"
    direction: str = "max"
    failures: dict = dataclasses.field(default_factory=dict)

    def best_first(self):
        """The table from the best finished trial to the worst, then those that were not finished."""
        return (
            self.table.sort_values("val_loss")
            .sort_values(self.objective, ascending=self.direction == "min", kind="stable")
            .sort_values("status", key=lambda status: status != "finished", kind="stable")
        )


class Trials:
    """The trials of one search. `run` trains one, or takes it from its record; `result` makes the table.

    `choices` is what a library chooses from: the values of each parameter, or their places in the list where they are
    of no one type that it keeps as it is; `values` turns what it has chosen into parameters.
    """

    def __init__(self, build, data, space, settings):
        self.settings = Settings(**settings)
        check(build, space)
        self.build, self.space, self.seed, self.data = build, space, self.settings.seed, nets.usable(data)
        self.objective, self.direction = self.settings.objective
        self.figures = list(dict.fromkeys([self.objective, "val_loss"]))
        self.epochs = profile.epochs(self.settings.epochs)
        self.count = profile.trials(min(self.settings.trials or math.inf, math.prod(map(len, space.values()))))
        self.choices = {
            name: values
            if {*map(type, values)} in ({int}, {float}, {str}) and len({*values}) == len(values)
            else list(range(len(values)))
            for name, values in space.items()
        }
        self.folder = Path(self.settings.folder or files.runs() / "search").resolve()
        ledger.writable(self.folder)
        self.fingerprint = ledger.fingerprint(self.data)
        self.around = [self.fingerprint, profile.name(), ledger.machinery(__file__), ledger.surroundings()]
        self.rows, self.failures, self.described = [], {}, True  # until something cannot be
        self._check_objective()
        self.bar = progress.bar(total=self.count, unit="trial")

    def _check_objective(self):
        """ValueError where the first net that can be built has no such metric.

        It judges one image, untrained and without being compiled by the back end: only then Keras names its metrics.
        """
        for values in itertools.product(*self.space.values()):
            with contextlib.suppress(Exception), hooks.stream(self.seed):  # a trial that fails will say so
                model = self.model(dict(zip(self.space, values)))
                model.run_eagerly = True
                known = [f"val_{name}" for name in model.test_on_batch(*self.data.train.at(slice(1)), return_dict=True)]
                break
        else:
            return
        if self.objective not in known:
            raise ValueError(f"objective={self.objective!r}; these nets have: {', '.join(known)}")

    def values(self, chosen):
        """The parameters that a library has chosen of `choices`."""
        return {
            name: chosen[name] if self.choices[name] is values else values[chosen[name]]
            for name, values in self.space.items()
        }

    def run(self, parameters, epochs=None, pruner=None):
        """The record of one trial, trained for at most `epochs`; one that fails has a status that says so.

        pruner: a callback that may stop the training, and then says so in its `pruned`.
        """
        try:
            with hooks.stream(self.seed):  # all start from the same, so that they differ by their parameters alone
                model, epochs = self.model(parameters), epochs or self.epochs
                fit = self.fit(parameters, epochs, model, model.optimizer, model.loss, model.get_weights())
                record = fit.description and ledger.read(self.folder, fit)
                if not record:
                    record = {
                        "origin": self.data.origin,
                        "profile": profile.name(),
                        "settings": {name: str(value) for name, value in parameters.items()},
                        **self.train(model, parameters, epochs, pruner),
                    }
                    if fit.description and not (pruner and pruner.pruned):  # or it would pass for the whole fit
                        ledger.write(self.folder, fit, record)
        except Exception as error:  # one bad trial must not take the others with it
            said = f"failed: {type(error).__name__}: {str(error).strip()}".splitlines()[0][:300]
            record = {"status": said, "metrics": {}, "history": {}, "epochs": 0, "best_epoch": 0, "seconds": math.nan}
            self.failures[len(self.rows) + 1] = traceback.format_exc()
        self.add(parameters, record)
        return record

    def add(self, parameters, record):
        """The row of a trial."""
        self.rows.append({**record, **record["metrics"], "trial": len(self.rows) + 1, **parameters})
        self.bar.update()

    def result(self, library):
        """The SearchResult."""
        self.bar.close()
        table = pd.DataFrame(self.rows, columns=["trial", *self.space, *self.figures, "epochs", "seconds", "status"])
        found = SearchResult(table, None, library, None, self.objective, self.direction, self.failures)
        best = self.rows[found.best_first().index[0]] if "finished" in set(table.status) else {}
        parameters = {name: best[name] for name in self.space} if best else None
        return dataclasses.replace(found, best=parameters, best_epoch=best.get("best_epoch"))

    def model(self, parameters):
        """The compiled net of a trial; its seeds come from the `stream` that this is called within."""
        own, rate = taken(self.build, parameters)
        with contextlib.ExitStack() as stack:
            stack.callback(keras.config.set_dtype_policy, keras.config.dtype_policy())
            keras.config.set_dtype_policy(self.settings.precision)
            model = self.build(self.data.train.x.shape[1:], len(self.data.classes), **own)
        if not model.compiled:
            model.compile(self.settings.optimizer(*rate), self.settings.loss, metrics=nets.made(self.settings.metrics))
        elif rate:
            raise ValueError("build compiles the model, so it must take the learning_rate too")
        return model

    def train(self, model, parameters, epochs, pruner=None):
        """The record of a compiled net, trained."""
        given = vars(self.settings) | parameters
        start = time.perf_counter()
        history = training.fit(
            model,
            *self.data.train,
            batch_size=given["batch_size"],
            epochs=epochs,
            validation_data=self.data.validation,
            validation_split=0.0 if self.data.validation else self.settings.validation_split,
            callbacks=[
                keras.callbacks.TerminateOnNaN(),
                keras.callbacks.EarlyStopping("val_loss", patience=given["patience"] or math.inf),
                *([pruner] if pruner else []),
            ],
            seed=self.seed,
            verbose=0,
        )
        history = {name: [float(value) for value in values] for name, values in history.history.items()}
        run = len(history["loss"])
        diverged = not all(math.isfinite(history[name][-1]) for name in ("loss", *self.figures))
        early = given["patience"] is not None and not diverged
        judged = 1 + history["val_loss"].index(min(history["val_loss"])) if early else run
        pruned = f"pruned in epoch {run}" if pruner and pruner.pruned else "finished"
        return {
            "status": f"diverged in epoch {run}" if diverged else pruned,
            "metrics": {} if diverged else {name: history[name][judged - 1] for name in self.figures},
            "parameters": model.count_params(),
            "epochs": run,
            "best_epoch": judged,
            "seconds": time.perf_counter() - start,
            "history": {name: values[:judged] for name, values in history.items()},
        }

    def fit(self, *parts):
        """What the ledger knows a trial by: `parts`, and all else that it depends on.

        Where they cannot be described, which is said once, there is no description, and nothing is kept.
        """
        name, description = getattr(getattr(self.build, "func", self.build), "__name__", "net"), None
        settings = {n: value for n, value in vars(self.settings).items() if n not in ("trials", "epochs", "folder")}
        try:
            description = describe.digest([self.build, settings, self.around, *parts])
        except describe.Undescribed as fault:
            if self.described:
                files.warn(f"{name}: {fault}; the trials are not kept")
            self.described = False
        return ledger.Fit("search", name, self.seed, description)
