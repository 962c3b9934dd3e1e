"""Where a run is made: the device, and the versions of what makes the numbers."""

import functools
import multiprocessing.connection
import os
import platform
import sys
import tempfile
import threading
from importlib import metadata

from . import profile

# TensorFlow writes these at its import, before any setting of its log can reach it.
STARTING = (b"oneDNN custom operations are on", b"before absl::InitializeLog() is called")


def start():
    """Import Keras with its back end, without the lines about nothing that TensorFlow writes; others are passed on.

    They are written by C++ to the process's standard error, which is looked through while this runs.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            import keras  # noqa: F401
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            written.seek(0)
            lines = [line for line in written if not any(noise in line for noise in STARTING)]
            os.write(2, b"".join(lines))


def start_worker():
    """`start`, in a process that is to end when the one that began it ends, however that happens."""

    def follow():
        multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    start()


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


@functools.cache  # to look all packages through takes a third of a second
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
    parts = [f"profile: {profile.name()}"]
    parts += [f"data: {data.card.title}, {data.origin}" for data in datasets]
    parts += [f"back end: {keras.backend.backend()} on {device()}", said]
    return " | ".join(parts)
