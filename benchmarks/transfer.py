"""Seconds an epoch: a head on cached features beside the same head trained through the frozen ResNet50, in one run.

    python benchmarks/transfer.py

The pictures are noise and the weights random: neither changes the time. What counts is the ratio. The features are
computed once; what that costs is shown too.
"""

import os
import time
from functools import partial
from tempfile import TemporaryDirectory

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from epoch import seconds_an_epoch

from kit import machine, models, training

SIDE, IMAGES = 128, 96  # so few that the way through the net takes seconds; both ways grow alike

if __name__ == "__main__":
    print(f"{machine.describe()}\n")
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (IMAGES, SIDE, SIDE, 1), np.uint8), rng.integers(0, 11, IMAGES)
    build = partial(models.transfer, (SIDE, SIDE, 1), 11, weights=None)
    through, _ = seconds_an_epoch(training.fit, build, x, y)
    with TemporaryDirectory() as os.environ["KIT_CACHE"]:
        model = build()
        start = time.perf_counter()
        features = models.features(model, x)
        once = time.perf_counter() - start
    head, _ = seconds_an_epoch(training.fit, partial(models.mlp, features.shape[1:], 11, hidden=(224,)), features, y)
    print(f"{IMAGES} images of {SIDE}x{SIDE}, ResNet50, head of 461,451 parameters")
    print(f"an epoch through the frozen net {through:.2f} s")
    print(f"an epoch on the features        {head:.4f} s, {through / head:.0f} times cheaper")
    print(f"the features, once              {once:.2f} s")
