"""The official download, by the download manager of TensorFlow Datasets.

The manager alone, not `tfds.load`: it knows the SHA-256 of the official gzip files and refuses others, needs no
TensorFlow, and leaves the images in their official order, which `tfds.load` shuffles.
"""

import http.client
import os
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from .card import data_folder

ANSWER_WITHIN = 8  # seconds


def download(card):
    """Fetch and read a dataset's official files: {split: Split}. Leaves nothing behind.

    Raises FileNotFoundError, saying how to put the files there by hand, where they cannot be had, and ValueError where
    what came is not what the dataset's makers published.
    """
    _knock(card)
    with tempfile.TemporaryDirectory(prefix="kit-", ignore_cleanup_errors=True) as folder:
        _fetch(card, Path(folder))
        try:
            splits, complaints = card.read(Path(folder), card)
        except ValueError as error:
            complaints = [str(error)]
    if complaints:
        wrong = "; ".join(complaints).replace(folder + os.sep, card.address)
        raise ValueError(f"the download of {card.name} is not the official one: {wrong}. {by_hand(card)}")
    return splits


def by_hand(card):
    """How to do without the download, in one line."""
    files = ", ".join(f"{file.name} (unpacked, {file.hash})" for file in card.files)
    folder = data_folder(card) or f"$KIT_DATA/{card.folder}, KIT_DATA being any folder"
    return f'By hand: put {files} from {card.address} into {folder}; or pass source="drawn"'


def _knock(card):
    """Ask whether the first file is there: without a network the manager itself would try for minutes."""
    request = urllib.request.Request(card.address + card.files[0].name, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=ANSWER_WITHIN).close()
    except (OSError, http.client.HTTPException) as error:  # no network, no such host, no answer in time, 404
        reason = error if isinstance(error, urllib.error.HTTPError) else getattr(error, "reason", error)
        raise FileNotFoundError(
            f"{card.name} cannot be downloaded from {request.full_url} ({reason}). {by_hand(card)}"
        ) from None


def _fetch(card, folder):
    """Download the card's files into the folder under their official names."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
    from tensorflow_datasets.core.utils import tqdm_utils

    shown = tqdm_utils._active  # TFDS has no public way to ask, and a user may have switched its bars off
    tfds.display_progress_bar(False)
    try:
        manager = tfds.download.DownloadManager(download_dir=folder / "tfds")
        for file in card.files:
            address = card.address + file.name
            try:
                Path(manager.download(address)).replace(folder / file.name)
            except NonMatchingChecksumError:
                raise ValueError(
                    f"{address} came with a wrong SHA-256: it is not the official file, or was damaged on "
                    f"the way. {by_hand(card)}"
                ) from None
            except (OSError, tfds.download.DownloadError) as error:
                reason = str(error).partition("\n")[0]
                raise FileNotFoundError(f"the download of {address} failed ({reason}). {by_hand(card)}") from None
    finally:
        tfds.display_progress_bar(shown)
