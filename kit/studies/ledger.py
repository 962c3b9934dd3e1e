"""The ledger: each finished fit is written at once, one JSON file a fit, so that a killed run goes on where it stopped.

A record's name follows from its Fit, whose description stands for all that the result depends on, so what was made
otherwise is never taken for it. A record is believed only if its checksum, its four names and its types agree.
"""

import ast
import functools
import hashlib
import json
import math
import os
import platform
import re
import stat
import tempfile
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from .. import files, machine, training
from ..models import numpy_mlp
from . import nets

LIMIT = 2**26  # bytes of a record; what is larger is none
NUMBER = (int, float, type(None))  # None where it was NaN or infinite
# What every record holds, beside its four names, and what a finished fit's holds further.
TYPES = {
    "status": str, "origin": str, "profile": str, "metrics": dict, "history": dict, "epochs": int,
    "parameters": (int, type(None)),  # None where they cannot be counted
}  # fmt: skip
FINISHED = {"seconds": NUMBER}
# What a user sets there changes the numbers, by another order of the sums or another precision.
ENVIRONMENT = (
    "CUDA_VISIBLE_DEVICES", "JAX_DEFAULT_MATMUL_PRECISION", "JAX_ENABLE_X64", "MKL_NUM_THREADS", "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_CUDNN_DETERMINISTIC", "TF_DETERMINISTIC_OPS",
    "TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTEROP_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_XLA_FLAGS", "XLA_FLAGS",
)  # fmt: skip


class Fit(NamedTuple):
    """The four names of a record; `description` is a `describe.digest` of all that the result depends on."""

    study: str
    experiment: str
    seed: int
    description: str


def fingerprint(data):
    """A hash of a Dataset's arrays, classes and task: other images, another split or scaling or order give another."""
    digest = hashlib.sha256(json.dumps([data.classes, data.task]).encode())
    extra = [part for name, split in data.extra.items() for part in (name, split)]
    for part in ("train", data.train, "validation", data.validation, "test", data.test, *extra):
        for array in (part,) if isinstance(part, str) else part or ():
            digest.update(f"{array if isinstance(array, str | None) else (array.dtype, array.shape)}".encode())
            if isinstance(array, np.ndarray):
                digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


@functools.cache
def machinery(*paths):
    """A hash of the code that turns data and a model into results, without its docstrings and comments.

    It is that of `kit.training`, `kit.studies.nets` and `kit.models.numpy_mlp`, and of these further files.
    """
    own = sorted(Path(training.__file__).parent.glob("*.py"))
    trees = [ast.parse(Path(path).read_bytes()) for path in (*own, nets.__file__, numpy_mlp.__file__, *paths)]
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node, clean=False) is not None:
                del node.body[0]
    return hashlib.sha256("\n".join(map(ast.dump, trees)).encode()).hexdigest()


