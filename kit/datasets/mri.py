"""MRI slices that bear none, one, two or three labels: read from a folder that the user has, for the set is not public.

    $KIT_DATA/mri/
        train.csv         id,label1,label2,label3: a row an image, each label 0 or 1
        validation.csv    the same
        test.csv          id, or the same where the test labels are known
        train/            the images of train.csv, a file each: ID.png, ID.jpg or ID.npy
        validation/
        test/

An image is 64x64 pixels of uint8, grey (64, 64), (64, 64, 1) or of three channels (64, 64, 3). Ids are text; they need
be unique in their table only. Other columns of a table, and files in a folder that are no images, are passed over.
"""

import contextlib
import csv
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from .. import files, progress
from . import cache
from .card import data_folder
from .dataset import Split

LABELS = ("label1", "label2", "label3")
IMAGES = (".png", ".jpg", ".npy")
# What the report tells of its set, and so the only thing to know it by.
UNLABELLED, UNLABELLED_AMONG = 6_153, 12_000  # training images
SUPPORT, SUPPORT_AMONG = (1_447, 1_153, 684), 3_000  # of each label, among the validation images

_AT_A_TIME = 100  # images that a thread decodes before it asks for more


def read(folder, card):
    """Read the folder, as `Card.read` says: x uint8 (n, 64, 64, 3), grey repeated; y uint8 (n, 3) of 0 and 1.

    In the order of the tables' rows. The test split's y is None where its table has no labels. Decoded images are kept
    in the cache, known by the names, sizes and times of all files; other content is decoded anew.

    There are no hashes to compare with. A set is taken for the report's where it has as many images of each split, as
    many unlabelled ones to train with and as many of each label to validate on; anything else is a complaint. So "real"
    means no more than this.

    Raises FileNotFoundError for what is not there, and ValueError for what is not as it should be.
    """
    by_hand = (
        f"put train.csv and validation.csv ({','.join(('id', *LABELS))}), test.csv (id, or the same) and in train/, "
        f"validation/ and test/ an image for each row, ID{', ID'.join(IMAGES)}, into "
        f'{folder or f"$KIT_DATA/{card.folder}, KIT_DATA being any folder"}; or pass source="synthetic"'
    )
    if folder is None or not folder.is_dir():
        raise FileNotFoundError(f"{card.name} is not there, and is not public, so has no download: {by_hand}")
    for name in card.counts:
        for path in (folder / f"{name}.csv", folder / name):
            if not path.exists():
                raise FileNotFoundError(f"{path} is missing: {by_hand}")
    tables = {name: _table(folder / f"{name}.csv", labels_needed=name != "test") for name in card.counts}
    found = {name: _match(folder / name, ids) for name, (ids, _) in tables.items()}
    x = _decoded(found, card)
    splits = {name: Split(x[name], labels) for name, (_, labels) in tables.items()}
    return splits, _unlike_the_report(splits, card)


def write_submission(path, data, predicted):
    """Write predicted labels of the test images as a table in the form of train.csv: id,label1,label2,label3.

    path: file to write; one that is there is replaced.
    data: the Dataset of mri that was predicted on. Its test images are in the order of test.csv, whose ids are read
        again; synthetic ones, which have none, are numbered from 0.
    predicted: (n, 3) of 0 and 1 (or of False and True), a row a test image: probabilities compared with thresholds.

    Raises ValueError for another shape or other values, or where test.csv is not that of the data any more.
    """
    predicted, n = np.asarray(predicted), len(data.test.x)
    if predicted.shape != (n, len(LABELS)) or not np.isin(predicted, (0, 1)).all():
        raise ValueError(
            f"predicted is {predicted.dtype} of {predicted.shape}; it should be 0 and 1 of {(n, len(LABELS))}, "
            "such as `probabilities >= 0.5`"
        )
    if data.origin == "synthetic":
        ids = list(range(n))
    else:
        table = data_folder(data.card) / "test.csv"
        ids, _ = _table(table, labels_needed=False)
        ids = list(ids)[:n]  # the quick profile has but the first images
        if len(ids) < n:
            raise ValueError(f"{table} has {len(ids)} rows, and the data {n} test images: load the data again")
    with files.writing(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("id", *LABELS))
        writer.writerows((name, *row) for name, row in zip(ids, predicted.astype(int).tolist()))


def _table(path, labels_needed):
    """A table's ids, {id: line} in order, and its labels uint8 (n, 3) or None."""
    ids, labels = {}, []
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            heads = [head.strip() for head in next(reader, [])]
            wanted = LABELS if labels_needed or set(LABELS) & set(heads) else ()
            missing = [head for head in ("id", *wanted) if head not in heads]
            if missing:
                raise ValueError(
                    f"{path} lacks the column {', '.join(missing)}; it has {', '.join(heads) or 'nothing'}"
                )
            at, columns = heads.index("id"), [heads.index(head) for head in wanted]
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                if not row:
                    continue
                if len(row) != len(heads):
                    raise ValueError(f"{where}: {len(row)} cells, where the first line has {len(heads)}")
                name = row[at].strip()
                if not name or name in ids:
                    reason = f"stands in line {ids[name]} already" if name else "is empty"
                    raise ValueError(f"{where}: the id {name!r} {reason}")
                ids[name] = reader.line_num
                values = [row[column].strip() for column in columns]
                for head, value in zip(wanted, values):
                    if value not in ("0", "1"):
                        raise ValueError(f"{where}: {head} of {name!r} is {value!r}; it should be 0 or 1")
                labels.append([value == "1" for value in values])
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no table of comma-separated text: {str(error).splitlines()[0]}") from None
    if not ids:
        raise ValueError(f"{path} has no rows")
    return ids, np.array(labels, np.uint8) if wanted else None


