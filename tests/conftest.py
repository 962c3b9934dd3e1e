import os
import random

# TensorFlow's C++ start-up messages; what the tests say is about the kit.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Compiling takes most of the time of a test, and running none of it.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

# Two processes share two cores: threads of a product of matrices would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    """No test sees the user's data, cache, runs or profile, unless it asks for them."""
    for name in ("KIT_PROFILE", "KIT_SOURCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def same_draws():
    """What a test draws does not depend on the tests before it: Keras draws the seeds of weights from `random`."""
    random.seed(0)
    np.random.seed(0)


def pytest_collection_modifyitems(items):
    """What takes long begins first, so that no worker waits for another at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
