"""Resident memory over 30 trials: a Talos search of the kit beside a loop of `model.fit`, each in a fresh process.

    python benchmarks/search_memory.py

Neither keeps a model. What grows is what the back end keeps of each program that it has compiled.
"""

import gc
import os
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from kit import datasets, machine, models, search

TRIALS = 30
SPACE = {"units": list(range(16, 16 + TRIALS))}  # every trial another program


def resident():
    """MB in memory now (Linux)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def dense(input_shape, classes, *, units):
    return models.mlp(input_shape, classes, hidden=(units,))


def convolutional(input_shape, classes, *, units):
    return models.cnn(input_shape, classes, filters=(units,))


def measure(build, how):
    data = datasets.load("fashion_mnist", source="synthetic").scaled().take(640, seed=0)
    seen = []

    def watched(input_shape, classes, *, units):
        seen.append(resident())  # when a trial begins
        return build(input_shape, classes, units=units)

    if how == "kit":
        with tempfile.TemporaryDirectory() as folder:
            search.talos(watched, data, SPACE, epochs=2, folder=folder)
    else:
        for units in SPACE["units"]:
            keras.utils.clear_session()
            model = watched((28, 28, 1), 10, units=units)
            model.compile("adam", "sparse_categorical_crossentropy", jit_compile=how == "model.fit, XLA")
            model.fit(*data.train, epochs=2, validation_split=0.1, verbose=0)
            del model
            gc.collect()
    after = seen[5:]  # the first trials load what all share
    growth = (after[-1] - after[0]) / (len(after) - 1)
    print(f"{build.__name__:14} {how:15} {after[0]:6.0f} {after[-1]:6.0f} {growth:8.1f}")


if __name__ == "__main__":
    if sys.argv[1:]:
        measure(globals()[sys.argv[1]], sys.argv[2])
    else:
        print(
            f"{machine.describe()}\n\n{'nets':14} {'trained by':15} {'MB, 5':>6} {f'{TRIALS - 1}':>6} {'a trial':>8}",
            flush=True,
        )
        for build in ("dense", "convolutional"):
            for how in ("kit", "model.fit", "model.fit, XLA"):
                subprocess.run([sys.executable, __file__, build, how], check=True)
