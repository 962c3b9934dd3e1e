"""The ledger: each finished fit is written at once, one JSON file a fit, so that a killed run goes on where it stopped.

The folder is $KIT_RUNS, else `runs` under the current one. A record's name holds a hash of all that defines it, so
what was made otherwise is never taken for it.
"""

import functools
import hashlib
import json
import re
from pathlib import Path

import numpy as np

from .. import files, training

REQUIRED = {"experiment", "seed", "status", "metrics", "parameters", "epochs", "history", "origin", "profile"}


def path(study, experiment, seed, definition):
    """Where the record of this fit lies; `definition` is JSON-like and names all that the result depends on."""
    key = hashlib.sha256(json.dumps(definition, sort_keys=True, default=str).encode()).hexdigest()[:16]
    slug = re.sub(r"[^a-z0-9]+", "-", experiment.lower()).strip("-")
    return files.runs() / study / f"{slug}-seed{seed}-{key}.json"


def fingerprint(data):
    """A hash of all arrays of a Dataset: other images, another split or scaling, another order give another."""
    digest = hashlib.sha256()
    for split in (data.train, data.validation, data.test, *data.extra.values()):
        for array in split or ():
            if array is not None:
                digest.update(f"{array.dtype}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


@functools.cache
def code(*modules):
    """A hash of `kit.training` and of these files: the code that turns data and a model into results."""
    paths = [*sorted(Path(training.__file__).parent.glob("*.py")), *map(Path, modules)]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def read(path):
    """The record at `path`, or None if there is none; a damaged one is set aside with a warning, and None returned."""
    try:
        record = json.loads(path.read_text())
        missing = REQUIRED - set(record)
        if not missing:
            return record
        fault = f"it lacks {', '.join(sorted(missing))}"
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        fault = error
    files.set_aside(path, fault, "the fit is run again")
    return None


def write(path, record):
    """Keep the record."""
    with files.writing(path, "w") as file:
        file.write(json.dumps(record))