def surroundings():
    """What changes the numbers and is no part of a study: versions, device, threads and Keras' settings, as a dict."""
    versions = {name: version for name, version in machine.versions().items() if name != "kit"}
    threads = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()]
    if keras.backend.backend() == "tensorflow":
        from tensorflow.config import threading

        threads += [threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads()]
    return {
        "versions": versions | {"python": ".".join(platform.python_version_tuple()[:2]), "numpy": np.__version__},
        "back end": keras.backend.backend(),
        "device": machine.device(),
        "threads": threads,
        "environment": {name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
        "keras": [keras.config.floatx(), keras.config.image_data_format(), keras.config.epsilon()],
    }


def writable(folder):
    """Raise OSError, in one line, where a record could not be kept in this folder, which is made if need be."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"{}")
    except (OSError, ValueError) as error:
        fault = getattr(error, "strerror", None) or error
        raise OSError(f"no record can be written into {folder} ({fault}); $KIT_RUNS names another folder") from None


def read(folder, fit):
    """The record of `fit` in `folder`, or None where there is none that can be believed. It raises nothing.

    A damaged one is set aside with a warning; one that cannot be opened is left, with a warning. A number that was NaN
    or infinite is NaN.
    """
    path = _path(folder, fit)
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait for ever
            raise ValueError("it is no file")
        with path.open("rb") as file:
            content = file.read(LIMIT + 1)
        if len(content) > LIMIT:
            raise ValueError(f"it is larger than {LIMIT:,} bytes")
        return _checked(json.loads(content.decode(), parse_constant=_refused), fit)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        files.warn(f"{path} cannot be read ({error.strerror}); the fit is run again")
    except (ValueError, RecursionError, MemoryError) as error:
        _set_aside(path, error)
    return None


def write(folder, fit, record):
    """Keep the record of `fit`, whole or not at all.

    Returns (record, kept): the record as a later `read` gives it, with its four names and its checksum; and whether it
    could be written. Where not, that is warned of, and the caller ends with exit status 1.
    """
    record = _finite(record | fit._asdict())
    record["checksum"] = _checksum(record)
    content = json.dumps(record, allow_nan=False)
    path = _path(folder, fit)
    try:
        if len(content) > LIMIT:
            raise OSError(None, f"it has {len(content):,} bytes, more than {LIMIT:,}")
        with files.writing(path, "w", encoding="utf-8") as file:
            file.write(content)
        kept = True
    except OSError as error:
        files.warn(f"{path} cannot be written ({error.strerror}); this fit is in the table, and is not kept")
        kept = False
    return _checked(json.loads(content), fit), kept


def _path(folder, fit):
    """All four names are in the hash, for a folder may hold several studies, and two rows may differ by name alone."""
    slug = re.sub(r"[^a-z0-9]+", "-", fit.experiment.lower()).strip("-")[:60]
    key = hashlib.sha256(json.dumps(fit).encode()).hexdigest()[:16]
    return Path(folder) / f"{slug or 'fit'}-seed{fit.seed}-{key}.json"


def _checksum(record):
    return hashlib.sha256(json.dumps(record, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _finite(value):
    """The same with None in place of NaN and the infinities, which JSON has not; arrays as lists."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(name): _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _refused(constant):
    raise ValueError(f"{constant} is not JSON")


def _checked(record, fit):
    """The record, NaN where it has no number; ValueError for one that is damaged or of another fit."""
    if not isinstance(record, dict):
        raise ValueError("it is no record")
    if record.get("checksum") != _checksum({name: value for name, value in record.items() if name != "checksum"}):
        raise ValueError("its checksum is another")
    wanted = fit._asdict()
    if any(type(record.get(name)) is not type(value) or record[name] != value for name, value in wanted.items()):
        raise ValueError("it is another fit's")
    types = TYPES | (FINISHED if record.get("status") == "finished" else {})
    wrong = [name for name, kind in types.items() if not _is(record.get(name, ...), kind)]
    wrong += [f"metrics[{name!r}]" for name, value in _items(record, "metrics") if not _is(value, NUMBER)]
    wrong += [f"history[{name!r}]" for name, value in _items(record, "history") if not _is(value, list)]
    if wrong:
        raise ValueError(f"it lacks {', '.join(wrong)}, or has it of another type")
    nan = math.nan  # one object, so that two records with it are equal
    record["metrics"] = {name: nan if value is None else value for name, value in record["metrics"].items()}
    record["history"] = {
        name: [nan if value is None else value for value in values] for name, values in record["history"].items()
    }
    return record


def _is(value, kind):
    return isinstance(value, kind) and not isinstance(value, bool)


def _items(record, name):
    return record[name].items() if isinstance(record.get(name), dict) else ()


def _set_aside(path, fault):
    aside = path.with_name(f"{path.name}.damaged")
    try:
        if os.path.lexists(aside):  # an earlier one stays
            files.keep(aside, aside.with_name(f"{aside.name}-{aside.lstat().st_mtime_ns}"))
        files.set_aside(path, fault, "the fit is run again")
    except FileNotFoundError:
        pass  # another process has done it
    except OSError as error:
        files.warn(f"{path} is damaged and cannot be set aside ({error.strerror}); the fit is run again")
