"""The kit on JAX alone: every test of `fit` and a study run there, with TensorFlow kept from being imported."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
needs_jax = pytest.mark.skipif(
    not importlib.util.find_spec("jax") or os.environ.get("KERAS_BACKEND") == "jax",
    reason="JAX missing, or here already",
)


# Compiling takes most of the time of these tests; this halves it.
QUICKLY = (
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
    "--xla_llvm_disable_expensive_passes=true --xla_cpu_parallel_codegen_split_count=1"
)


# As where it is not installed: Keras looks into sys.modules, so that it must not stand there as None.
WITHOUT_TENSORFLOW = """
import sys

class Blocker:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, Blocker)
"""


def on_jax(*arguments, **settings):
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW + arguments[0], *arguments[1:]],
        cwd=HERE, env=os.environ | {"KERAS_BACKEND": "jax", "XLA_FLAGS": QUICKLY} | settings, capture_output=True,
        text=True,
    )  # fmt: skip


@needs_jax
@pytest.mark.slow
@pytest.mark.parametrize(
    "file",
    [
        "test_fit.py",
        pytest.param("test_fit_equals_keras.py", marks=pytest.mark.weekly),
        pytest.param("test_programs.py", marks=pytest.mark.weekly),
    ],
)
def test_every_test_of_fit_on_jax(file):
    code = "import pytest; sys.exit(pytest.main(sys.argv[1:]))"
    done = on_jax(code, "-q", "-p", "no:cacheprovider", file)
    assert done.returncode == 0, done.stdout[-3000:]
    passed = int(re.search(r"(\d+) passed", done.stdout)[1])
    assert passed > 0.8 * number_of_tests(file), done.stdout[-3000:]  # the others are TensorFlow's


def number_of_tests(file):
    arguments = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only", file]
    said = subprocess.run(arguments, cwd=HERE, capture_output=True, text=True).stdout
    return int(re.search(r"(\d+) tests? collected", said)[1])


@pytest.mark.slow
@needs_jax
def test_a_study_runs_on_jax_without_tensorflow(tmp_path):
    code = "from kit.__main__ import main; sys.exit(main(sys.argv[1:]))"
    row = "small 64, SGD, Glorot"
    done = on_jax(
        code, "run", "fashion-ladder-mlp", "--only", row, "--source", "synthetic", "--quick", KIT_RUNS=str(tmp_path)
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "50,890" in done.stdout and "not comparable" in done.stdout