def _match(folder, ids):
    """The image files of a folder in the order of the ids, each as (path, size, time and time of any change)."""
    found = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            name, ending = os.path.splitext(entry.name)
            if ending.lower() not in IMAGES or name.startswith("."):
                continue
            if name in found:
                both = sorted([entry.name, os.path.basename(found[name][0])])
                raise ValueError(f"{folder} holds {' and '.join(both)}: one image an id")
            status = entry.stat()
            # The time of change too: an archive may give all files of two versions the same time and size.
            found[name] = entry.path, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    for name, line in ids.items():
        if name not in found:
            wanted = f"{name}{f', {name}'.join(IMAGES)}"
            raise FileNotFoundError(f"{folder}.csv, line {line}: {folder} holds none of {wanted}")
    surplus = sorted(found.keys() - ids.keys())
    if surplus:
        more = f" (and {len(surplus) - 1} more)" if len(surplus) > 1 else ""
        raise ValueError(f"{found[surplus[0]][0]}{more} is not in {folder}.csv: no row has the id {surplus[0]!r}")
    return [found[name] for name in ids]


def _decoded(found, card):
    """The images {split: x}, from the cache where it has those of these very files, else decoded and kept there."""
    key = hashlib.sha256(repr(found).encode()).hexdigest()[:16]
    counts = {name: len(listed) for name, listed in found.items()}
    kept = replace(card, name=f"{card.name}-{key}", counts=counts)
    splits = cache.read(kept)
    if splits is None:
        images = _decode([path for listed in found.values() for path, *_ in listed], card)
        parts = np.split(images, np.cumsum(list(counts.values()))[:-1])
        # Images only: labels are read from the tables each time.
        splits = {name: Split(x, np.empty((len(x), 0), np.uint8)) for name, x in zip(found, parts)}
        cache.write(kept, splits)
        file = cache.path(kept)
        for older in file.parent.glob(file.name.replace(key, "?" * len(key))):
            if older != file:
                with contextlib.suppress(OSError):  # in use, on Windows
                    older.unlink()
    return {name: x for name, (x, _) in splits.items()}


def _decode(paths, card):
    """Images uint8 (n, height, width, 3), with a progress bar where someone looks on."""
    x = np.empty((len(paths), *card.image_shape), np.uint8)

    def decode_some(start):
        for i, path in enumerate(paths[start : start + _AT_A_TIME], start):
            x[i] = _image(path, card.image_shape)
        return i + 1 - start

    with (
        progress.bar(total=len(paths), desc=card.title, unit="image") as bar,
        ThreadPoolExecutor() as threads,
    ):
        for done in threads.map(decode_some, range(0, len(paths), _AT_A_TIME)):
            bar.update(done)
    return x


def _image(path, shape):
    """A file's image, (height, width, 3) or (height, width, 1)."""
    from PIL import Image

    try:
        with open(path, "rb") as file:
            if path.lower().endswith(".npy"):
                image = np.lib.format.read_array(file, allow_pickle=False)
            else:
                with Image.open(file) as opened:
                    # A palette's numbers are no brightness, and single bits no uint8.
                    image = np.asarray(opened.convert("RGB") if opened.mode in ("P", "1") else opened)
    except (ValueError, SyntaxError, EOFError, OSError, MemoryError, Image.DecompressionBombError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} cannot be read as an image: {reason}") from None
    height, width, channels = shape
    if image.dtype != np.uint8 or image.shape not in ((height, width), (height, width, 1), shape):
        raise ValueError(
            f"{path} is {image.dtype} of {image.shape}; it should be uint8 of {height}x{width} pixels, grey or of "
            f"{channels} channels"
        )
    return image if image.ndim == 3 else image[..., None]


def _unlike_the_report(splits, card):
    """Sentences on what is otherwise than in the report."""
    compared = [
        (f"{name} has {len(splits[name].x)} images", len(splits[name].x), count) for name, count in card.counts.items()
    ]
    unlabelled = int((~splits["train"].y.any(axis=1)).sum())
    compared.append((f"{unlabelled} training images bear no label", unlabelled, UNLABELLED))
    for label, found, reported in zip(LABELS, splits["validation"].y.sum(axis=0).tolist(), SUPPORT):
        compared.append((f"{found} validation images bear {label}", found, reported))
    return [f"{said}, the report's {reported}" for said, found, reported in compared if found != reported]
