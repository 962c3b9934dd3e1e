"""A fit again: `kit.training.fit` beside `model.fit`, each in a fresh process, on the same images.

    python benchmarks/again.py

For a dense net and a convolutional one: the seconds of a warm epoch; of a fit of one epoch again, of the same net and
of one like it with another seed and rate, and how many warm epochs that is; and by how many MB resident memory grows
over FITS such fits, and over FITS fits of different nets. The first FIRST fits do not count: they load what all
share, and fill the kit's store of programs. `KERAS_BACKEND=jax` measures JAX.
"""

import gc
import os
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from kit import machine, models, training

FITS, FIRST = 30, 10  # of which the first are left out of memory
IMAGES = {"dense": 12_800, "convolutional": 1_600}


def build(kind, seed=0, units=64, rate=0.01):
    keras.utils.set_random_seed(seed)
    if kind == "dense":
        model = models.mlp((28, 28, 1), 10, hidden=(2 * units, 2 * units), dropout=0.2)
    else:
        model = models.cnn((28, 28, 1), 10, filters=(units // 2, units))
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def resident():
    """MB in memory now (Linux)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def seconds(train, model, x, y, epochs=1):
    """(of the whole fit, of each epoch but the first)"""
    moments = [start := time.perf_counter()]
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: moments.append(time.perf_counter()))
    train(model, x, y, epochs=epochs, callbacks=[watch], verbose=0)
    return time.perf_counter() - start, np.diff(moments)[1:]


def growth(train, make, x, y):
    """MB over the fits of a loop that keeps no net."""
    seen = []
    for i in range(FITS + FIRST):
        train(make(i), x, y, verbose=0)
        gc.collect()
        seen.append(resident())
    return seen[-1] - seen[FIRST - 1]


def measure(kind, how):
    rng = np.random.default_rng(0)
    x, y = rng.random((IMAGES[kind], 28, 28, 1), "float32"), rng.integers(0, 10, IMAGES[kind])
    train = training.fit if how == "kit" else keras.Model.fit
    if how.endswith("different"):
        train = training.fit if how.startswith("kit") else keras.Model.fit
        print(f"{growth(train, lambda i: build(kind, units=32 + 2 * i), x, y):10.0f}", flush=True)
        return
    model = build(kind)
    first = seconds(train, model, x, y)[0]
    warm = statistics.median(seconds(train, model, x, y, epochs=7)[1])
    same = statistics.median(seconds(train, model, x, y)[0] for _ in range(7))
    like = statistics.median(seconds(train, build(kind, i, rate=0.01 / i), x, y)[0] for i in range(1, 8))
    alike = growth(train, lambda i: build(kind, i, rate=0.01 / (i + 1)), x, y)
    print(
        f"{kind:14} {how:10} {first:7.2f} {warm:7.3f} {same:7.3f} {same / warm:6.1f} {like:7.3f} {like / warm:6.1f} "
        f"{alike:7.0f}", end="", flush=True,
    )  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:]:
        measure(*sys.argv[1:])
    else:
        print(f"{machine.describe()}\n")
        print(f"{'':25} {'seconds; in warm epochs':^45} {'MB':^18}")
        heads = "first", "warm", "same", "", "like", ""
        print(f"{'net':14} {'trained by':10}", *(f"{head:>{6 + bool(head)}}" for head in heads), "  alike  different")
        for kind in IMAGES:
            for how in ("kit", "model.fit"):
                for more in ("", " different"):
                    subprocess.run([sys.executable, __file__, kind, how + more], check=True)
