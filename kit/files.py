"""The kit's own files: where they lie, written whole or not at all, set aside when damaged, known by checksums."""

import contextlib
import functools
import hashlib
import os
import sys
import traceback
import uuid
import warnings
from pathlib import Path


def cache():
    """The folder of what can be had again, such as downloads: $KIT_CACHE, else ~/.cache/kit."""
    return Path(os.environ.get("KIT_CACHE") or "~/.cache/kit").expanduser()


def runs():
    """The folder of finished fits: $KIT_RUNS, else `runs` under the current folder."""
    return Path(os.environ.get("KIT_RUNS") or "runs")


@contextlib.contextmanager
def writing(path, mode="wb", **options):
    """A file, opened as by `open`, that takes its place at `path` once it is whole; else nothing is left."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with part.open(mode.replace("w", "x"), **options) as file:
            yield file
        keep(part, path)
    finally:
        part.unlink(missing_ok=True)


def continued(part, start):
    """The file `part`, open to be written on from its byte `start`: for what may break off and go on later."""
    part.parent.mkdir(parents=True, exist_ok=True)
    return part.open("ab" if start else "wb")


def keep(part, path):
    """Give a file that is whole its name."""
    os.replace(part, path)


def set_aside(path, fault, then):
    """Rename a damaged file, with a warning that names the fault and says what happens `then`."""
    aside = path.with_name(f"{path.name}.damaged")
    os.replace(path, aside)
    fault = str(fault).partition("\n")[0] or type(fault).__name__
    warn(f"{path} is damaged ({fault}); set aside as {aside.name}, {then}")


def warn(message):
    """Warn, naming the line that called the kit, whatever lies between."""
    called = [frame.f_code.co_filename for frame, _ in traceback.walk_stack(sys._getframe())]
    ours = [depth for depth, file in enumerate(called) if file.startswith(str(Path(__file__).parent))]
    warnings.warn(message, stacklevel=ours[-1] + 2)  # the caller of the outermost of ours


def checksum(content, like):
    """The hash of bytes, or of the file at a path, in the form and by the algorithm of `like`: "sha256:..."."""
    algorithm = like.partition(":")[0]
    new = functools.partial(hashlib.new, algorithm, usedforsecurity=False)
    if isinstance(content, Path):
        with content.open("rb") as file:
            return f"{algorithm}:{hashlib.file_digest(file, new).hexdigest()}"
    return f"{algorithm}:{new(content).hexdigest()}"
