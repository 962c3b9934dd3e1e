"""OrganAMNIST (MedMNIST v2): windows on CT slices of the abdomen, each about one organ; one .npz file an image size."""

import contextlib
import shutil
import zipfile
import zlib

import numpy as np

from .. import files
from . import cache
from .dataset import Split

KEYS = {"train": "train", "validation": "val", "test": "test"}  # a split, and how its arrays' names begin


def read(folder, card, mapped=False):
    """Read the official .npz file of a folder, as `Card.read` says: its splits "train", "validation" and "test".

    mapped: the images stay on disk and are read when they are used, so that loading takes next to no memory. For that
        they are unpacked once, into the cache, beside others of the same hash; the arrays cannot be written to.

    Raises FileNotFoundError for a missing file, and ValueError for one that is cut short, lacks an array, holds pickled
    objects, or does not fit the card.
    """
    (file,) = card.files
    path = folder / file.name
    if not path.is_file():
        raise FileNotFoundError(f"{folder} lacks {file.name}: fetch {card.address}{file.name} into it{card.instead}")
    found = files.checksum(path, file.hash)
    complaints = file.complaints(path, found)

    with _opened(path, card) as archive:
        headers = {name.removesuffix(".npy"): _header(archive, name) for name in archive.namelist()}
    _check(headers, path, card)
    with _opened(path, card) as archive:
        labels = {split: _load(archive, f"{key}_labels.npy")[:, 0].astype(np.int64) for split, key in KEYS.items()}
    for split, y in labels.items():
        wrong = y[(y < 0) | (y >= len(card.classes))]
        if len(wrong):
            raise ValueError(
                f"{path}: {KEYS[split]}_labels holds {wrong[0]}; those of {card.name} are 0 to {len(card.classes) - 1}"
            )
    unpacked = cache.folder(card) / f"{path.stem}-{found.partition(':')[2][:16]}"
    splits = {}
    with _opened(path, card) as archive:
        for split, key in KEYS.items():
            name = f"{key}_images.npy"
            x = _mapped(archive, name, unpacked) if mapped else _load(archive, name)
            splits[split] = Split(x[..., None], labels[split])
    return splits, complaints


@contextlib.contextmanager
def _opened(path, card):
    """The .npz file as an archive; what is wrong with the file as a whole is a ValueError."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        said = str(error).partition("\n")[0]
        raise ValueError(
            f"{path} is not a whole .npz file ({said}): fetch it again from {card.address}{path.name}"
        ) from None


def _header(archive, file):
    """Shape and dtype of an array in the archive, without its data."""
    with archive.open(file) as content:
        version = np.lib.format.read_magic(content)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(content)
    return shape, dtype


def _check(headers, path, card):
    """Raise where the arrays are not those of the card."""
    wanted = [f"{key}_{of}" for key in KEYS.values() for of in ("images", "labels")]
    missing = [name for name in wanted if name not in headers]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}; it holds {', '.join(headers) or 'nothing'}")
    for name in wanted:
        if headers[name][1].hasobject:
            raise ValueError(f"{path}: {name} holds pickled objects, which are not loaded; it should hold numbers")
    side = card.image_shape[0]
    for images, labels in zip(wanted[::2], wanted[1::2]):
        shape, dtype = headers[images]
        if dtype != np.uint8 or len(shape) != 3 or shape[1:] != (side, side) or not shape[0]:
            raise ValueError(f"{path}: {images} is {dtype} of {shape}; it should be uint8 of (n, {side}, {side})")
        labelled, dtype = headers[labels]
        if dtype.kind not in "iu" or labelled != (shape[0], 1):
            raise ValueError(
                f"{path}: {labels} is {dtype} of {labelled}; it should be whole numbers of ({shape[0]}, 1)"
            )


def _load(archive, file):
    with archive.open(file) as content:
        return np.lib.format.read_array(content, allow_pickle=False)


def _mapped(archive, file, folder):
    """The array as a read-only map of a copy in the folder, unpacked where it is missing or cut short."""
    unpacked = folder / file
    try:
        with contextlib.suppress(FileNotFoundError, ValueError):
            return np.asarray(np.load(unpacked, mmap_mode="r", allow_pickle=False))
        with files.writing(unpacked) as target, archive.open(file) as content:
            shutil.copyfileobj(content, target, 2**20)
        return np.asarray(np.load(unpacked, mmap_mode="r", allow_pickle=False))
    except OSError as error:
        files.warn(
            f"cannot unpack to {folder} ({error.strerror or error}), so the images are read into memory; set KIT_CACHE "
            "to a folder with room"
        )
        return _load(archive, file)
