"""One's own folder of pictures as a Dataset."""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from ..checks import whole
from . import tables
from .arrays import from_arrays
from .pictures import decoded, opened

PICTURES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
SPLITS = ("train", "validation", "test")


def from_folder(path, *, image_size, labels=None, masks=None, test=0.2, seed=0):
    """A Dataset of one's own pictures, its origin "own", in the order of their names or of the table.

    Subfolders `train` and `test` (and `validation`) are the splits, where there are both; else a random part is for
    testing. x is uint8 (n, image_size, image_size, 1) where all are grey, else of 3 channels; the pictures' proportions
    change. Hidden files and other kinds of file are passed over.

    path: the folder. Without labels and masks: a folder for each class in it (in each split), the classes its names.
    image_size: pixels a side, to which pictures are averaged down (Pillow's bilinear resize, which antialiases).
    labels: a table of comma-separated text with a head: a picture's name in `path` ("train/1.png"), then either one
        column, its class, or several of 0 and 1, its labels. Pictures that are not in it are passed over.
    masks: a folder of masks named as their pictures, or how a mask beside its picture is named, such as "{}_anno.bmp".
        A mask has the size of its picture and one number a pixel, whose values in their order are the classes.
    test: the share of the pictures for testing, drawn by `seed`; by class where each has one.

    Raises ValueError, in one line that names the file, for what is not as it should be: an unreadable or huge picture,
    no regular file, a link that leads out of the folder, a missing mask.
    """
    side, title = whole("image_size", image_size, 1), Path(path).resolve().name
    if labels is not None and masks is not None:
        raise ValueError(f"labels={labels!r} and masks={masks!r}; it must be one of them, or neither")
    found, by_class = _pictures(path), labels is None and masks is None
    split = [(Path(path) / name).is_dir() for name in ("train", "test")]
    if any(split) and not all(split):
        raise ValueError(f"{path} has one of the folders train and test; it should have both or neither")
    if masks is not None:
        found, y, classes = _masks(found, path, masks, side)
    elif labels is not None:
        found, y, classes = _table(found, path, Path(labels))
    of = np.array([name.partition("/")[0] if split[0] else "train" for name in found])
    stray = [name for name, one in zip(found, of) if one not in SPLITS or name.count("/") < split[0] + by_class]
    if stray or not found:
        where = [f"one of the folders {', '.join(SPLITS)}"] * split[0] + ["a folder of its class"] * by_class
        fault = f"{stray[0]} is elsewhere" if stray else "there is none"
        right = ", each in ".join(["pictures with labels", *where])
        raise ValueError(f"{path} should hold {right} ({' '.join(PICTURES)}); {fault}")
    if by_class:
        y, classes = [name.split("/")[split[0]] for name in found], None
    x, y = np.stack(np.broadcast_arrays(*decoded(partial(_image, side), list(found.values()), title))), np.array(y)
    if split[0]:
        pairs = {name: (x[of == name], y[of == name]) for name in SPLITS if name != "validation" or name in of}
        return from_arrays(**pairs, classes=classes, title=title)
    data = from_arrays((x, y), (x, y), classes=classes, title=title)
    data = data.hold_out(test, seed, stratify=data.task == "multiclass")
    return replace(data, validation=None, test=data.validation)


def _pictures(folder):
    """The pictures in a folder and below it, {name: path}, sorted."""
    root, found = Path(os.path.realpath(folder)), {}
    if not root.is_dir():
        raise FileNotFoundError(f"{folder} is no folder; it should be one of pictures")
    for file in sorted(root.rglob("*")):
        name = file.relative_to(root)
        if any(part.startswith(".") for part in name.parts):
            continue
        if file.is_symlink() and (file.is_dir() or not Path(os.path.realpath(file)).is_relative_to(root)):
            raise ValueError(f"{file} is a link to a folder or out of {folder}: put the pictures themselves there")
        if file.suffix.lower() in PICTURES and not file.is_dir():
            found[name.as_posix()] = file
    return found


def _table(found, path, file):
    """The pictures in a table {name: path}, their labels, and the labels' names where they are several."""
    table = tables.read(file)
    names, columns = table.iloc[:, 0], table.iloc[:, 1:]
    if columns.empty:
        raise ValueError(f"{file} has the column {table.columns[0]} alone; it should have a class or labels behind it")
    tables.refuse(file, table, ~names.isin(list(found)), f"should begin with the name of a picture in {path}")
    tables.refuse(file, table, names.duplicated(), "should begin with a name that is not in a line above")
    found = {name: found[name] for name in names}
    if columns.shape[1] == 1:
        tables.refuse(file, table, columns.iloc[:, 0] == "", "should have a class")
        return found, columns.iloc[:, 0].tolist(), None
    tables.refuse(file, table, ~columns.isin(["0", "1"]).all(axis=1), "should have a 0 or 1 for each label")
    return found, columns == "1", list(columns)


def _masks(found, path, masks, side):
    """The pictures that are no masks {name: path}, their masks as class numbers (n, side, side), and the values."""
    beside, known = "{}" in str(masks), {}
    pattern = PurePosixPath(masks).stem if beside else "{}"
    for name, file in (found if beside else _pictures(masks)).items():
        other = known.setdefault(PurePosixPath(name).with_suffix(""), file)
        if other != file:
            raise ValueError(f"{file} and {other.name} may both be a mask: keep one")
    stems = {name: PurePosixPath(name).with_suffix("") for name in found}
    of = {name: known.get(stem.with_name(pattern.format(stem.name))) for name, stem in stems.items()}
    pairs = {name: (file, of[name]) for name, file in found.items() if file not in of.values()}
    lacking = [file for file, mask in pairs.values() if mask is None]
    if lacking:
        raise ValueError(f"{lacking[0]} and {len(lacking) - 1} more have no mask; masks={str(masks)!r} should name it")
    y = list(decoded(partial(_mask, side), list(pairs.values()), f"masks of {path}"))
    values, y = np.unique(np.array(y), return_inverse=True)
    return {name: file for name, (file, _) in pairs.items()}, y.reshape(-1, side, side), values.astype(str)


def _image(side, file):
    """A picture (side, side, 1), or in colour (side, side, 3)."""
    with opened(file) as image:
        if image.mode[0] in "IF":
            raise ValueError(f"its pixels are of mode {image.mode}; they should have 8 bits a channel")
        image = image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")
        return np.atleast_3d(image.resize((side, side), Image.Resampling.BILINEAR))


def _mask(side, pair):
    """A mask's numbers (side, side), each that of the pixel under its middle."""
    with opened(pair[0]) as image:
        size = image.size
    with opened(pair[1]) as mask:
        if mask.size != size or mask.mode not in ("1", "L", "P", "I", "I;16") or mask.format == "JPEG":
            raise ValueError(
                f"it is a {mask.format} of {mask.size} pixels, mode {mask.mode}; a mask of {pair[0].name} should be of "
                f"{size}, with one number a pixel, and no JPEG, which blurs"
            )
        return np.asarray(mask.resize((side, side), Image.Resampling.NEAREST))
