"""What the searches share: a trial trained through `fit` and recorded at once, and the table of all."""

import dataclasses
import math
import os
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from tqdm import tqdm

from .. import profile, training
from ..studies import ledger
from .space import check, names


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """What a search found.

    table: a row a trial, in the order they were run: trial (from 1), the parameters, val_accuracy, val_loss (both of
        the epoch with the lowest val_loss, or of the last one without early stopping), epochs (all that were run),
        seconds, status ("finished", "diverged in epoch 2", "failed: ...").
    best: the parameters of the finished trial with the highest val_accuracy, as a dict; None if no trial finished.
    library: the library's own object, a `talos.Scan` or a `keras_tuner` tuner.
    """

    table: pd.DataFrame
    best: dict | None
    library: object


class Trials:
    """The trials of one search. `run` trains one, or takes it from its record; `result` makes the table."""

    def __init__(
        self, build, data, space, *,
        trials, optimizer, loss, batch_size, epochs, patience, validation_split, seed, folder,
    ):  # fmt: skip
        check(
            build, data, space, trials=trials, batch_size=batch_size, epochs=epochs, patience=patience,
            validation_split=validation_split, seed=seed,
        )  # fmt: skip
        self.build, self.space, self.seed, self.patience = build, space, seed, patience
        self.data = profile.images(data)
        self.optimizer, self.loss = optimizer, loss
        self.batch_size, self.validation_split = batch_size, validation_split
        self.epochs = profile.epochs(epochs)
        size = math.prod(len(values) for values in space.values())
        self.count = profile.trials(size if trials is None else min(trials, size))
        self.folder = Path(folder or Path(os.environ.get("KIT_RUNS") or "runs") / "search").resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.fingerprint = ledger.fingerprint(self.data)
        self.rows = []
        self.bar = tqdm(total=self.count, unit="trial", file=sys.stdout, disable=not profile.watched())

    def run(self, parameters, epochs=None):
        """The record of one trial, trained for at most `epochs`; one that fails has a status that says so."""
        try:
            record = self._record(parameters, epochs or self.epochs)
        except Exception as error:  # one bad trial must not take the others with it
            said = (str(error).strip().splitlines() or [""])[0]
            record = {"status": f"failed: {type(error).__name__}: {said}"[:300], "metrics": {}, "history": {}}
        found = {name: record["metrics"].get(name, math.nan) for name in ("val_accuracy", "val_loss")}
        spent = {"epochs": record.get("epochs", 0), "seconds": record.get("seconds", math.nan)}
        self.rows.append({"trial": len(self.rows) + 1, **parameters, **found, **spent, "status": record["status"]})
        self.bar.update()
        return record

    def result(self, library):
        self.bar.close()
        finished = [row for row in self.rows if row["status"] == "finished"]
        best = max(finished, key=lambda row: (row["val_accuracy"], -row["val_loss"]), default=None)
        columns = ["trial", *self.space, "val_accuracy", "val_loss", "epochs", "seconds", "status"]
        return SearchResult(
            pd.DataFrame(self.rows, columns=columns), best and {name: best[name] for name in self.space}, library
        )

    def _record(self, parameters, epochs):
        model = self._model(parameters)
        batch_size = parameters.get("batch_size", self.batch_size)
        definition = {
            "parameters": parameters,
            "model": model.get_config(),
            "optimizer": keras.optimizers.serialize(model.optimizer),
            "fit": [
                epochs,
                self.patience,
                batch_size,
                self.validation_split,
                keras.losses.serialize(keras.losses.get(model.loss)),
            ],
            "data": self.fingerprint,
            "profile": profile.name(),
            "code": ledger.code(__file__),
            "computed on": [keras.backend.backend(), profile.device()],
        }
        name = getattr(getattr(self.build, "func", self.build), "__name__", "net")
        path = ledger.path(self.folder, name, self.seed, definition)
        record = ledger.read(path)
        if record is None:
            trained = self._train(model, batch_size, epochs)
            record = {
                "experiment": name,
                "settings": {key: str(value) for key, value in parameters.items()},
                "seed": self.seed,
                "origin": self.data.origin,
                "profile": profile.name(),
            } | trained
            ledger.write(path, record)
        return record

    def _model(self, parameters):
        """The compiled model. All trials start from the same seed, so that they differ by their parameters alone."""
        keras.utils.clear_session()  # or the nets of all trials stay in memory
        keras.utils.set_random_seed(self.seed)
        rate = "learning_rate" in parameters and not names(self.build, "learning_rate")
        handled = {"batch_size", "learning_rate"} if rate else {"batch_size"}
        settings = {name: value for name, value in parameters.items() if name not in handled}
        model = self.build(self.data.train.x.shape[1:], len(self.data.classes), **settings)
        if not model.compiled:
            optimizer = self.optimizer(parameters["learning_rate"]) if rate else self.optimizer()
            model.compile(optimizer, self.loss, metrics=["accuracy"])
        elif rate:
            raise ValueError("build compiles the model, so it must take the learning_rate too")
        return model

    def _train(self, model, batch_size, epochs):
        callbacks = [keras.callbacks.TerminateOnNaN()]
        if self.patience is not None:
            callbacks.append(keras.callbacks.EarlyStopping("val_loss", patience=self.patience))
        start = time.perf_counter()
        history = training.fit(
            model,
            *self.data.train,
            batch_size=batch_size,
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
        kept = run - 1 if self.patience is None or diverged else int(np.argmin(history["val_loss"]))
        return {
            "status": f"diverged in epoch {run}" if diverged else "finished",
            "metrics": {} if diverged else {name: history[name][kept] for name in ("val_accuracy", "val_loss")},
            "parameters": model.count_params(),
            "epochs": run,
            "seconds": seconds,
            "history": {name: values[: kept + 1] for name, values in history.items()},
        }
