"""Synthetic stand-ins: made by code from a fixed seed in about a second, so that everything runs with no network.

They have the form, classes and balance of the real set and its lesson, but they are never evidence.
"""

import numpy as np

from ..dataset import Split

_BATCH = 100  # images of a class at a time: small enough to stay in the processor's cache


def generate(painter, *, seed, train=12_000, test=2_000, classes=10):
    """Draw a balanced set of images with one label each.

    `painter(rng, n)` draws n images of each class: brightness (classes * n, 28, 28) in [0, 1], and labels of which each
    class has n. Returns {"train": Split, "test": Split} in random order: x uint8 (n, 28, 28, 1), y int64 (n,).
    """
    rng = np.random.default_rng(seed)
    per_class = (train + test) // classes
    batches = [painter(rng, min(_BATCH, per_class - start)) for start in range(0, per_class, _BATCH)]
    x = np.concatenate([np.rint(255 * images).astype(np.uint8)[..., None] for images, _ in batches])
    y = np.concatenate([labels for _, labels in batches])
    order = rng.permutation(len(y))
    by_class = order[np.argsort(y[order], kind="stable")].reshape(classes, per_class)
    held, kept = np.split(by_class, [test // classes], axis=1)
    parts = {"train": rng.permutation(kept.ravel()), "test": rng.permutation(held.ravel())}
    return {split: Split(x[part], y[part]) for split, part in parts.items()}
