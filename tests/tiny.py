"""A study small enough for tests: 300 images of 4x4 pixels in three classes that differ in brightness."""

import os
import signal
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np

from kit import models, reports
from kit.datasets import Dataset, Split
from kit.studies import Experiment, Study


def data(source=None):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    x = (rng.random((300, 4, 4, 1)) * 0.5 + y[:, None, None, None] * 0.25).astype("float32")
    return Dataset(
        train=Split(x[:200], y[:200]),
        validation=None,
        test=Split(x[200:], y[200:]),
        classes=("dark", "grey", "bright"),
        task="multiclass",
        card=SimpleNamespace(title="Tiny"),
        origin="synthetic" if source == "synthetic" else "real",
    )


def counted(input_shape, classes, *, note, killed_at=None, **options):
    """An MLP whose fits are noted in a file, by process, a line each; the fit number `killed_at` ends the process."""

    class Noted(keras.Sequential):
        def train_step(self, *arguments):
            fits = Path(note).read_text().count("\n") + 1 if Path(note).exists() else 1
            if not getattr(self, "noted", False):
                self.noted = True
                with open(note, "a") as file:
                    file.write(f"{os.getpid()}\n")
                if fits == killed_at:
                    os.kill(os.getpid(), signal.SIGKILL)
            return super().train_step(*arguments)

    # Identity is not on the list of layers that XLA is chosen for, and without XLA tiny nets compile much quicker.
    return Noted(
        [keras.Input(input_shape), keras.layers.Identity(), *models.mlp(input_shape, classes, **options).layers]
    )


def broken(input_shape, classes):
    raise MemoryError("no room for this net\nand a second line")


def study(note, killed_at=None):
    def row(name, **changes):
        settings = {
            "build": partial(counted, note=str(note), killed_at=killed_at, hidden=(8,)),
            "optimizer": partial(keras.optimizers.SGD, 0.1),
            "epochs": 3,
            "validation_split": 0.1,
            "reported": {"accuracy": 0.5, "loss": 1.0, "parameters": 163},
        }
        return Experiment(name=name, **settings | changes)

    return Study(
        name="tiny",
        title="Tiny",
        data=data,
        experiments=(
            row("first"),
            row("second", optimizer=partial(keras.optimizers.SGD, 0.2)),
            row("third", optimizer=partial(keras.optimizers.SGD, 0.3)),
        ),
    )


def register(monkeypatch, one):
    """Let `kit.reports` know a Study or a Search by its name, as if it were a report's."""
    known = reports.get
    monkeypatch.setattr(reports, "get", lambda name: one if name == one.name else known(name))
