"""GlaS (Warwick-QU): glands in stained sections of the colon, read from the folder that its makers hand out.

The set is for research only: its user fetches and unpacks it, and the kit neither downloads nor keeps it.
"""

import re

import numpy as np
from PIL import Image

from . import tables
from .card import data_folder
from .dataset import Split
from .pictures import opened
from .synthetic import glands

FILES = {"train": "train", "test": "testA", "test_b": "testB"}  # a split, and how its files' names begin
GRADES = ("benign", "malignant")
_SIZE = (775, 522)  # pixels, of nine in ten of the official images; the others are smaller


def read(folder, card):
    """Read the official folder: images, masks and the table of grades, as `Card.read` says.

    Every image is averaged down to the card's size by area, its mask taken from the nearest pixels: x uint8
    (n, s, s, 3); y uint8 (n, s, s, 1), 1 where the mask has any gland's number and 0 elsewhere. The proportions change:
    the official images are half as wide again as high. In the order of the numbers in the files' names.

    The makers publish no hashes. What is checked: that the folder holds the official files, all of them and no others;
    that each mask fits its image and has both values, as all the official ones do; that each image has a grade; and,
    with a complaint, that most images have the official 775x522 pixels. An origin "real" means this and no more.

    Raises FileNotFoundError for what is not there, and ValueError for what is not as it should be.
    """
    _read_grades(folder, card)
    splits, shapes = {}, []
    for split, names in _names(card).items():
        x, y, of = zip(*(_small(folder, name, card.image_shape[0]) for name in names))  # one at a time: they are large
        splits[split] = Split(np.stack(x), np.stack(y)[..., None])
        shapes += of
    width, height = _SIZE
    others = sum(shape != (height, width) for shape in shapes)
    complaint = f"{others} of {len(shapes)} images in {folder} are not of the official {width}x{height} pixels"
    return splits, [complaint] * (others >= len(shapes) / 2)


def grades(data):
    """Which images are benign and which malignant: {split: array of these words (n,)}, in the order of the images.

    data: a Dataset of glas: of a real one the folder's table is read again. `hold_out` and `take` change the images of
        "train" and their order; there is no entry for it where they have left fewer than were loaded.
    """
    found = glands.grades() if data.origin == "synthetic" else _read_grades(data_folder(data.card), data.card)
    splits = {"train": data.train, "test": data.test, **data.extra}
    return {name: grade for name, grade in found.items() if len(grade) == len(splits[name].x)}


def stains(data):
    """The two stains in place of the colours: x float32 (n, s, s, 2), how much haematoxylin and how much eosin.

    Colour deconvolution (Ruifrok and Johnston, 2001) by `skimage.color.rgb2hed`, whose third stain, DAB, these sections
    do not have. `stains(data).standardized()` is the report's input of two channels. Raises ValueError for images that
    are not RGB as loaded.
    """
    from skimage.color import rgb2hed

    x = data.train.x
    if x.dtype != np.uint8 or x.shape[-1] != 3:
        raise ValueError(f"images are {x.dtype} of {x.shape[-1]} channels; stains() takes them as loaded, RGB uint8")
    # An image at a time: rgb2hed makes several float64 copies of what it gets.
    return data.map(lambda x: np.stack([rgb2hed(image)[..., :2].astype(np.float32) for image in x]))


def _names(card):
    """Of each split, the names of its images, less ".bmp"."""
    return {split: [f"{FILES[split]}_{i}" for i in range(1, count + 1)] for split, count in card.counts.items()}


def _check_names(folder, card):
    """Raise where the folder does not hold the official files, all of them and no others."""
    names = _names(card)
    official = ", ".join(f"{of[0]}.bmp to {of[-1]}.bmp" for of in names.values())
    wanted = {"Grade.csv", *(f"{name}{mask}.bmp" for of in names.values() for name in of for mask in ("", "_anno"))}
    known = re.compile(r"Grade\.csv|(train|test[AB])_\d+(_anno)?\.bmp")
    found = {file.name for file in folder.glob("*") if known.fullmatch(file.name)}
    missing, surplus = sorted(wanted - found), sorted(found - wanted)
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {len(missing)} of the {len(wanted)} files of {card.name}, the first {missing[0]}: ask for "
            f"the set, which has no download, at {card.homepage} and put {official}, the mask of each "
            f"({names['train'][0]}_anno.bmp) and Grade.csv into it, KIT_DATA being any folder; or pass "
            'source="synthetic"'
        )
    if surplus:
        raise ValueError(f"{folder} holds {', '.join(surplus)}, no part of {card.name}: {official}")


def _read_grades(folder, card):
    """{split: array of words (n,)} from the table of a folder that holds all files."""
    _check_names(folder, card)
    path = folder / "Grade.csv"
    table = tables.read(path).rename(columns=str.lower)
    # The official table has the columns "name", "patient ID", "grade (GlaS)", and a finer grade of an earlier paper.
    at = next((head for head in table if head.startswith("grade")), None)
    if at is None or "name" not in table:
        raise ValueError(f"{path} has the columns {', '.join(table)}; it should have name and grade")
    known = dict(zip(table["name"], table[at]))
    for name in (name for of in _names(card).values() for name in of):
        if known.get(name) not in GRADES:
            raise ValueError(
                f"{path} gives {name} the grade {known[name]!r}; it should be {' or '.join(GRADES)}"
                if name in known
                else f"{path} has no row for {name}"
            )
    return {split: np.array([known[name] for name in of]) for split, of in _names(card).items()}


def _small(folder, name, side):
    """An image and its mask, 1 in the glands, made small, and the size that they had."""
    image_path, mask_path = folder / f"{name}.bmp", folder / f"{name}_anno.bmp"
    image, mask = _decode(image_path), _decode(mask_path)
    if image.shape != (*mask.shape, 3):
        raise ValueError(
            f"{image_path} is an array of {image.shape} and {mask_path.name} of {mask.shape}; they should be RGB "
            "(height, width, 3) and the same (height, width)"
        )
    if mask.min() > 0 or mask.max() == 0:
        raise ValueError(
            f"{mask_path} has the values {mask.min()} to {mask.max()}; it should have both background (0) and glands "
            "(from 1)"
        )
    return _averaged(image, side), _nearest(mask > 0, side), mask.shape


def _decode(path):
    """The numbers in an image file as they are: a mask's own, not the colours of its palette."""
    with opened(path) as image:
        return np.asarray(image)


def _averaged(image, side):
    """Resize an image (height, width, 3) to (side, side, 3), each pixel the mean of the area that it covers."""
    from skimage.transform import resize_local_mean

    return np.rint(resize_local_mean(image, (side, side, 3), preserve_range=True)).astype(np.uint8)


def _nearest(mask, side):
    """Resize a mask (height, width) to uint8 (side, side), by the pixel under the middle of each."""
    return np.asarray(Image.fromarray(mask.astype(np.uint8)).resize((side, side), Image.Resampling.NEAREST))
