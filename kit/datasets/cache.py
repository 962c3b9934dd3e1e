"""Keeps what was downloaded: one uncompressed .npz file a dataset, read with NumPy alone."""

import zipfile
import zlib

import numpy as np

from .. import files
from .dataset import Split


def path(card):
    """The card's file."""
    return files.cache() / f"{'_'.join(map(str, (card.name, *card.image_shape[:1])))}.npz"


def folder(card):
    """The folder of a card whose own files are kept."""
    return files.cache() / card.folder


def read(card):
    """The card's splits, or None where the cache has none. A damaged file is set aside and said, and gives None."""
    file = path(card)
    if not file.exists():
        return None
    try:
        with zipfile.ZipFile(file) as archive, np.load(file, allow_pickle=False) as arrays:
            if archive.testzip() is not None:  # NumPy alone checks no sums when a header lies about the shape
                raise ValueError("wrong checksum")
            names = card.counts or {name[:-2]: len(array) for name, array in arrays.items()}
            splits = {name: Split(arrays[f"{name}_x"], arrays.get(f"{name}_y")) for name in names}
        for name, (x, y) in splits.items():
            if x.shape != (names[name], *(card.image_shape or x.shape[1:])) or (y is not None and len(y) != len(x)):
                raise ValueError(f"{name} images {x.shape}, labels {np.shape(y)}")
        return splits
    except (OSError, EOFError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        files.set_aside(file, error, "made anew")
        return None


def write(card, splits):
    """Keep the splits. Where that fails, only a warning."""
    file = path(card)
    try:
        with files.writing(file) as part:
            arrays = {f"{name}_{of}": array for name, split in splits.items() for of, array in zip("xy", split)}
            np.savez(part, **{name: array for name, array in arrays.items() if array is not None})
    except OSError as error:
        files.warn(
            f"{card.name} is loaded but not kept: cannot write {file} ({error.strerror or error}); set "
            f"KIT_CACHE to a folder with room"
        )
