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
import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from .. import files
from . import cache, tables
from .card import data_folder
from .dataset import Split
from .pictures import decoded, opened, reading

LABELS = ("label1", "label2", "label3")
IMAGES = (".png", ".jpg", ".npy")
# What the report tells of its set, and so the only thing to know it by.
UNLABELLED, UNLABELLED_AMONG = 6_153, 12_000  # training images
SUPPORT, SUPPORT_AMONG = (1_447, 1_153, 684), 3_000  # of each label, among the validation images


def read(folder, card):
    """Read the folder, as `Card.read` says: x uint8 (n, 64, 64, 3), grey repeated; y uint8 (n, 3) of 0 and 1.

    In the order of the tables' rows. The test split's y is None where its table has no labels. Decoded images are kept
    in the cache, known by the names, sizes and times of all files; other content is decoded anew.

    There are no hashes to compare with. A set is taken for the report's where it has as many images of each split, as
    many unlabelled ones to train with and as many of each label to validate on; anything else is a complaint. So "real"
    means no more than this.

    Raises FileNotFoundError for what is not there, and ValueError for what is not as it should be.
    """
    for path in (folder / f"{name}{ending}" for name in card.counts for ending in (".csv", "")):
        if not path.exists():
            raise FileNotFoundError(
                f"{path} is missing, and {card.name} is not public, so has no download: put train.csv and "
                f"validation.csv ({','.join(('id', *LABELS))}), test.csv (id, or the same) and in train/, validation/ "
                f"and test/ an image for each row, ID{', ID'.join(IMAGES)}, into {folder}, KIT_DATA being any folder; "
                'or pass source="synthetic"'
            )
    rows = {name: _table(folder / f"{name}.csv", labels_needed=name != "test") for name in card.counts}
    x = _decoded({name: _match(folder / name, ids) for name, (ids, _) in rows.items()}, card)
    splits = {name: Split(x[name], labels) for name, (_, labels) in rows.items()}
    return splits, _unlike_the_report(splits, card)


def write_submission(path, data, predicted):
    """Write predicted labels of the test images as a table in the form of train.csv: id,label1,label2,label3.

    path: file to write; one that is there is replaced.
    data: the Dataset of mri that was predicted on. Its test images are in the order of test.csv, whose ids are read
        again; synthetic ones, which have none, are numbered from 0.
    predicted: (n, 3) of 0 and 1 (or of False and True), a row a test image: probabilities compared with thresholds.

    Raises ValueError for another shape or other values, or where test.csv is not that of the data any more.
    """
    import pandas as pd

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
        ids = list(_table(table, labels_needed=False)[0])[:n]  # the quick profile has but the first images
        if len(ids) < n:
            raise ValueError(f"{table} has {len(ids)} rows, and the data {n} test images: load the data again")
    table = pd.DataFrame(predicted.astype(int), pd.Index(ids, name="id"), LABELS)
    with files.writing(path) as file:
        table.to_csv(file, lineterminator="\n")


def _table(path, labels_needed):
    """A table's ids, {id: line} in order, and its labels uint8 (n, 3) or None."""
    table = tables.read(path)
    heads = list(table)
    wanted = list(LABELS) if labels_needed or set(LABELS) & set(heads) else []
    wrong = [head for head in ("id", *wanted) if heads.count(head) != 1]
    if wrong:
        raise ValueError(f"{path} should have one column each of {', '.join(wrong)}; it has {', '.join(heads)}")
    tables.refuse(path, table, table["id"] == "", "should have an id")
    tables.refuse(path, table, table["id"].duplicated(), "should have an id that is not in a line above")
    for label in wanted:
        tables.refuse(path, table, ~table[label].isin(["0", "1"]), f"should have 0 or 1 as {label}")
    return dict(zip(table["id"], table.index)), (table[wanted] == "1").to_numpy(np.uint8) if wanted else None


def _match(folder, ids):
    """The image files of a folder in the order of the ids, each as (path, size, time and time of any change)."""
    found = {}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in IMAGES and not file.name.startswith("."):
            if file.stem in found:
                raise ValueError(f"{folder} holds {Path(found[file.stem][0]).name} and {file.name}: one image an id")
            status = file.stat()
            # The time of change too: an archive may give all files of two versions the same time and size.
            found[file.stem] = str(file), status.st_size, status.st_mtime_ns, status.st_ctime_ns
    missing = [name for name in ids if name not in found]
    if missing:
        raise FileNotFoundError(
            f"{folder}.csv, line {ids[missing[0]]}: {folder} holds none of "
            f"{', '.join(missing[0] + ending for ending in IMAGES)}"
        )
    surplus = sorted(found.keys() - ids.keys())
    if surplus:
        raise ValueError(
            f"{found[surplus[0]][0]} is not in {folder}.csv: no row has the id {surplus[0]!r} ({len(surplus)} such "
            "images)"
        )
    return [found[name] for name in ids]


def _decoded(found, card):
    """The images {split: x}, from the cache where it has those of these very files, else decoded and kept there."""
    key = hashlib.sha256(repr(found).encode()).hexdigest()[:16]
    counts = {name: len(listed) for name, listed in found.items()}
    kept = replace(card, name=f"{card.name}-{key}", counts=counts)
    splits = cache.read(kept)
    if splits is None:
        # Images only: labels are read from the tables each time.
        splits = {
            name: Split(_decode([path for path, *_ in listed], card), np.empty((len(listed), 0), np.uint8))
            for name, listed in found.items()
        }
        cache.write(kept, splits)
        file = cache.path(kept)
        for older in {*file.parent.glob(file.name.replace(key, "?" * len(key)))} - {file}:
            with contextlib.suppress(OSError):  # in use, on Windows
                older.unlink()
    return {name: x for name, (x, _) in splits.items()}


def _decode(paths, card):
    """Images uint8 (n, height, width, 3), with a progress bar where someone looks on."""
    x = np.empty((len(paths), *card.image_shape), np.uint8)
    for i, image in enumerate(decoded(partial(_image, shape=card.image_shape), paths, card.title)):
        x[i] = image
    return x


def _image(path, shape):
    """A file's image, (height, width, 3) or (height, width, 1)."""
    path = Path(path)
    if path.suffix.lower() == ".npy":
        with reading(path):
            image = np.asarray(np.load(path, allow_pickle=False))
    else:
        with opened(path) as picture:
            # A palette's numbers are no brightness, and single bits no uint8.
            image = np.asarray(picture.convert("RGB") if picture.mode in ("P", "1") else picture)
    if image.dtype != np.uint8 or image.shape not in (shape, shape[:2], (*shape[:2], 1)):
        raise ValueError(f"{path} is {image.dtype} of {image.shape}; it should be uint8 of {shape}, or grey")
    return image if image.ndim == 3 else image[..., None]


def _unlike_the_report(splits, card):
    """Sentences on what is otherwise than in the report."""
    unlabelled = int((~splits["train"].y.any(axis=1)).sum())
    borne = splits["validation"].y.sum(axis=0).tolist()
    compared = [
        *((f"{name} has {{}} images", len(splits[name].x), count) for name, count in card.counts.items()),
        ("{} training images bear no label", unlabelled, UNLABELLED),
        *((f"{{}} validation images bear {label}", *counts) for label, *counts in zip(LABELS, borne, SUPPORT)),
    ]
    return [f"{said.format(found)}, the report's {count}" for said, found, count in compared if found != count]
