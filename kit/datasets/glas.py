"""GlaS (Warwick-QU): glands in stained sections of the colon, read from the folder that its makers hand out.

The set is for research only: its user fetches and unpacks it, and the kit neither downloads nor keeps it.
"""

import csv
import io
import re

import numpy as np

from .card import data_folder
from .dataset import Split
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
    _check_names(folder, card)
    _read_grades(folder, card)
    splits, official = {}, 0
    for split, names in _names(card).items():
        x, y = [], []
        for name in names:
            image, mask = _pair(folder / f"{name}.bmp", folder / f"{name}_anno.bmp")
            official += image.shape[1::-1] == _SIZE
            x.append(_averaged(image, card.image_shape[0]))
            y.append(_nearest(mask, card.image_shape[0]))
        splits[split] = Split(np.stack(x), np.stack(y)[..., None])
    count = sum(card.counts.values())
    if official <= count / 2:
        width, height = _SIZE
        return splits, [
            f"{count - official} of {count} images in {folder} are not of the official {width}x{height} pixels"
        ]
    return splits, []


def grades(data):
    """Which images are benign and which malignant: {split: array of these words (n,)}, in the order of the images.

    data: a Dataset of glas: of a real one the folder's table is read again. `hold_out` and `take` change the images of
        "train" and their order; there is no entry for it where they have left fewer than were loaded.
    """
    if data.origin == "synthetic":
        found = glands.grades()
    else:
        folder = data_folder(data.card)
        _check_names(folder, data.card)
        found = _read_grades(folder, data.card)
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
    """Raise where the folder does not hold the official files; folder None is that of no $KIT_DATA."""
    names = _names(card)
    official = ", ".join(f"{of[0]}.bmp to {of[-1]}.bmp" for of in names.values())
    by_hand = (
        f"ask for it at {card.homepage} and put {official}, the mask of each ({names['train'][0]}_anno.bmp) and "
        f'Grade.csv into {folder or f"$KIT_DATA/{card.folder}, KIT_DATA being any folder"}; or pass source="synthetic"'
    )
    if folder is None or not folder.is_dir():
        raise FileNotFoundError(f"{card.name} is not there, and has no download: {by_hand}")
    found = {file.name for file in folder.iterdir() if re.fullmatch(r"(train|test[AB])_\d+(_anno)?\.bmp", file.name)}
    if not found:
        raise FileNotFoundError(f"{folder} holds no image of {card.name}: {by_hand}")
    again = 'unpack the set again, or pass source="synthetic"'
    pairs = {f"{name}.bmp": f"{name}_anno.bmp" for of in names.values() for name in of}
    for image, mask in pairs.items():
        for file, role in ((image, f"the image of {mask}"), (mask, f"the mask of {image}")):
            if file not in found:
                raise FileNotFoundError(f"{folder} lacks {file}, {role}: {again}")
    surplus = sorted(found - {*pairs, *pairs.values()})
    if surplus:
        raise ValueError(f"{folder} holds {', '.join(surplus)}, no part of {card.name}: {official}")


def _read_grades(folder, card):
    """{split: array of words (n,)} from the folder's table."""
    path = folder / "Grade.csv"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: it says which images are benign and which malignant")
    rows = [[cell.strip() for cell in row] for row in csv.reader(path.read_text("utf-8-sig", "replace").splitlines())]
    heads = [head.lower() for head in rows[0]] if rows else []
    # The official table has the columns "name", "patient ID", "grade (GlaS)", and a finer grade of an earlier paper.
    at = next((i for i, head in enumerate(heads) if head.startswith("grade")), None)
    if at is None or "name" not in heads:
        raise ValueError(f"{path} has the columns {', '.join(heads) or 'of nothing'}; it should have name and grade")
    known = {row[heads.index("name")]: row[at] for row in rows[1:] if len(row) == len(heads)}
    for name in (name for of in _names(card).values() for name in of):
        if known.get(name) not in GRADES:
            raise ValueError(
                f"{path} gives {name} the grade {known[name]!r}; it should be {' or '.join(GRADES)}"
                if name in known
                else f"{path} has no row for {name}"
            )
    return {split: np.array([known[name] for name in of]) for split, of in _names(card).items()}


def _pair(image_path, mask_path):
    """An image (height, width, 3) and its mask (height, width), True in the glands."""
    image, mask = _decode(image_path), _decode(mask_path)
    if image.shape[2:] != (3,):
        raise ValueError(f"{image_path} is an array of {image.shape}; it should be an RGB image (height, width, 3)")
    if mask.shape != image.shape[:2]:
        raise ValueError(
            f"{mask_path} is an array of {mask.shape}; it should be {image.shape[:2]}, as {image_path.name} is"
        )
    if mask.min() > 0 or mask.max() == 0:
        value = "gland" if mask.min() > 0 else "background"
        raise ValueError(f"{mask_path} is all {value}; it should have both glands (from 1) and background (0)")
    return image, mask > 0


def _decode(path):
    """The numbers in an image file as they are: a mask's own, not the colours of its palette."""
    from PIL import Image

    content = path.read_bytes()
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            return np.asarray(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read as an image ({type(error).__name__}): unpack it again") from None


def _averaged(image, side):
    """Resize an image (height, width, 3) to (side, side, 3), each pixel the mean of the area that it covers."""
    for _ in range(2):  # the rows, then the columns
        lines = image.reshape(len(image), -1).astype(np.float32)
        image = (_shares(len(image), side) @ lines).reshape(side, -1, 3).swapaxes(0, 1)
    return np.rint(image).astype(np.uint8)


def _shares(length, side):
    """Sparse (side, length): the share that each of `length` pixels has in each of `side` pixels on the same line."""
    from scipy.sparse import csr_array

    edges, pixels = np.arange(side + 1)[:, None] * length / side, np.arange(length)
    covered = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return csr_array((np.maximum(covered, 0) * side / length).astype(np.float32))


def _nearest(mask, side):
    """Resize a mask (height, width) to uint8 (side, side), by the pixel under the middle of each."""
    rows, columns = (((np.arange(side) + 0.5) * (length / side)).astype(int) for length in mask.shape)
    return mask[np.ix_(rows, columns)].astype(np.uint8)
