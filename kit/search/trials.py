"""What the searches share: a trial trained through `fit` and recorded at once, and the table of all."""

import contextlib
import dataclasses
import itertools
import math
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from .. import files, machine, profile, progress, training
from ..studies import ledger
from ..studies.nets import usable
from ..training import hooks
from .space import check, names


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """What a search found.

    table: a row a trial, in the order they were run: trial (from 1), the parameters, val_accuracy, val_loss (both of
        the epoch with the lowest val_loss, or of the last one without early stopping), epochs (all that were run),
        seconds, status ("finished", "pruned in epoch 2", "diverged in epoch 2", "failed: ...").
    best: the parameters of the finished trial with the highest val_accuracy, as a dict; None if no trial finished.
    library: the library's own object, a `talos.Scan`, a `keras_tuner` tuner or an `optuna.Study`.
    best_epoch: the number of epochs after which that trial was judged.
    """

    table: pd.DataFrame
    best: dict | None
    library: object
    best_epoch: int | None = None


class Trials:
    """The trials of one search. `run` trains one, or takes it from its record; `result` makes the table."""

    def __init__(
        self, build, data, space, *,
        trials, optimizer, loss, batch_size, epochs, patience, validation_split, seed, folder,
    ):  # fmt: skip
        whole = check(
            build, data, space, trials=trials, batch_size=batch_size, epochs=epochs, patience=patience,
            validation_split=validation_split, seed=seed,
        )  # fmt: skip
        self.build, self.space, self.seed, self.patience = build, space, whole["seed"], whole["patience"]
        self.data = usable(data)
        self.optimizer, self.loss = optimizer, loss
        self.batch_size, self.validation_split = whole["batch_size"], validation_split
        self.epochs = profile.epochs(whole["epochs"])
        size = math.prod(len(values) for values in space.values())
        self.count = profile.trials(min(whole["trials"] or size, size))
        self.folder = Path(folder or files.runs() / "search").resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.fingerprint = ledger.fingerprint(self.data)
        self.rows = []
        self.bar = progress.bar(total=self.count, unit="trial")

    def run(self, parameters, epochs=None, pruner=None):
        """The record of one trial, trained for at most `epochs`; one that fails has a status that says so.

        pruner: a callback that may stop the training, and then says so in its `pruned`.
        """
        try:
            with hooks.stream(self.seed):  # all start from the same, so that they differ by their parameters alone
                record = self._record(parameters, epochs or self.epochs, pruner)
        except Exception as error:  # one bad trial must not take the others with it
            said = (str(error).strip().splitlines() or [""])[0]
            record = {"status": f"failed: {type(error).__name__}: {said}"[:300], "metrics": {}, "history": {}}
        record["best_epoch"] = len(record["history"].get("loss", ()))
        self.add(parameters, record)
        return record

    def add(self, parameters, record):
        """The row of a trial."""
        found = {name: record["metrics"].get(name, math.nan) for name in ("val_accuracy", "val_loss")}
        spent = {"epochs": record.get("epochs", 0), "seconds": record.get("seconds", math.nan)}
        spent["best_epoch"] = record.get("best_epoch", 0)
        self.rows.append({"trial": len(self.rows) + 1, **parameters, **found, **spent, "status": record["status"]})
        self.bar.update()

    def result(self, library):
        self.bar.close()
        finished = [row for row in self.rows if row["status"] == "finished"]
        best = max(finished, key=lambda row: (row["val_accuracy"], -row["val_loss"]), default=None)
        columns = ["trial", *self.space, "val_accuracy", "val_loss", "epochs", "seconds", "status"]
        table = pd.DataFrame(self.rows, columns=columns)
        if best is None:
            return SearchResult(table, None, library)
        return SearchResult(table, {name: best[name] for name in self.space}, library, best["best_epoch"])

    def name(self):
        """A name for the search, with a hash of all that its trials depend on; of their nets, one that can be built."""
        for values in itertools.product(*self.space.values()):
            with contextlib.suppress(Exception), hooks.stream(self.seed):
                return self._path(self.space, self._model(dict(zip(self.space, values))), self.epochs).stem
        return "no net"

    def _path(self, parameters, model, epochs):
        """Where the record of a trial lies; its name holds a hash of all that the result depends on."""
        definition = {
            "parameters": parameters,
            "model": model.get_config(),
            "optimizer": keras.optimizers.serialize(model.optimizer),
            "fit": [
                epochs,
                self.patience,
                parameters.get("batch_size", self.batch_size),
                self.validation_split,
                keras.losses.serialize(keras.losses.get(model.loss)),
            ],
            "data": self.fingerprint,
            "profile": profile.name(),
            "code": ledger.code(__file__),
            "computed on": [keras.backend.backend(), machine.device()],
        }
        return ledger.path(self.folder, self._net(), self.seed, definition)

    def _net(self):
        return getattr(getattr(self.build, "func", self.build), "__name__", "net")

    def _record(self, parameters, epochs, pruner):
        model = self._model(parameters)
        path = self._path(parameters, model, epochs)
        record = ledger.read(path)
        if record is None:
            trained = self._train(model, parameters, epochs, pruner)
            record = {
                "experiment": self._net(),
                "settings": {key: str(value) for key, value in parameters.items()},
                "seed": self.seed,
                "origin": self.data.origin,
                "profile": profile.name(),
            } | trained
            if not (pruner and pruner.pruned):  # or another search would take it for the whole fit
                ledger.write(path, record)
        return record

    def _model(self, parameters):
        """The compiled model."""
        rate = "learning_rate" in parameters and not names(self.build, "learning_rate")
        handled = {"batch_size", "patience", "learning_rate"} if rate else {"batch_size", "patience"}
        settings = {name: value for name, value in parameters.items() if name not in handled}
        model = self.build(self.data.train.x.shape[1:], len(self.data.classes), **settings)
        if not model.compiled:
            optimizer = self.optimizer(parameters["learning_rate"]) if rate else self.optimizer()
            model.compile(optimizer, self.loss, metrics=["accuracy"])
        elif rate:
            raise ValueError("build compiles the model, so it must take the learning_rate too")
        return model

    def _train(self, model, parameters, epochs, pruner):
        callbacks = [keras.callbacks.TerminateOnNaN(), *([pruner] if pruner else [])]
        patience = parameters.get("patience", self.patience)
        if patience is not None:
            callbacks.append(keras.callbacks.EarlyStopping("val_loss", patience=patience))
        start = time.perf_counter()
        history = training.fit(
            model,
            *self.data.train,
            batch_size=parameters.get("batch_size", self.batch_size),
            epochs=epochs,
            validation_data=self.data.validation,
            validation_split=0.0 if self.data.validation else self.validation_split,
            callbacks=callbacks,
            seed=self.seed,
            verbose=0,
        )
        seconds = time.perf_counter() - start
        history = {name: [float(value) for value in values] for name, values in history.history.items()}
        run = len(history["loss"])
        diverged = not np.isfinite([history["loss"][-1], history["val_loss"][-1]]).all()
        kept = run - 1 if patience is None or diverged else int(np.argmin(history["val_loss"]))
        pruned = f"pruned in epoch {run}" if pruner and pruner.pruned else "finished"
        return {
            "status": f"diverged in epoch {run}" if diverged else pruned,
            "metrics": {} if diverged else {name: history[name][kept] for name in ("val_accuracy", "val_loss")},
            "parameters": model.count_params(),
            "epochs": run,
            "seconds": seconds,
            "history": {name: values[: kept + 1] for name, values in history.items()},
        }
