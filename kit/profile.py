"""The one place that makes runs small: with KIT_PROFILE=quick, few epochs, images and trials; else everything, in full.

The notebooks and studies pass their numbers through here, so that a reader sees both the full number and who cuts it.
"""

import dataclasses
import os

NAMES = ("full", "quick")
QUICK_EPOCHS = 2  # enough for two points on a curve
QUICK_IMAGES = {"train": 1000, "validation": 200, "test": 500}  # enough for every class to turn up many times
QUICK_PIXELS = 20 * 20  # of larger images fewer are trained on, in proportion, so that they take no longer
QUICK_TRIALS = 2


def name():
    """What KIT_PROFILE says, "quick" or "full"; "full" where it says nothing. ValueError for anything else."""
    given = os.environ.get("KIT_PROFILE") or "full"
    if given not in NAMES:
        raise ValueError(f"KIT_PROFILE is {given!r}; it should be {' or '.join(NAMES)}")
    return given


def epochs(full):
    """The number of epochs to train for where a full run takes `full`."""
    return min(full, QUICK_EPOCHS) if name() == "quick" else full


def trials(full):
    """The number of trials of a search where a full run takes `full`."""
    return min(full, QUICK_TRIALS) if name() == "quick" else full


def images(data):
    """The Dataset to use where a full run takes all of `data`: in the quick profile the first images of each split."""
    if name() == "full":
        return data
    shape = data.train.x.shape
    larger = max(1, shape[1] * shape[2] // QUICK_PIXELS) if len(shape) == 4 else 1
    counts = QUICK_IMAGES | {"train": QUICK_IMAGES["train"] // larger}
    cut = {name: getattr(data, name).at(slice(counts[name])) for name in counts if getattr(data, name) is not None}
    extra = {name: split.at(slice(counts["test"])) for name, split in data.extra.items()}
    return dataclasses.replace(data, extra=extra, **cut)
