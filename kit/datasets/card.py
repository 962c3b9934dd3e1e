"""What is known of a dataset before it is loaded."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class File(NamedTuple):
    """An official file: its name, and the hash of its content once unpacked, as "sha256:..." or "md5:..."."""

    name: str
    hash: str


@dataclass(frozen=True, eq=False)
class Card:
    """One record a dataset (and image size, where it comes in several).

    name: what `load` takes. title: what a figure's heading says.
    task: "multiclass", "multilabel" or "segmentation".
    classes: names of the classes or labels, in the order of their numbers.
    image_shape: (height, width, channels).
    counts: number of images of each split of the real set.
    folder: where `$KIT_DATA` holds the dataset's files. address: where its files are downloaded from, ending in "/";
        "" for a set that its user must fetch by hand.
    files: the official files, in the order in which `read` wants them.
    read: `read(folder, card)` gives ({split: Split}, complaints); a complaint is a sentence about a file whose hash is
        not the official one. Anything else that is wrong is an error.
    generate: `generate()` gives {split: Split}, the stand-in.
    keep: the cache keeps the files themselves, and a download that broke off is resumed: for large ones.
    """

    name: str
    title: str
    task: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    counts: dict[str, int]
    folder: str
    address: str
    files: tuple[File, ...]
    read: Callable
    generate: Callable
    licence: str
    citation: str
    homepage: str
    keep: bool = False


def data_folder(card):
    """The dataset's folder in `$KIT_DATA`, whether there or not; None where KIT_DATA is not set."""
    root = os.environ.get("KIT_DATA")
    return Path(root).expanduser() / card.folder if root else None
