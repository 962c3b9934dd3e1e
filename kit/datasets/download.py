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

from .. import __version__, files, progress
from . import cache
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


def keep(card):
    """Read a card's files in the cache, which keeps them; what is missing is downloaded: {split: Split}.

    A download that breaks off leaves a .part file, and the next one goes on from its end. A damaged file is set aside
    and said. Raises as `download` does.
    """
    folder = cache.folder(card)
    paths = [folder / file.name for file in card.files]
    if all(path.exists() for path in paths):
        try:
            splits, complaints = card.read(folder, card)
        except ValueError as error:
            complaints = [str(error)]
        if not complaints:
            return splits
        for path in paths:
            files.set_aside(path, "; ".join(complaints), "fetched anew")
    for file, path in zip(card.files, paths):
        if not path.exists():
            _resume(card, file, path)
    return card.read(folder, card)[0]


def _resume(card, file, path):
    """Download a file, from where an earlier download broke off; it is a .part until its hash is the official one."""
    address, part = card.address + file.name, path.with_name(f"{path.name}.part")
    done = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": f"course-kit/{__version__}"}  # Zenodo turns Python's own away
    try:
        request = urllib.request.Request(address, headers=headers | ({"Range": f"bytes={done}-"} if done else {}))
        with urllib.request.urlopen(request, timeout=ANSWER_WITHIN) as answer:
            done = done if answer.status == 206 else 0  # a server that sends no parts sends all of it
            _save(answer, part, done)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # nothing lies behind the part: it was whole already
            raise FileNotFoundError(f"{address} cannot be downloaded ({error}). {by_hand(card)}") from None
    except (OSError, http.client.HTTPException) as error:
        had = part.stat().st_size if part.exists() else 0
        how = f"broke off after {had:,} bytes, from where the next goes on" if had else "failed"
        reason = getattr(error, "reason", error)
        raise FileNotFoundError(f"the download of {address} {how} ({reason}). {by_hand(card)}") from None
    complaints = file.complaints(part)
    if complaints:
        part.unlink()
        wrong = complaints[0].replace(str(part), address)
        raise ValueError(f"the download of {card.name} is not the official one: {wrong}. {by_hand(card)}")
    files.keep(part, path)


def _save(answer, part, done):
    """Write what is sent behind the first `done` bytes of a file. Raises OSError where less comes than announced."""
    total = answer.length and done + answer.length  # None where the server does not say
    bar = progress.bar(total=total, initial=done, unit="B", unit_scale=True, desc=part.stem)
    with bar, files.continued(part, done) as content:
        while chunk := answer.read(2**20):
            content.write(chunk)
            bar.update(len(chunk))
        if total and content.tell() != total:
            raise OSError(f"{total:,} were announced")


def by_hand(card):
    """How to do without the download, in one line."""
    listed = ", ".join(f"{file.name} ({'unpacked, ' * file.name.endswith('.gz')}{file.hash})" for file in card.files)
    where = f"{data_folder(card)}, KIT_DATA being any folder{card.instead}"
    return f"By hand: put {listed} from {card.address} into {where}"


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
                files.keep(manager.download(address), folder / file.name)
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
