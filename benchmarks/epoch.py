"""Seconds an epoch: `kit.training.fit` beside `model.fit`, in one run on the same images.

    python benchmarks/epoch.py

Both train in turn, ROUNDS times; the time is that of the quickest epoch, the one that other work on the machine has
disturbed least. What counts is the ratio.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

from kit import machine, models, training

ROUNDS = 3
EPOCHS = 6  # a round; the first of them compiles and is left out


def dense():
    return models.mlp((28, 28, 1), 10, hidden=(128, 128))


def dropout():
    return models.mlp((28, 28, 1), 10, hidden=(128, 128), dropout=0.2)


def normalized():
    stack = [keras.Input((28, 28, 1)), layers.Flatten()]
    for _ in range(2):
        stack += [layers.Dense(128, use_bias=False), layers.BatchNormalization(), layers.ReLU()]
    return keras.Sequential([*stack, layers.Dense(10, "softmax")])


def convolutional():
    stack = [keras.Input((28, 28, 1))]
    for filters in (32, 64):
        stack += [layers.Conv2D(filters, 3, padding="same", activation="relu"), layers.MaxPooling2D()]
    return keras.Sequential([*stack, layers.Flatten(), layers.Dense(10, "softmax")])


NETS = {
    "784-128-128-10": (dense, 45_888),
    "784-128-128-10, dropout 0.2": (dropout, 45_888),
    "784-128-128-10, batch normalization": (normalized, 45_888),
    "CNN 32-64": (convolutional, 6_400),
}


def seconds_an_epoch(train, build, x, y):
    keras.utils.set_random_seed(0)
    model = build()
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.8, nesterov=True), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    moments = []
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: moments.append(time.perf_counter()))
    history = train(model, x, y, batch_size=32, epochs=EPOCHS, callbacks=[watch], verbose=0)
    return np.diff(moments).min(), getattr(history, "engine", "")


if __name__ == "__main__":
    print(f"{machine.describe()}\n")
    print(f"{'net':38} {'images':>7} {'model.fit':>10} {'kit':>8} {'ratio':>6}  engine")
    rng = np.random.default_rng(0)
    for name, (build, images) in NETS.items():
        x, y = rng.random((images, 28, 28, 1), "float32"), rng.integers(0, 10, images)
        theirs, ours = [], []
        for _ in range(ROUNDS):
            theirs.append(seconds_an_epoch(keras.Model.fit, build, x, y)[0])
            seconds, engine = seconds_an_epoch(training.fit, build, x, y)
            ours.append(seconds)
        theirs, ours = min(theirs), min(ours)
        print(f"{name:38} {images:7,} {theirs:8.2f} s {ours:6.2f} s {theirs / ours:6.1f}  {engine}", flush=True)
