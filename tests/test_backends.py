"""The kit on JAX alone: the tests of `fit` and a study run there, with TensorFlow kept from being imported."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
needs_jax = pytest.mark.skipif(
    not importlib.util.find_spec("jax") or os.environ.get("KERAS_BACKEND") == "jax",
    reason="JAX missing, or here already",
)


def on_jax(*arguments, **settings):
    blocker = "import sys; sys.modules['tensorflow'] = None\n"  # any import of it is an ImportError
    return subprocess.run(
        [sys.executable, "-c", blocker + arguments[0], *arguments[1:]],
        cwd=HERE, env=os.environ | {"KERAS_BACKEND": "jax"} | settings, capture_output=True, text=True,
    )  # fmt: skip


@needs_jax
def test_fit_equals_model_fit_on_jax():
    wanted = "equals_model_fit and (partial or schedules or integer) or seed or dropout or early or backup or engine"
    code = "import pytest; sys.exit(pytest.main(sys.argv[1:]))"
    done = on_jax(code, "-q", "-p", "no:cacheprovider", "-k", wanted, "test_fit.py")
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout


@needs_jax
def test_a_study_runs_on_jax_without_tensorflow(tmp_path):
    code = "from kit.__main__ import main; sys.exit(main(sys.argv[1:]))"
    row = "small 64, SGD, Glorot"
    done = on_jax(
        code, "run", "fashion-ladder-mlp", "--only", row, "--source", "synthetic", "--quick", KIT_RUNS=str(tmp_path)
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "50,890" in done.stdout and "not comparable" in done.stdout
