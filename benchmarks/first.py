"""Seconds of a first fit of one epoch, compiling included: `kit.training.fit` beside `model.fit`, in one run.

    python benchmarks/first.py

Each fit has a net of its own that nothing was compiled for; the two take turns, and the median counts. `XLA` is what
the first fit takes where the epoch is compiled by XLA: beside the seconds an epoch of `benchmarks/epoch.py` it says
from how many examples on XLA pays (`XLA_PAYS_FROM` in `kit/training/compiled.py`).
"""

import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from epoch import NETS

from kit import machine, training
from kit.training import compiled

ROUNDS = 7
IMAGES = 1_000


def seconds(train, build, x, y):
    model = build()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    start = time.perf_counter()
    history = train(model, x, y, verbose=0)
    return time.perf_counter() - start, getattr(history, "engine", "")


if __name__ == "__main__":
    print(f"{machine.describe()}\n")
    print(f"{'net':38} {'images':>7} {'model.fit':>10} {'kit':>8} {'ratio':>6} {'XLA':>8}  engine")
    rng = np.random.default_rng(0)
    x, y = rng.random((IMAGES, 28, 28, 1), "float32"), rng.integers(0, 10, IMAGES)
    for name, (build, _) in NETS.items():
        theirs, ours, under_xla = [], [], []
        seconds(keras.Model.fit, build, x, y), seconds(training.fit, build, x, y)  # what all fits share is loaded
        for _ in range(ROUNDS):
            theirs.append(seconds(keras.Model.fit, build, x, y)[0])
            ours.append((took := seconds(training.fit, build, x, y))[0])
            compiled.XLA_PAYS_FROM, usual = 0, compiled.XLA_PAYS_FROM
            under_xla.append(seconds(training.fit, build, x, y)[0])
            compiled.XLA_PAYS_FROM = usual
        theirs, ours, under_xla = map(statistics.median, (theirs, ours, under_xla))
        print(
            f"{name:38} {IMAGES:7,} {theirs:8.2f} s {ours:6.2f} s {ours / theirs:6.2f} {under_xla:6.2f} s  {took[1]}",
            flush=True,
        )
