"""The one place that makes runs small: with KIT_PROFILE=quick, few epochs, images and trials; else everything, in full.

It also says where a run is made: device, versions, and whether someone looks on. The notebooks and studies pass their
numbers through here, so that a reader sees both the full number and who cuts it.
"""

import dataclasses
import os
import platform
import sys
from importlib import metadata

QUICK_EPOCHS = 2  # enough for two points on a curve
QUICK_IMAGES = {"train": 1000, "validation": 200, "test": 500}  # enough for every class to turn up many times
QUICK_TRIALS = 2


def name():
    """ "quick" if KIT_PROFILE says so, else "full"."""
    return "quick" if os.environ.get("KIT_PROFILE") == "quick" else "full"


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

    def first(split, count):
        return split and type(split)(*(array if array is None else array[:count] for array in split))

    cut = {split: first(getattr(data, split), count) for split, count in QUICK_IMAGES.items()}
    extra = {name: first(split, QUICK_IMAGES["test"]) for name, split in data.extra.items()}
    return dataclasses.replace(data, extra=extra, **cut)


def watched():
    """Whether someone looks on, in a terminal or a notebook: then a progress bar has a point."""
    ipython = sys.modules.get("IPython")
    return sys.stdout.isatty() or hasattr(ipython and ipython.get_ipython(), "kernel")


def device():
    """What Keras computes on: the name of the first GPU (or TPU), else "CPU, n cores"."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        if gpus:
            return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    if keras.backend.backend() == "jax":
        import jax

        if jax.default_backend() != "cpu":
            return jax.devices()[0].device_kind
    if keras.backend.backend() == "torch":
        import torch

        if torch.cuda.is_available():
            return torch.cuda.get_device_name(0)
    return f"CPU, {os.cpu_count()} cores"


def versions():
    """Versions of what makes the numbers: {"python": ..., "kit": ..., "keras": ..., back end: ...}."""
    import keras

    from . import __version__

    backend = keras.backend.backend()
    packages = metadata.packages_distributions().get(backend, [backend])
    return {
        "python": platform.python_version(),
        "kit": __version__,
        "keras": keras.version(),
        backend: metadata.version(packages[0]),
    }


def describe(*datasets):
    """One line for the top of a notebook: the profile, the data's origin, the back end, the device and the versions."""
    import keras

    said = ", ".join(f"{name} {version}" for name, version in versions().items())
    parts = [f"profile: {name()}"]
    parts += [f"data: {data.card.title}, {data.origin}" for data in datasets]
    parts += [f"back end: {keras.backend.backend()} on {device()}", said]
    return " | ".join(parts)
