"""Where a dataset comes from: a folder of the user's, the cache, the official download, or code that makes it up."""

import os

from threadpoolctl import threadpool_limits

from .. import files
from . import cache
from .card import data_folder
from .dataset import Dataset
from .download import download, keep
from .registry import find

SOURCES = ("real", "synthetic")


def resolve(source=None):
    """The source given, else $KIT_SOURCE, else "real". ValueError unless it is "real" or "synthetic"."""
    given = "source" if source is not None else "KIT_SOURCE"
    source = source if source is not None else os.environ.get("KIT_SOURCE") or "real"
    if source not in SOURCES:
        renamed = '; "drawn" is called "synthetic" now' if source == "drawn" else ""
        raise ValueError(f"{given} is {source!r}; it should be {' or '.join(SOURCES)}{renamed}")
    return source


def load(name, *, source=None, image_size=None):
    """Load a dataset.

    name: one of `names()`, or a `Card` of one's own.
    source: "real": the dataset's folder in `$KIT_DATA` (`fashion-mnist` for fashion_mnist), which wins and must then be
        whole; else the cache in `$KIT_CACHE` (~/.cache/kit); else the official download, which is kept in the cache.
        A set without a download (glas, mri) has the folder alone.
        "synthetic": a stand-in made by code, a fifth of the size (organamnist: a tenth; glas, mri: all of it), the same
        at each call. By default `$KIT_SOURCE`, else "real". One is never given for the other.
    image_size: pixels a side, for a dataset that comes in several sizes; by default its first. The real images of
        organamnist at 128 stay on disk, as a read-only memory map.

    Returns a `Dataset`, its images uint8 with channels last. Raises ValueError for an unknown name, source or size and
    for bad data, FileNotFoundError for real data that cannot be had; the message says how to put it there by hand.
    Warns where a local file is not the official one, and calls the origin "real, unverified".
    """
    card = find(name, image_size)
    source = resolve(source)
    if (card.generate if source == "synthetic" else card.read) is None:
        raise ValueError(f"{card.name} has no {source} images: its card gives no way to have them")
    splits, origin = (_generated(card), "synthetic") if source == "synthetic" else _real(card)
    return Dataset(
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits["test"],
        classes=card.classes,
        task=card.task,
        card=card,
        origin=origin,
        extra={name: split for name, split in splits.items() if name not in ("train", "validation", "test")},
    )


def _generated(card):
    """The stand-in's splits, the same on every machine: how a product of matrices is shared out moves its last bits.

    The matrices are small, so that threads would only wait for each other.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        return card.generate()


def _real(card):
    folder = data_folder(card)
    if not card.address or folder.exists():  # `read` says what is missing
        splits, complaints = card.read(folder, card)
        if complaints:
            files.warn(f"{card.name} is not verified: {'; '.join(complaints)}")
        return splits, "real, unverified" if complaints else "real"
    if card.keep:
        return keep(card), "real"
    splits = cache.read(card)
    if splits is None:
        splits = download(card)
        cache.write(card, splits)
    return splits, "real"
