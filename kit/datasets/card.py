"""What is known of a dataset before it is loaded."""

import gzip
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from .. import files


class File(NamedTuple):
    """An official file: its name, and the hash of its content, as "sha256:..." or "md5:...".

    The content of a file named NAME.gz is what it unpacks to, for the packed bytes differ from packer to packer; that
    of any other, an archive or not, is its bytes.
    """

    name: str
    hash: str

    def complaints(self, path, found=None):
        """[] where the file at `path` is the official one; else a sentence on it. `found`: its hash, where known."""
        if found is None:
            packed = path.name.removesuffix(".part").endswith(".gz")
            found = files.checksum(gzip.decompress(path.read_bytes()) if packed else path, self.hash)
        return [f"{path} has the content {found}, not the official {self.hash}"] * (found != self.hash)


@dataclass(frozen=True, eq=False)
class Card:
    """One record a dataset (and image size, where it comes in several). For `load` its `read` or `generate` is needed.

    name: what `load` takes. title: what a figure's heading says.
    task: "multiclass", "multilabel" or "segmentation".
    classes: names of the classes or labels, in the order of their numbers.
    image_shape: (height, width, channels).
    counts: number of images of each split of the real set.
    folder: where `$KIT_DATA` holds the dataset's files. address: where its files are downloaded from, ending in "/";
        "" for a set that its user must fetch by hand.
    files: the official files, in the order in which `read` wants them.
    read: `read(folder, card)` gives ({split: Split}, complaints), at least "train" and "test"; a complaint is a
        sentence about a file whose hash is not the official one (`File.complaints`), and makes the origin "real,
        unverified". Anything else that is wrong is an error.
    generate: `generate()` gives {split: Split}, the stand-in; None for a set without one.
    keep: the cache keeps the files themselves, and a download that broke off is resumed: for large ones.
    """

    name: str
    title: str
    task: str = "multiclass"
    classes: tuple[str, ...] = ()
    image_shape: tuple[int, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    folder: str = ""
    address: str = ""
    files: tuple[File, ...] = ()
    read: Callable | None = None
    generate: Callable | None = None
    licence: str = ""
    citation: str = ""
    homepage: str = ""
    keep: bool = False

    @property
    def instead(self):
        """What to do without the real set, to end a message with: "" for a set without a stand-in."""
        return '; or pass source="synthetic"' * (self.generate is not None)


def data_folder(card):
    """The dataset's folder in `$KIT_DATA`, whether there or not; "$KIT_DATA/..." where KIT_DATA is not set."""
    return Path(os.environ.get("KIT_DATA") or "$KIT_DATA").expanduser() / card.folder
