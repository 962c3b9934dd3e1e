"""Keeps what was downloaded: one uncompressed .npz file a dataset, read with NumPy alone."""

import os
import tempfile
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np

from .dataset import Split


def root():
    """$KIT_CACHE, else ~/.cache/kit."""
    return Path(os.environ.get("KIT_CACHE") or "~/.cache/kit").expanduser()


def path(card):
    """The card's file."""
    return root() / f"{card.name}_{card.image_shape[0]}.npz"


def folder(card):
    """The folder of a card whose own files are kept."""
    return root() / card.folder


def read(card):
    """The card's splits, or None where the cache has none. A damaged file is renamed and said, and gives None."""
    file = path(card)
    if not file.exists():
        return None
    try:
        with zipfile.ZipFile(file) as archive, np.load(file, allow_pickle=False) as arrays:
            if archive.testzip() is not None:  # NumPy alone checks no sums when a header lies about the shape
                raise ValueError("wrong checksum")
            splits = {name: Split(arrays[f"{name}_x"], arrays[f"{name}_y"]) for name in card.counts}
        for name, (x, y) in splits.items():
            if x.shape != (card.counts[name], *card.image_shape) or len(y) != len(x):
                raise ValueError(f"{name} images {x.shape}, labels {y.shape}")
        return splits
    except (OSError, EOFError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        aside = file.with_suffix(".damaged")
        os.replace(file, aside)
        reason = str(error).partition("\n")[0] or type(error).__name__
        warnings.warn(f"the cached {file} is damaged ({reason}); moved to {aside.name}, fetching anew", stacklevel=4)
        return None


def write(card, splits):
    """Keep the splits: written under a temporary name and renamed when whole. Where that fails, only a warning."""
    file = path(card)
    temporary = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f"{file.stem}-", suffix=".part", delete=False) as part:
            temporary = Path(part.name)
            np.savez(part, **{f"{name}_{of}": getattr(split, of) for name, split in splits.items() for of in "xy"})
        os.replace(temporary, file)
    except OSError as error:
        warnings.warn(
            f"{card.name} is loaded but not kept: cannot write {file} ({error.strerror or error}); set "
            f"KIT_CACHE to a folder with room",
            stacklevel=4,
        )
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
