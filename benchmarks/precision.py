"""Seconds an epoch in float32 and in mixed_bfloat16, in one run on the same images: where half the bits pay on a CPU.

    python benchmarks/precision.py

A CPU needs instructions for it (AVX512-BF16 or AMX); without them mixed_bfloat16 is many times slower.
"""

import os
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from epoch import dense, seconds_an_epoch

from kit import machine, models, training

ROUNDS = 2
LADDER = [models.filter_ladder(size, first) for size in ("small", "medium", "large") for first in (32, 64)]
NETS = {"784-128-128-10": (dense, 25_600)}
for filters in LADDER:
    name = "CNN " + "-".join(map(str, filters))
    NETS[name] = (partial(models.cnn, (28, 28, 1), 10, filters=filters), 3_200)

if __name__ == "__main__":
    print(f"{machine.describe()}\n")
    print(f"{'net':20} {'images':>7} {'float32':>10} {'mixed_bfloat16':>15} {'ratio':>6}")
    rng = np.random.default_rng(0)
    for name, (build, images) in NETS.items():
        x, y = rng.random((images, 28, 28, 1), "float32"), rng.integers(0, 10, images)
        seconds = {"float32": [], "mixed_bfloat16": []}
        for _ in range(ROUNDS):
            for policy in seconds:
                keras.config.set_dtype_policy(policy)
                seconds[policy].append(seconds_an_epoch(training.fit, build, x, y)[0])
        single, half = (min(seconds[policy]) for policy in seconds)
        print(f"{name:20} {images:7,} {single:8.2f} s {half:13.2f} s {single / half:6.2f}", flush=True)
